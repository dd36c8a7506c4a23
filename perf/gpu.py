"""Everything that is to be seen on a real GPU, by one command of under ten minutes.

    python perf/gpu.py --out gpu                     # on a GPU; writes gpu/gpu.md and gpu/gpu.json
    python perf/gpu.py --out gpu --only agreement    # some sections only
    python perf/gpu.py --out gpu --device cpu --tiny # the same lines on a CPU, for a look

No weights are published ones: tinyworld is trained and small, everything else is random. The 7B
model has the sizes of LLaVA-1.5-7B with CLIP-L/336 and is made on the GPU; no file is read for it,
so loading is not measured.

Each section runs in a process of its own, with a time limit. One that fails or takes too long is
reported with its error, and the next one begins; what is finished is written at once.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import gc
import importlib.metadata
import json
import logging
import multiprocessing
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from checkout import ROOT

os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")  # the parent must not touch CUDA
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TQDM_DISABLE", "1")

Found = dict[str, Any]
PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "triton", "numpy")
MODEL_LENGTHS = (17, 49)


@dataclass(frozen=True)
class Place:
    """Where a section runs.

    Attributes:
        device: ``cuda`` or ``cpu``.
        tiny: take sizes that a CPU manages in seconds.
        folder: for the section's files.
        root: of the checkout.
    """

    device: str
    tiny: bool
    folder: Path

    @property
    def half(self) -> str:
        """The number format of models on a GPU."""
        return "bfloat16" if self.device == "cuda" else "float32"


# --------------------------------------------------------------------------------------- helpers


def wait(place: Place) -> float:
    """Wait for the device and return the clock."""
    if place.device == "cuda":
        import torch

        torch.cuda.synchronize()
    return time.perf_counter()


def peak_gb(place: Place) -> float | None:
    """Return the most memory that was allocated since :func:`clean`, in GB."""
    if place.device != "cuda":
        return None
    import torch

    return round(torch.cuda.max_memory_allocated() / 1e9, 2)


def clean(place: Place) -> None:
    """Give memory back and begin a new peak."""
    gc.collect()
    if place.device == "cuda":
        import torch

        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def waits(place: Place, act: Callable[[], object]) -> dict[str, int]:
    """Count how often the host waits for the GPU while it acts, by the line that makes it wait.

    Uploads from ordinary memory count too: the host stands still until they are done.
    """
    if place.device != "cuda":
        act()
        return {}
    import torch

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            act()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    lines: dict[str, int] = {}
    for one in seen:
        if "synchronizing CUDA operation" in str(one.message):
            where = f"{Path(one.filename).name}:{one.lineno}"
            lines[where] = lines.get(where, 0) + 1
    return lines


def fewer(more: dict[str, int], less: dict[str, int], per: int) -> Found:
    """Return the waits that ``per`` further steps cost, by line and in all."""
    lines = {name: (count - less.get(name, 0)) / per for name, count in more.items()}
    lines = {name: round(count, 2) for name, count in lines.items() if count}
    return {"per_step": round(sum(lines.values()), 2), "lines": lines}


def big_llava(place: Place, sizes: Any, template: str | None = None) -> Any:
    """Open a LLaVA whose random weights are made on the device, without a file of them."""
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    from harness.engine.loading import _state_of
    from harness.model import Model
    from tests.support.checkpoints import LLAVA_HF_TEMPLATE, fill, write_llava

    small = replace(
        sizes, hidden=64, heads=2, kv_heads=2, layers=1, mlp=64,
        vision_hidden=32, vision_heads=2, vision_layers=2,
    )  # fmt: skip
    template = template or LLAVA_HF_TEMPLATE
    folder = write_llava(place.folder / "big", small, template=template, dtype=place.half)
    file = folder / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    config["text_config"] |= {
        "hidden_size": sizes.hidden, "num_hidden_layers": sizes.layers, "head_dim": None,
        "num_attention_heads": sizes.heads, "num_key_value_heads": sizes.kv_heads,
        "intermediate_size": sizes.mlp,
    }  # fmt: skip
    config["text_config"]["head_dim"] = sizes.hidden // sizes.heads
    config["vision_config"] |= {
        "hidden_size": sizes.vision_hidden, "num_hidden_layers": sizes.vision_layers,
        "num_attention_heads": sizes.vision_heads, "intermediate_size": 4 * sizes.vision_hidden,
        "projection_dim": sizes.vision_hidden,
    }  # fmt: skip
    model = Model.open(folder, device=place.device, dtype=place.half)
    loaded = model.base.loaded()
    file.write_text(json.dumps(config), encoding="utf-8")
    began = wait(place)
    with torch.device(place.device):
        network: Any = AutoModelForImageTextToText.from_config(
            AutoConfig.from_pretrained(folder), dtype=getattr(torch, place.half)
        )
    fill(network, sizes.spread)
    network.generation_config = loaded.network.generation_config
    loaded.network = network.eval()
    loaded.state = _state_of(network)
    count = sum(weight.numel() for weight in network.parameters())
    print(f"{count / 1e9:.2f}e9 weights in {wait(place) - began:.1f} s", flush=True)
    return model


# --------------------------------------------------------------------------------------- sections


def card(place: Place) -> Found:
    """What the machine is, and its two ceilings: a copy, and a product of bfloat16 matrices."""
    import torch

    found: Found = {"python": platform.python_version(), "cpus": os.cpu_count()}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    if place.device != "cuda":
        return {"card": "cpu", **found}
    found["card"] = torch.cuda.get_device_name()
    found["memory_gb"] = round(torch.cuda.mem_get_info()[1] / 1e9, 1)
    found["cuda"] = torch.version.cuda
    whole = torch.randint(0, 255, (1 << 32,), dtype=torch.uint8, device="cuda")
    other = torch.empty_like(whole)
    found["copy_tb_s"] = round(2 * len(whole) / 1e12 / seconds_of(lambda: other.copy_(whole)), 2)
    edge = 8192
    left, right = (torch.randn(edge, edge, dtype=torch.bfloat16, device="cuda") for _ in "ab")
    found["product_tflop_s"] = round(2 * edge**3 / 1e12 / seconds_of(lambda: left @ right), 0)
    found["host_launch_us"] = round(1e6 * seconds_of(lambda: left[:1].add_(1), 2000), 2)
    return found


def seconds_of(act: Callable[[], object], times: int = 10) -> float:
    """Return the mean seconds of a short operation on the GPU, after three to warm up."""
    import torch

    for _ in range(3):
        act()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in "ab")
    start.record()
    for _ in range(times):
        act()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1e3 / times


def agreement(place: Place) -> Found:
    """Are the engine's answers those of ``generate`` on each request alone?"""
    from agreement import compare, tinyworld
    from harness_tinyworld import DEMO

    from harness.model import Model
    from tests.support import families
    from tests.support.checkpoints import Sizes, write_llava

    formats = ("float32", "bfloat16")
    found: Found = {}
    asked = tinyworld(6 if place.tiny else 100, 16 if place.tiny else 40)
    for dtype in formats:
        found[f"tinyworld {dtype}"] = compare(
            Model.open(DEMO.model, device=place.device, dtype=dtype), asked
        )
    writers: dict[str, Callable[[Path], Path]] = {
        "llava": lambda path: write_llava(path, Sizes(kv_heads=2)),
        "llava_next": families.llava_next,
        "qwen2_5_vl": families.qwen,
        "idefics3": families.idefics,
        "smolvlm": families.smol,
        "internvl": families.intern,
    }
    questions = family_requests(1 if place.tiny else 4)
    for name, write in writers.items():
        for dtype in formats:
            with reported(found, f"{name} {dtype}"):
                folder = write(place.folder / name / dtype)
                model = Model.open(folder, device=place.device, dtype=dtype)
                found[f"{name} {dtype}"] = compare(model, questions)
    return found


