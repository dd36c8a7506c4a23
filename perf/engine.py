"""Time the engine against lmms-eval's llava_hf adapter and plain batched ``generate``.

    python perf/engine.py [--full] [--json] [--shape pope]
    python perf/engine.py --generate [--full] [--json] [--shape sampled]
    python perf/engine.py --vllm PYTHON [--full] [--json]

All three answer the same rows with the same random-weights LLaVA-1.5-shaped model (336 px, 576
image tokens, 32k vocabulary) in one process; repetitions are interleaved and medians reported.
Times are processor time of this process with one thread (wall time on a GPU), so that other work
on the machine does not count. Each repetition of the engine starts with nothing remembered.

The *bound* is the ratio of floating point operations: what answering row by row computes, over
what remains when each image is encoded once and each shared beginning computed once. Batching can
beat it, because a batched decoding step reads the weights once for all rows.

With ``--generate`` the engine and one left-padded batch of plain ``generate`` alone are timed, on
seven shapes that together cover what a run asks; there is no adapter and no bound.

With ``--vllm`` the engine is timed against vLLM instead, through the harness's own engine of that
name: 4 images with 18 questions each (POPE-shaped) and 16 images with one answer of 64 tokens.
Caches are emptied before each repetition. Wall time is compared on a quiet machine; processor time
is that of both processes, and vLLM's workers wait busily.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
import types
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import checkout  # noqa: F401

from harness.model import Model
from harness.records import Answer, Request
from tests.support.checkpoints import Sizes, write_llava

SIZES = Sizes(
    image=336,
    patch=14,
    vision_hidden=192,
    vision_layers=4,
    vision_heads=4,
    hidden=384,
    layers=4,
    heads=6,
    kv_heads=6,
    mlp=1024,
    vocabulary=32000,
    spread=0.05,
    eos_gain=0.0,
)
SEVEN_BILLION = Sizes(
    image=336,
    patch=14,
    vision_hidden=1024,
    vision_layers=24,
    vision_heads=16,
    hidden=4096,
    layers=32,
    heads=32,
    kv_heads=32,
    mlp=11008,
    vocabulary=32064,
    spread=0.02,
    eos_gain=0.0,
)
THINGS = (
    "dog",
    "cat",
    "car",
    "person",
    "tree",
    "street",
    "table",
    "chair",
    "bottle",
    "cup",
    "book",
    "phone",
    "bus",
    "truck",
    "boat",
    "bird",
    "horse",
    "bag",
)
CRITIC = (
    "You see the picture and two answers to one question. Judge which answer is better. Look at "
    "the picture first. Count what is there, and compare with what each answer names. An answer "
    "that names a thing that is not in the picture is worse. Then compare how the things lie to "
    "each other: left and right, above and below, in front and behind. An answer that gets this "
    "wrong is worse. Last compare the colours and the shapes. "
)


@dataclass(frozen=True)
class Shape:
    """Rows of one kind; each stage is asked when the stage before it is answered."""

    name: str
    stages: tuple[tuple[Request, ...], ...]

    @property
    def rows(self) -> list[Request]:
        """All rows of all stages."""
        return [request for stage in self.stages for request in stage]


def shapes(full: bool, on_gpu: bool) -> list[Shape]:
    """Return the four shapes, larger with ``full`` or on a GPU."""
    many = 8 if on_gpu else 1
    pope = [
        Request(f"Is there a {thing} in the image?\nAnswer with a single word.", (image,), 3)
        for image in pictures(many * (2 if full else 1), 1)
        for thing in THINGS
    ]
    mmvet = [
        Request(f"What is in picture {number}, and why is it there?", (image,), 64)
        for number, image in enumerate(pictures(many * (8 if full else 3), 2))
    ]
    asked, judged = [], []
    for image in pictures(many * (4 if full else 2), 3):
        greedy = Request("Describe the picture in detail.", (image,), 64)
        asked += [greedy, replace(greedy, temperature=0.8, seed=7)]
        judged.append(Request(CRITIC + "Answer 1: a dog. Answer 2: two cats.", (image,), 64))
    seva = [
        Request("Describe the picture in detail.", (image,), 64)
        for image in pictures(5 * many * (2 if full else 1), 4)
    ]
    return [
        Shape("pope", (tuple(pope),)),
        Shape("mmvet", (tuple(mmvet),)),
        Shape("sima", (tuple(asked), tuple(judged))),
        Shape("seva", (tuple(seva),)),
    ]


def wider(full: bool) -> list[Shape]:
    """Return seven shapes for a comparison with ``generate``; more rows with ``full``."""
    more = 2 if full else 1
    describe = "Describe the picture in detail."
    one = Request(describe, tuple(pictures(1, 5)), 64)
    sized = [
        Request(describe, (image.resize(size),), 16)
        for image, size in zip(
            pictures(4, 6), [(336, 336), (640, 480), (300, 900), (1200, 500)], strict=True
        )
    ]
    long = [
        Request(f"{CRITIC * 3}Answer {at}: a dog.", (image,), 4)
        for at, image in enumerate(pictures(6 * more, 7))
    ]
    short = [Request("Why?", (image,), 128) for image in pictures(6 * more, 8)]
    asked = [Request(f"Is there a {thing}?", tuple(pictures(1, 9)), 3) for thing in THINGS]
    chosen = [
        Request(f"Is there a {thing}?", (image,), 1, choices=("yes", "no"))
        for image in pictures(3 * more, 10)
        for thing in THINGS[:6]
    ]
    sampled = [
        Request(describe, (image,), 64, temperature=0.8, seed=seed)
        for image in pictures(4 * more, 11)
        for seed in (0, 1)
    ]
    rows = {"one": [one], "sizes": sized, "long-prompts": long, "long-answers": short}
    rows |= {"one-image": asked, "choices": chosen, "sampled": sampled}
    return [Shape(name, (tuple(part),)) for name, part in rows.items()]


def pictures(count: int, seed: int) -> list[Any]:
    """Return random photographs' stand-ins, 640 by 480."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(seed)
    return [
        Image.fromarray(random.integers(0, 255, (480, 640, 3), dtype=np.uint8))
        for _ in range(count)
    ]