@contextlib.contextmanager
def reported(found: Found, name: str) -> Iterator[None]:
    """Let one row fail without the others."""
    try:
        yield
    except Exception as error:
        traceback.print_exc()
        found[name] = {"error": f"{type(error).__name__}: {str(error)[:500]}"}


def family_requests(rounds: int) -> list[Any]:
    """Return questions about none, one and two images of several shapes."""
    import numpy as np
    from PIL import Image

    from harness.records import Request

    made = []
    for number in range(rounds):
        draw = np.random.default_rng(number)
        images = [
            Image.fromarray(draw.integers(0, 255, (*size, 3), dtype=np.uint8))
            for size in ((30, 50), (44, 40), (56, 36))
        ]
        for chosen in ((), images[:1], images[1:2], images[2:], images[:2]):
            for question in ("is there a dog?", "describe the picture in detail please"):
                made.append(Request(question, tuple(chosen), 12))
            made.append(Request("yes or no?", tuple(chosen), 2, choices=("yes", "no")))
    return made


def generation(place: Place) -> Found:
    """The 7B model: the engine against batches of 32 by ``generate``, and one row at a time."""
    import engine

    from harness.engine.decoding import ending_of
    from harness.engine.fallback import answer_alone
    from harness.engine.inputs import prepare
    from tests.support.checkpoints import Sizes

    tiny = Sizes(vocabulary=engine.SEVEN_BILLION.vocabulary, eos_gain=0.0)
    model = big_llava(place, tiny if place.tiny else engine.SEVEN_BILLION)
    loaded = model.base.loaded()
    ours, batched = engine.ours(model), engine.batched(model, 32)
    passes = model.base.engine().passes
    recorded = passes.fixed

    def eager(shape: Any) -> list[str | None]:
        passes.fixed = False
        try:
            return ours(shape)
        finally:
            passes.fixed = recorded

    ways = {"ours": ours, "eager": eager, "batched": batched}
    found: Found = {}
    for shape in engine.shapes(False, not place.tiny):
        with reported(found, shape.name):
            warm = replace(shape, stages=tuple(stage[:2] for stage in shape.stages))
            tokens = sum(request.max_new_tokens for request in shape.rows)
            row: Found = {"rows": len(shape.rows), "new_tokens": tokens}
            answers = {}
            for name, way in ways.items():
                clean(place)
                way(warm)
                seconds = []
                for _ in range(1 if place.tiny else 2):
                    began = wait(place)
                    answers[name] = way(shape)
                    seconds.append(wait(place) - began)
                row[f"{name}_seconds"] = round(min(seconds), 3)
                row[f"{name}_tokens_s"] = round(tokens / min(seconds), 1)
                row[f"{name}_peak_gb"] = peak_gb(place)
            few = list(shape.stages[0][:3])
            ending = ending_of(loaded.network, loaded.tokenizer)
            began = wait(place)
            for request in few:
                answer_alone(loaded, prepare(loaded, request, model.render(request)), ending)
            row["alone_seconds_row"] = round((wait(place) - began) / len(few), 3)
            row["alone_tokens_s"] = round(few[0].max_new_tokens / row["alone_seconds_row"], 1)
            row["over_batched"] = round(row["batched_seconds"] / row["ours_seconds"], 2)
            row["over_alone"] = round(
                row["alone_seconds_row"] * len(shape.rows) / row["ours_seconds"], 2
            )
            row["bound"] = round(engine.bound(shape, model), 2)
            row["equal_answers"] = share_equal(shape, answers["ours"], answers["batched"])
            row["equal_eager"] = share_equal(shape, answers["ours"], answers["eager"])
            found[shape.name] = row
            print(shape.name, row, flush=True)
    for name, fixed in (("waits", recorded), ("waits_eager", False)):
        with reported(found, name):
            passes.fixed = fixed
            found[name] = decode_waits(place, model, 1 if place.tiny else 16)
            print(name, found[name], flush=True)
    return found


def share_equal(shape: Any, first: Sequence[str | None], second: Sequence[str | None]) -> float:
    """Return the share of greedy rows with equal text."""
    rows = zip(shape.rows, first, second, strict=True)
    same = [a is not None and a == b for request, a, b in rows if request.temperature == 0]
    return round(sum(same) / len(same), 3)


def decode_waits(place: Place, model: Any, rows: int) -> Found:
    """Count waits per decoding step: two calls that differ in the number of steps alone."""
    import engine

    from harness.records import Request

    counted, seconds = [], []
    images = engine.pictures(rows, 9)
    for length in MODEL_LENGTHS:
        asked = [Request("Describe the picture.", (image,), length) for image in images]
        list(model.answer(asked))  # image features and beginnings are kept from now on
        began = wait(place)
        list(model.answer(asked))
        seconds.append(wait(place) - began)
        counted.append(waits(place, lambda asked=asked: list(model.answer(asked))))
    steps = MODEL_LENGTHS[1] - MODEL_LENGTHS[0]
    per_step = fewer(counted[1], counted[0], steps)
    return {"rows": rows, "ms_per_step": round(1e3 * (seconds[1] - seconds[0]) / steps, 2)} | (
        per_step
    )


def engine_small(place: Place) -> Found:
    """A small model: the engine, batched ``generate`` and lmms-eval's adapter; all host time."""
    import engine

    from harness.model import Model
    from tests.support.checkpoints import Sizes, write_llava

    tiny = Sizes(vocabulary=32000, eos_gain=0.0)
    folder = write_llava(place.folder / "llava", tiny if place.tiny else engine.SIZES)
    model = Model.open(folder, device=place.device)
    ways = {"ours": engine.ours(model), "batched": engine.batched(model)}
    found: Found = {}
    adapter = None
    with reported(found, "adapter"):
        adapter = engine.adapter(folder, "cuda:0" if place.device == "cuda" else "cpu")
    for shape in engine.shapes(False, not place.tiny):
        with reported(found, shape.name):
            for way in ways.values():
                way(replace(shape, stages=tuple(stage[:2] for stage in shape.stages)))
            seconds, answers = engine.measure(shape, ways, lambda: wait(place), 3)
            if adapter is not None:
                once, theirs = engine.measure(shape, {"adapter": adapter}, lambda: wait(place), 1)
                seconds |= once
                answers |= theirs
            row: Found = {
                "rows": len(shape.rows),
                **{f"{name}_seconds": round(value, 3) for name, value in seconds.items()},
                **{
                    f"over_{name}": round(seconds[name] / seconds["ours"], 2)
                    for name in seconds
                    if name != "ours"
                },
                **{
                    f"equal_{name}": share_equal(shape, answers["ours"], answers[name])
                    for name in answers
                    if name != "ours"
                },
                "bound": round(engine.bound(shape, model), 2),
            }
            found[shape.name] = row
            print(shape.name, row, flush=True)
    return found