def ours(model: Model) -> Callable[[Shape], list[str | None]]:
    """Return the way through the engine."""

    def run(shape: Shape) -> list[str | None]:
        model.base.engine().forget()
        answers: list[Answer] = []
        for stage in shape.stages:
            answers += model.answer(stage)
        return [answer.text for answer in answers]

    return run


def adapter(folder: Path, device: str) -> Callable[[Shape], list[str | None]]:
    """Return the way through lmms-eval's own adapter, one ``generate_until`` per stage."""
    for name, parts in {"decord": ("VideoReader", "cpu"), "evaluate": ("load",)}.items():
        stub = sys.modules.setdefault(name, types.ModuleType(name))
        for part in parts:
            if not hasattr(stub, part):
                setattr(stub, part, None)
    from lmms_eval.api.instance import Instance
    from lmms_eval.models.chat.llava_hf import LlavaHf

    dtype = "float32" if device == "cpu" else "bfloat16"
    lm: Any = LlavaHf(pretrained=str(folder), device=device, device_map=device, dtype=dtype)

    def turn(request: Request) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = [{"type": "image", "url": i} for i in request.images]
        return [{"role": "user", "content": [*parts, {"type": "text", "text": request.prompt}]}]

    def run(shape: Shape) -> list[str | None]:
        found: list[str | None] = []
        for stage in shape.stages:
            lm.task_dict = {"rows": {"test": list(stage)}}
            instances = []
            for number, request in enumerate(stage):
                settings = {
                    "max_new_tokens": request.max_new_tokens,
                    "temperature": request.temperature,
                }
                arguments = (request.prompt, turn, settings, number, "rows", "test")
                meta = {"task": "rows", "doc_id": number, "repeats": 1}
                instances.append(
                    Instance("generate_until", arguments=arguments, idx=0, metadata=meta)
                )
            found += [output.text.strip() for output in lm.generate_until(instances)]
        return found

    return run