def dpo_small(place: Place) -> Found:
    """A miniature in float32 beside TRL: are losses and log-probabilities equal, how fast?"""
    import dpo
    import torch

    torch.backends.cudnn.allow_tf32 = False
    shape = replace(dpo.QUICK, layers=2) if place.tiny else dpo.FULL
    model = dpo.make_model(place.folder, shape, place.device, "float32")
    return stepped(place, model, shape, (1, 2) if place.tiny else (1, 2, 4, 8), 3)


def dpo_big(place: Place) -> Found:
    """The 7B model in bfloat16: a step beside TRL's, without and with gradient checkpointing."""
    import dpo
    import engine

    from tests.support.checkpoints import BOS_TEMPLATE, Sizes

    sizes = engine.SEVEN_BILLION
    if place.tiny:
        sizes = Sizes(image=336, patch=14, vocabulary=sizes.vocabulary, eos_gain=0.0)
    model = big_llava(place, sizes, BOS_TEMPLATE)
    shape = dpo.Shape(
        sizes.hidden, sizes.layers, sizes.heads, sizes.mlp, sizes.vision_hidden,
        sizes.vision_layers, rank=4 if place.tiny else 128,
    )  # fmt: skip
    found: Found = {}
    for checkpointing in (False, True):
        how = replace(shape, checkpointing=checkpointing)
        name = "recomputed" if checkpointing else "kept"
        found[name] = stepped(place, model, how, (1,) if place.tiny else (1, 2, 4, 8), 2)
    with reported(found, "default micro-batch"):
        found["default micro-batch"] = micro_batch(place, model, shape)
        print(found["default micro-batch"], flush=True)
    return found


def stepped(place: Place, model: Any, shape: Any, negatives: Sequence[int], rounds: int) -> Found:
    """Time steps of both sides; where TRL's does not fit into memory, ours alone."""
    import dpo

    found: Found = {}
    for count in negatives:
        clean(place)
        with reported(found, str(count)):
            try:
                row = dpo.measure(
                    model, shape, place.folder, count, rounds, installed=False, plain=False
                )
            except Exception as error:
                if "out of memory" not in str(error).lower():
                    raise
                failed = str(error).splitlines()[0][:200]
                row = None
            if row is None:
                clean(place)
                row = alone(place, model, shape, count, rounds) | {"trl": failed}
            found[str(count)] = row
        print(count, found[str(count)], flush=True)
    return found


def alone(place: Place, model: Any, shape: Any, count: int, rounds: int) -> Found:
    """Time our own step without TRL's."""
    import dpo

    pair = dpo.make_pair(place.folder, model, count, shape.prefix)
    ours = dpo.Ours(model, pair, shape, place.folder)
    dpo.timed(ours)
    first, later = [], []
    for _ in range(rounds):
        ours.forget()
        first.append(dpo.timed(ours))
        later.append(dpo.timed(ours))
    return {
        "seconds": round((dpo.median(first) + dpo.median(later)) / 2, 3),
        "peak_mb": round(max(one.peak_mb for one in first), 1),
    }


def micro_batch(place: Place, model: Any, shape: Any) -> Found:
    """Four pairs of one negative, the default micro-batch: seconds and waits of the host."""
    import dpo

    from harness.dpo import session

    pair = dpo.make_pair(place.folder, model, 1, shape.prefix)
    pairs = [replace(pair, chosen=f"{pair.chosen} {word}") for word in ("a", "the", "is", "an")]
    knobs = replace(dpo.training("dpo", shape), batch_size=4)
    trainer = session.build(pairs, model, place.folder / "four", 0, knobs)
    rows = [{"row": number} for number in range(4)]
    dpo.run_step(trainer, rows)
    clean(place)
    seconds = []
    for _ in range(3):
        began = wait(place)
        dpo.run_step(trainer, rows)
        seconds.append(wait(place) - began)
    row: Found = {"seconds": round(min(seconds), 3), "peak_gb": peak_gb(place)}
    lines = waits(place, lambda: dpo.run_step(trainer, rows))
    return {**row, "waits": sum(lines.values()), "lines": lines}


def whole_run(place: Place) -> Found:
    """``harness run --method seva --bench mmvet,pope`` as a user types it."""
    some = ["--limit", "12", "--max-prompts", "8"] if place.tiny else []
    runs = str(place.folder / "runs")
    words = ["run", "--method", "seva", "--bench", "mmvet,pope", "--report", "json", *some]
    command = [sys.executable, "-m", "harness", *words, "--device", place.device, "--out", runs]
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    began = time.perf_counter()
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths})
    seconds = time.perf_counter() - began
    found: Found = {"exit": done.returncode, "seconds": round(seconds, 1)}
    for file in (place.folder / "runs").glob("*/comparison.json"):
        kept = json.loads(file.read_text(encoding="utf-8"))
        for bench in kept["comparison"]["benchmarks"]:
            for figure in bench["figures"]:
                key = f"{bench['name']} {figure['column']}"
                found[key] = [figure["before"], figure["after"]]
    for file in (place.folder / "runs").glob("*/**/curves.jsonl"):
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        found["steps"] = len(lines)
        found["loss"] = [round(lines[0]["loss"], 4), round(lines[-1]["loss"], 4)]
        found["margin"] = [round(lines[0]["margin"], 4), round(lines[-1]["margin"], 4)]
    return found


def parts(place: Place) -> Found:
    """Judge, image ablation, resumed training and merge, each against the CPU or itself."""
    found: Found = {}
    for act in (judge_part, ablation_part, resume_part):
        with reported(found, act.__name__):
            found |= act(place)
    return found


def judge_part(place: Place) -> Found:
    """A text model's verdicts on the device are those on the CPU, in float32."""
    from harness.judge.local import LocalJudge
    from harness.judge.protocol import Question
    from tests.engine.test_text import qwen2

    folder = str(qwen2(place.folder / "judge"))
    asked = [
        Question(f"w{word} is to be judged", 30, turn) for word in range(40) for turn in (0, 1)
    ]
    replies = [
        [
            reply.text
            for _, reply in LocalJudge(folder, 2, device=device, dtype="float32").ask(asked)
        ]
        for device in (place.device, "cpu")
    ]
    same = sum(one == two for one, two in zip(*replies, strict=True))
    return {"judge: replies equal to the CPU's": f"{same} of {len(asked)}"}


def training_case(place: Place) -> tuple[Any, list[Any]]:
    """Return a small model on the device and five pairs of one or two negatives."""
    from harness.model import Model
    from tests.dpo.test_resume import make_case
    from tests.support.checkpoints import write_llava

    folder = write_llava(place.folder / "llava")
    return Model.open(folder, device=place.device, dtype="float32"), make_case(place.folder)