def batched(model: Model, most: int | None = None) -> Callable[[Shape], list[str | None]]:
    """Return plain ``generate``, padded left: a batch per stage and setting, or of ``most``.

    Choices are read from the logits of the first token, which it keeps then.
    """
    import torch

    network, processor = plain(model), model.processor

    def run(shape: Shape) -> list[str | None]:
        found: dict[int, str] = {}
        for stage in shape.stages:
            for sampled in (False, True):
                whole = [r for r in stage if (r.temperature > 0) == sampled]
                step = most or max(len(whole), 1)
                settings: dict[str, Any] = {"do_sample": False}
                if sampled:
                    settings = {"do_sample": True, "temperature": 0.8, "top_k": 0}
                if any(request.choices for request in whole):
                    settings |= {"output_logits": True, "return_dict_in_generate": True}
                for part in (whole[at : at + step] for at in range(0, len(whole), step)):
                    texts = [model.render(request) for request in part]
                    begun = processor.tokenizer.bos_token
                    inputs = processor(
                        text=texts,
                        images=[list(request.images) for request in part],
                        add_special_tokens=not (begun and texts[0].startswith(begun)),
                        padding=True,
                        padding_side="left",
                        return_tensors="pt",
                    ).to(network.device, network.dtype)
                    with torch.inference_mode():
                        output = network.generate(
                            **inputs, **settings, max_new_tokens=part[0].max_new_tokens
                        )
                    if "output_logits" in settings:
                        output.logits[0].float().log_softmax(-1)
                        output = output.sequences
                    made = output[:, inputs["input_ids"].shape[1] :]
                    texts = processor.tokenizer.batch_decode(made, skip_special_tokens=True)
                    found.update((id(r), t.strip()) for r, t in zip(part, texts, strict=True))
        return [found[id(request)] for request in shape.rows]

    return run


def plain(model: Model) -> Any:
    """Return the network as transformers alone opens it; on a GPU the loaded one."""
    from transformers import AutoModelForImageTextToText

    if model.network.device.type != "cpu":
        return model.network
    return AutoModelForImageTextToText.from_pretrained(model.path, dtype=model.network.dtype).eval()


def beside_generate(full: bool, only: Sequence[str] | None) -> dict[str, dict[str, object]]:
    """Time the engine and batched ``generate`` alternately; print and return a row per shape."""
    import torch

    from tests.support.families import llava_next

    found: dict[str, dict[str, object]] = {}
    torch.manual_seed(0)  # of weights that the family's class makes
    with tempfile.TemporaryDirectory() as place:
        models = {
            name: Model.open(write(Path(place) / name, SIZES), device="cpu")
            for name, write in {"llava": write_llava, "tiles": llava_next}.items()
        }
        ways = {
            name: {"ours": ours(model), "batched": batched(model)} for name, model in models.items()
        }
        for shape in wider(full):
            if only and shape.name not in only:
                continue
            both = ways["tiles" if shape.name == "sizes" else "llava"]
            first = Shape("warm", ((replace(shape.rows[0], max_new_tokens=2),),))
            for way in both.values():
                way(first)
            seconds, answers = measure(shape, both, time.process_time, 5 if full else 3)
            ratio = seconds["batched"] / seconds["ours"]
            equal = same(shape, answers["ours"], answers["batched"])
            print(
                f"{shape.name:12} {len(shape.rows):3} rows: batched generate "
                f"{seconds['batched']:.2f} s, ours {seconds['ours']:.2f} s; {ratio:.2f}x; greedy "
                f"answers {'equal' if equal else 'DIFFER'}",
                flush=True,
            )
            found[shape.name] = {"over_batched": round(ratio, 3), "equal": equal}
    return found