def ablation_part(place: Place) -> Found:
    """The image ablation's numbers on the device and on the CPU, in float32."""
    from harness import dpo
    from harness.model import Model

    model, pairs = training_case(place)
    here = dataclasses.asdict(dpo.image_ablation(pairs, model))
    there = dataclasses.asdict(
        dpo.image_ablation(pairs, Model.open(model.path, device="cpu", dtype="float32"))
    )
    far = max(abs(here[key] - there[key]) for key in here)
    return {"image ablation: largest difference to the CPU's": far}


def resume_part(place: Place) -> Found:
    """Training: against the CPU's, interrupted against whole, and merged against worn."""
    from safetensors.torch import load_file

    from harness import dpo
    from harness.dpo.callback import Curves
    from harness.model import Model
    from harness.records import Request

    model, pairs = training_case(place)
    knobs = dpo.Training(
        loss="multi_softmax", learning_rate=3e-3, lora_rank=4, lora_alpha=8, batch_size=2,
        accumulation=1, epochs=2, repeats=2, save_steps=1,
    )  # fmt: skip
    whole = dpo.train(pairs, model, place.folder / "whole", seed=2, training=knobs)
    step_end = Curves.on_step_end

    def stop(self: Any, args: Any, state: Any, control: Any, **known: Any) -> None:
        step_end(self, args, state, control, **known)
        if state.global_step == 6:
            raise InterruptedError

    Curves.on_step_end = stop  # type: ignore[method-assign]
    with contextlib.suppress(InterruptedError):
        dpo.train(pairs, model, place.folder / "cut", seed=2, training=knobs)
    Curves.on_step_end = step_end  # type: ignore[method-assign]
    resumed = dpo.train(pairs, model, place.folder / "cut", seed=2, training=knobs)
    cpu = Model.open(model.path, device="cpu", dtype="float32")
    there = dpo.train(pairs, cpu, place.folder / "cpu", seed=2, training=knobs)

    def far(one: Path, two: Path) -> float:
        first, second = (load_file(p / "adapter_model.safetensors") for p in (one, two))
        return max(float((first[key] - second[key]).abs().max()) for key in first)

    merged = dpo.merge(model.path, whole, place.folder / "merged")
    asked = [
        Request("describe please", (pair.prompt.open_image(),), 16, choices=("yes", "no"))
        for pair in pairs
    ]
    worn = list(model.with_adapter(whole).answer(asked))
    alone = list(Model.open(merged, device=place.device, dtype="float32").answer(asked))
    scores = [
        abs(a - b) for one, two in zip(worn, alone, strict=True)
        for a, b in zip(one.choices, two.choices, strict=True)
    ]  # fmt: skip
    lines = (place.folder / "whole" / "curves.jsonl").read_text(encoding="utf-8").splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    return {
        "training: loss": [round(losses[0], 4), round(losses[-1], 4)],
        "training: largest weight difference, interrupted": far(whole, resumed),
        "training: largest weight difference to the CPU's": far(whole, there),
        "merge: equal answers, worn and merged": sum(
            one.text == two.text for one, two in zip(worn, alone, strict=True)
        ) / len(asked),
        "merge: largest log-probability difference": max(scores),
    }  # fmt: skip


# ------------------------------------------------------------------------------------------ frame


@dataclass(frozen=True)
class Section:
    """One thing to see: its name, what does it, and its limit in seconds."""

    name: str
    act: Callable[[Place], Found]
    limit: int


GROUPS: tuple[tuple[Section, ...], ...] = (
    (Section("card", card, 60),),
    (Section("generation", generation, 150),),
    (Section("dpo_big", dpo_big, 120),),
    (Section("whole_run", whole_run, 150),),
    (Section("dpo_small", dpo_small, 60),),
    # These two are about correctness alone: they share the GPU.
    (Section("agreement", agreement, 100), Section("parts", parts, 100)),
    (Section("engine_small", engine_small, 90),),
)


def together() -> list[list[Section]]:
    """Return the groups for a quick look at what breaks: small models at once, then the big."""
    every = [section for group in GROUPS for section in group]
    big = ("generation", "dpo_big")
    small = [section for section in every if section.name not in big]
    return [small, *([section] for section in every if section.name in big)]


def child(section: Section, place: Place, answer: Path, log: Path) -> None:
    """Run a section in this process, and leave what it found in a file."""
    os.setsid()  # so that a late section is ended with the processes it started
    with log.open("w", buffering=1, encoding="utf-8") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
        began = time.perf_counter()
        logging.disable(logging.WARNING)
        warnings.simplefilter("ignore")
        try:
            place.folder.mkdir(parents=True)
            found = section.act(place)
        except Exception as error:
            traceback.print_exc()
            found = {"error": f"{type(error).__name__}: {str(error)[:800]}"}
        found["section_seconds"] = round(time.perf_counter() - began, 1)
        answer.write_text(json.dumps(found, default=str), encoding="utf-8")
        sys.stdout.flush()
    os._exit(0)


def run_group(
    group: Sequence[Section], place: Place, out: Path, seconds_left: float
) -> dict[str, Found]:
    """Run the sections of a group at the same time, each in a process of its own."""
    context = multiprocessing.get_context("fork")
    began, started = time.monotonic(), {}
    for section in group:
        answer, log = out / f"{section.name}.part.json", out / f"{section.name}.log"
        own = replace(place, folder=place.folder / section.name)
        started[section] = context.Process(target=child, args=(section, own, answer, log))
        started[section].start()
    found: dict[str, Found] = {}
    for section, process in started.items():
        limit = min(section.limit, seconds_left) - (time.monotonic() - began)
        process.join(max(limit, 1))
        late = process.is_alive()
        if late:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.join()
        answer, log = out / f"{section.name}.part.json", out / f"{section.name}.log"
        if answer.is_file():
            found[section.name] = json.loads(answer.read_text(encoding="utf-8"))
            answer.unlink()
        else:
            why = "took too long" if late else f"ended with {process.exitcode}"
            found[section.name] = {"error": why}
        text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
        print(f"== {section.name}\n{text[-6000:]}", flush=True)
        if "error" in found[section.name]:
            print(found[section.name]["error"], flush=True)
    return found


def flat(found: Found, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield what was found as lines of a table."""
    rows = {key: value for key, value in found.items() if isinstance(value, dict)}
    values = {key: value for key, value in found.items() if key not in rows}
    if values:
        yield prefix, ", ".join(f"{key} {_short(value)}" for key, value in values.items())
    for key, value in rows.items():
        yield from flat(value, f"{prefix} {key}".strip())


def _short(value: Any) -> str:
    if isinstance(value, list):
        return " to ".join(map(_short, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def write(out: Path, found: dict[str, Found]) -> None:
    """Write both files; called again after every group."""
    (out / "gpu.json").write_text(json.dumps(found, indent=1, default=str), encoding="utf-8")
    lines = ["| section | what | found |", "|---|---|---|"]
    for section, values in found.items():
        lines += [f"| {section} | {what} | {text} |" for what, text in flat(values)]
    (out / "gpu.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> int:
    """Run the sections, write the table, and return 1 when one failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the table")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--tiny", action="store_true", help="sizes for a CPU")
    parser.add_argument("--only", nargs="+", default=[], help="only these sections")
    parser.add_argument(
        "--together", action="store_true", help="small models at once: no times, only whether"
    )
    parser.add_argument("--minutes", type=float, default=9.0, help="begin nothing after that")
    asked = parser.parse_args()
    began = time.monotonic()
    asked.out.mkdir(parents=True, exist_ok=True)
    warm_up()
    print(f"imports: {time.monotonic() - began:.1f} s", flush=True)
    found: dict[str, Found] = {}
    with tempfile.TemporaryDirectory() as name:
        place = Place(asked.device, asked.tiny, Path(name))
        for group in together() if asked.together else GROUPS:
            chosen = [one for one in group if not asked.only or one.name in asked.only]
            left = 60 * asked.minutes - (time.monotonic() - began)
            if left < 5:
                found |= {one.name: {"error": "no time was left"} for one in chosen}
            elif chosen:
                found |= run_group(chosen, place, asked.out, left)
            write(asked.out, found)
    print((asked.out / "gpu.md").read_text(encoding="utf-8"))
    print(f"{time.monotonic() - began:.0f} s in all")
    return int(any("error" in values for values in found.values()))


def warm_up() -> None:
    """Import once, before the sections' processes are forked; nothing here may touch a GPU."""
    import datasets  # noqa: F401
    import peft  # noqa: F401
    import torch
    import transformers
    import trl.trainer.dpo_trainer  # noqa: F401

    import harness.dpo.session
    import harness.engine  # noqa: F401

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


if __name__ == "__main__":
    sys.exit(main())