def bound(shape: Shape, model: Model) -> float:
    """Return operations row by row over operations with everything shared.

    A multiply-add counts two. Per token: twice the layers' weights, and 4 x context x width per
    layer for attention; the head for generated tokens only; the tower per image.
    """
    from harness.engine import EngineRequest, ImageDigests

    config = model.network.config
    text, vision = config.text_config, config.vision_config
    layer = 4 * text.hidden_size**2 + 3 * text.hidden_size * text.intermediate_size
    head = 2 * text.vocab_size * text.hidden_size
    patches = (vision.image_size // vision.patch_size) ** 2 + 1
    block = 4 * vision.hidden_size**2 + 2 * vision.hidden_size * vision.intermediate_size
    tower = vision.num_hidden_layers * (2 * patches * block + 4 * patches**2 * vision.hidden_size)
    join = 2 * patches * text.hidden_size * (vision.hidden_size + text.hidden_size)

    def tokens(start: int, end: int) -> float:
        attention = 2 * (end**2 - start**2) * text.hidden_size
        return float(text.num_hidden_layers * (2 * layer * (end - start) + attention))

    engine, digests = model.base.engine(), ImageDigests()
    single = least = 0.0
    prefixes: set[object] = set()
    for request in shape.rows:
        item = EngineRequest(request, model.render(request), tuple(map(digests.of, request.images)))
        prompt = engine._preparer.prepare(item)
        symbols, images = engine._symbols(prompt)
        length = len(symbols)
        answer = tokens(length, length + request.max_new_tokens - 1)
        answer += request.max_new_tokens * head
        single += tower + join + tokens(0, length) + answer
        least += answer
        for start, end in ((0, images), (images, length)):
            if symbols[:end] not in prefixes:
                prefixes.add(symbols[:end])
                least += tokens(start, end) + (tower + join if start == 0 else 0)
    return single / least


def same(shape: Shape, first: Sequence[str | None], second: Sequence[str | None]) -> bool:
    """Compare the greedy rows; sampled ones use each system's own random stream."""
    rows = zip(shape.rows, first, second, strict=True)
    return all(a is not None and a == b for request, a, b in rows if request.temperature == 0)


def measure(
    shape: Shape,
    ways: dict[str, Callable[[Shape], list[str | None]]],
    clock: Callable[[], float],
    repetitions: int,
) -> tuple[dict[str, float], dict[str, list[str | None]]]:
    """Run all ways alternately; return median seconds and the last answers."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    answers: dict[str, list[str | None]] = {}
    for _ in range(repetitions):
        for name, way in ways.items():
            began = clock()
            answers[name] = way(shape)
            seconds[name].append(clock() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}, answers


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="more rows and repetitions")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--shape", action="append", help="only this shape")
    parser.add_argument("--generate", action="store_true", help="against generate alone, wider")
    parser.add_argument("--vllm", metavar="PYTHON", help="against vLLM in this interpreter")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    import torch

    on_gpu = torch.cuda.is_available()
    clock = time.perf_counter if on_gpu else time.process_time
    torch.set_num_threads(1)
    if asked.vllm:
        from vllm_beside import against_vllm

        pope = [
            Request(f"Is there a {thing} in the image?\nAnswer with a single word.", (image,), 3)
            for image in pictures(4, 1)
            for thing in THINGS
        ]
        free = [Request("Describe the picture in detail.", (i,), 64) for i in pictures(16, 2)]
        rows = {"pope": pope, "free": free}
        versus = against_vllm(asked.vllm, SIZES, rows, 7 if asked.full else 3)
        if asked.json:
            print(json.dumps(versus))
        return
    if asked.generate:
        found = beside_generate(asked.full, asked.shape)
        if asked.json:
            print(json.dumps(found))
        return
    results: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = write_llava(Path(place) / "llava", SIZES)
        model = Model.open(folder)
        ways = {
            "ours": ours(model),
            "adapter": adapter(folder, "cuda:0" if on_gpu else "cpu"),
            "batched": batched(model),
        }
        chosen = [s for s in shapes(asked.full, on_gpu) if not asked.shape or s.name in asked.shape]
        ways["ours"](Shape("warm", ((replace(chosen[0].rows[0], max_new_tokens=2),),)))
        for shape in chosen:
            limit = bound(shape, model)
            seconds, answers = measure(shape, ways, clock, 5 if asked.full else 1)
            ratio = seconds["adapter"] / seconds["ours"]
            equal = same(shape, answers["ours"], answers["adapter"])
            print(
                f"{shape.name:6} {len(shape.rows):3} rows: adapter {seconds['adapter']:.2f} s, "
                f"batched generate {seconds['batched']:.2f} s, ours {seconds['ours']:.2f} s; "
                f"{ratio:.2f}x over the adapter (operations allow {limit:.2f}x), "
                f"{seconds['batched'] / seconds['ours']:.2f}x over batched generate; "
                f"answers {'equal' if equal else 'DIFFER'}",
                flush=True,
            )
            results[shape.name] = {
                "ratio": round(ratio, 3),
                "bound": round(limit, 3),
                "equal": equal,
                "over_batched": round(seconds["batched"] / seconds["ours"], 3),
            }
    if asked.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
