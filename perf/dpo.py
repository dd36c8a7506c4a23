"""One preference-training step: ours against TRL's own ``DPOTrainer``, side by side.

    python perf/dpo.py              # under a minute on two cores
    python perf/dpo.py --full       # five rounds on a larger model
    python perf/dpo.py --json       # the last line is one JSON object
    python perf/dpo.py --tiles      # a LLaVA-NeXT whose image is five tiles, 2,928 tokens
    python perf/dpo.py --sides      # rows packed and separate: two texts, and mDPO's three answers

The model is a random LLaVA-1.5 in miniature: the same ratio of language model to vision tower,
576 image tokens in a prefix of 640, answers of 100 tokens, a vocabulary of 32,000, LoRA on every
linear layer of the language model. A step is forward and backward on one prompt with N negatives
(TRL: on N pairs, its only way), reference included; ours computes the reference in the first of
two epochs and looks it up in the second, so half its cost is added to a step.

The time is CPU time of the process on one thread; both sides run in one process, in turn, and
the medians are compared. ``ratio`` is against TRL with its compact head, which scores only answer
tokens: TRL does so on a GPU but not on a CPU, where as installed it scores image and prompt too;
``--installed`` measures that as well. ``bound`` is the ratio of the floating-point operations.
``plain`` is our own step with one full row per answer, as families take it that cannot be packed.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import json
import logging
import os
import statistics
import tempfile
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import checkout  # noqa: F401

ANSWER, VOCABULARY, TILE_TOKENS = 100, 32_000, 576
WORDS = ("blue", "red", "green", "yellow", "circle", "dog", "cat", "car", "tree", "sky", "water")


@dataclass(frozen=True)
class Shape:
    """Sizes of a miniature LLaVA-1.5; its vision tower costs about 4 % of a text row.

    With five ``tiles`` it is a LLaVA-NeXT; ``prefix`` is the length of the prompt in tokens.
    """

    hidden: int
    layers: int
    heads: int
    mlp: int
    vision_hidden: int
    vision_layers: int
    rank: int = 16
    tiles: int = 1
    prefix: int = 640
    checkpointing: bool = False


QUICK = Shape(hidden=256, layers=6, heads=4, mlp=688, vision_hidden=64, vision_layers=6)
FULL = Shape(hidden=512, layers=10, heads=8, mlp=1376, vision_hidden=128, vision_layers=8)


def make_model(folder: Path, shape: Shape, device: str = "cpu", dtype: str = "auto") -> Any:
    """Write and open the random model; one CLIP patch of 2x2 pixels gives one image token."""
    from harness.model import Model
    from tests.support.checkpoints import BOS_TEMPLATE, Sizes, write_llava
    from tests.support.families import llava_next

    sizes = Sizes(
        image=48, patch=2, hidden=shape.hidden, layers=shape.layers, heads=shape.heads,
        kv_heads=shape.heads, mlp=shape.mlp, vocabulary=VOCABULARY,
        vision_hidden=shape.vision_hidden, vision_layers=shape.vision_layers,
        vision_heads=max(shape.vision_hidden // 64, 1), spread=0.02, eos_gain=1.0,
    )  # fmt: skip
    if shape.tiles > 1:
        path = llava_next(folder / "model", sizes)
    else:
        path = write_llava(folder / "model", sizes, template=BOS_TEMPLATE)
    return Model.open(path, device=device, dtype=dtype)


def make_pair(folder: Path, model: Any, negatives: int, prefix: int) -> Any:
    """Return one pair whose prompt has exactly ``prefix`` and whose answers have ANSWER tokens."""
    import numpy as np
    from PIL import Image

    from harness.dpo.encoding import Encoder
    from harness.records import Pair, Prompt

    image = folder / "image.png"
    pixels = np.random.default_rng(0).integers(0, 255, (96, 96, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(image)

    def words(count: int, start: int) -> str:
        return " ".join(WORDS[(start * 7 + at * (start + 3)) % len(WORDS)] for at in range(count))

    answers = [words(ANSWER - 1, start) for start in range(negatives + 1)]
    encoder = Encoder(model.processor, model.network.config.image_token_id)
    spare = 0
    for _ in range(3):
        prompt = Prompt("bench", image, words(spare, 99) if spare else "")
        pair = Pair(prompt, answers[0], tuple(answers[1:]))
        row = encoder.encode(0, pair)
        spare += prefix - len(row.prompt)
    assert (len(row.prompt), {len(answer) for answer in row.answers}) == (prefix, {ANSWER})
    return pair


class Ours:
    """Our step on one row."""

    def __init__(
        self, model: Any, pair: Any, shape: Shape, folder: Path, packed: bool | None = None
    ) -> None:
        """Build the trainer that ``harness.dpo.train`` builds."""
        from harness.dpo import session

        loss = "dpo" if len(pair.rejected) == 1 else "multi_mean"
        loss = "dpo+conditional+anchor" if pair.sides else loss
        knobs = replace(training(loss, shape), packed=packed)
        self.trainer = session.build([pair], model, folder / "ours", 0, knobs)
        recompute(self.trainer.model, shape)
        self.row = [{"row": 0}]

    def step(self) -> float:
        """Collate, forward and backward; returns the loss."""
        loss, self.seen = run_step(self.trainer, list(self.row))
        return loss

    def apart(self, stock: Stock) -> float:
        """Largest relative difference between the last steps' mean log-probabilities and TRL's."""
        keys = ("logps/chosen", "logps/rejected")
        return max(abs(self.seen[key] / stock.seen[key] - 1) for key in keys)

    def agrees_with(self, stock: Stock) -> bool:
        """Whether loss and mean log-probabilities of the last steps are TRL's in float32.

        The log-probabilities, sums of 100 terms near -10, agree to 1e-6 relative; the loss to
        what that leaves of it.
        """
        slack = 0.1 * 2e-6 * abs(self.seen["logps/chosen"])
        return self.apart(stock) < 1e-6 and abs(self.seen["loss"] - stock.seen["loss"]) < slack

    def forget(self) -> None:
        """Forget the reference, as before the first epoch."""
        self.trainer.references._kept.clear()


class Stock:
    """TRL's step on the same answers as pairs."""

    def __init__(self, model: Any, pair: Any, shape: Shape, folder: Path) -> None:
        """Build TRL's trainer with the same adapter configuration."""
        from datasets import Dataset
        from trl import DPOConfig, DPOTrainer

        from harness.dpo import session

        network = session.private_copy(model.network)
        self.rows = [
            {
                "prompt": [{"role": "user", "content": pair.prompt.question}],
                "chosen": [{"role": "assistant", "content": pair.chosen}],
                "rejected": [{"role": "assistant", "content": rejected}],
                "image": pair.prompt.open_image(),
            }
            for rejected in pair.rejected
        ]
        weight = next(network.parameters())
        arguments = DPOConfig(
            output_dir=str(folder / "stock"), max_length=None,
            bf16=weight.is_cuda and "bfloat16" in str(weight.dtype), use_cpu=not weight.is_cuda,
            gradient_checkpointing=shape.checkpointing, report_to="none", save_strategy="no",
            gradient_checkpointing_kwargs={"use_reentrant": False}, seed=0,
            disable_tqdm=True, dataloader_pin_memory=False,
        )  # fmt: skip
        self.trainer = DPOTrainer(
            model=network,
            args=arguments,
            train_dataset=Dataset.from_list(self.rows),
            processing_class=model.processor,
            peft_config=session.adapter_config(network, training("dpo", shape)),
        )
        recompute(self.trainer.model, shape)

    def step(self) -> float:
        """Collate, forward and backward; returns the loss."""
        loss, self.seen = run_step(self.trainer, [dict(row) for row in self.rows])
        return loss


def recompute(network: Any, shape: Shape) -> None:
    """Turn gradient checkpointing on, which a trainer does when its loop begins."""
    if shape.checkpointing:
        network.gradient_checkpointing_enable({"use_reentrant": False})


def training(loss: str, shape: Shape) -> Any:
    """The knobs both sides share."""
    from harness.dpo import Training

    return Training(
        loss=loss, lora_rank=shape.rank, lora_alpha=2 * shape.rank, batch_size=1, accumulation=1,
        gradient_checkpointing=shape.checkpointing,
    )  # fmt: skip


def run_step(trainer: Any, examples: list[Any]) -> tuple[float, dict[str, float]]:
    """One forward and backward pass as the trainer's loop does it, and the step's metrics."""
    trainer.model.train()
    batch = trainer._prepare_inputs(trainer.data_collator(examples))
    loss = trainer.compute_loss(trainer.model, batch)
    loss.backward()
    trainer.model.zero_grad()
    seen = {key: values[-1] for key, values in trainer._metrics["train"].items()}
    trainer._metrics["train"].clear()
    return float(loss), {**seen, "loss": float(loss)}


def wake(one: Any, other: Any) -> None:
    """Give both adapters the same weights, with a second factor that is not zero."""
    import torch

    theirs = dict(other.model.named_parameters())
    with torch.no_grad():
        torch.manual_seed(1)
        for name, weight in one.model.named_parameters():
            if "lora_" in name:
                theirs[name].copy_(weight.normal_(0.0, 0.05))


def compact(wanted: bool) -> None:
    """Let TRL's head skip unlabelled positions on a CPU, as it does by itself on a GPU."""
    import trl.trainer.utils as inside

    inside._use_triton = lambda device: wanted


@dataclass(frozen=True)
class Timed:
    """One step: seconds, memory above the idle process in MB, and what it computed."""

    seconds: float
    peak_mb: float
    loss: float


def timed(side: Any) -> Timed:
    """Run one step with the memory of earlier ones given back, so that its own peak is seen.

    On a CPU its processor time counts, on a GPU the wall time until the GPU is done.
    """
    gc.collect()
    if side.trainer.model.device.type == "cuda":
        return timed_on_gpu(side)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    idle = resident("VmRSS")
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets VmHWM
    began = time.process_time()
    loss = side.step()
    return Timed(time.process_time() - began, resident("VmHWM") - idle, loss)


def timed_on_gpu(side: Any) -> Timed:
    """Do what :func:`timed` does, on a GPU, where memory is what torch had allocated at most."""
    import torch

    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    idle, began = torch.cuda.memory_allocated(), time.perf_counter()
    loss = side.step()
    torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    return Timed(seconds, (torch.cuda.max_memory_allocated() - idle) / 1e6, loss)


def resident(field: str) -> float:
    """Read a memory field of this process in MB; not a number where there is no /proc."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith(field):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return float("nan")


def operations(shape: Shape, negatives: int) -> dict[str, float]:
    """Count multiply-adds of a step: TRL's pairs (compact, and as installed) and ours.

    A forward pass is one unit per weight and token; the backward pass through frozen weights is
    another, since only the gradient of their input is taken; the adapter's own weights add a third.
    TRL's head is computed four times (policy, its recomputation, its gradient, reference).
    """
    h, layers = shape.hidden, shape.layers
    layer = 4 * h * h + 3 * h * shape.mlp
    lora = shape.rank * (4 * 2 * h + 3 * (h + shape.mlp))
    head = h * VOCABULARY
    vh = shape.vision_hidden
    tower = shape.vision_layers * (TILE_TOKENS * 12 * vh * vh + 2 * TILE_TOKENS**2 * vh)
    tower = shape.tiles * (tower + TILE_TOKENS * (vh * h + h * h))
    prefix = shape.prefix

    def body(tokens: float, attended: float, forward: float, backward: float) -> float:
        passes = forward + backward
        inner = tokens * layer * passes + 2 * attended * h * (forward + 2 * backward)
        return layers * (inner + tokens * lora * 3 * backward)

    row = prefix + ANSWER
    theirs = body(row, row * row / 2, 2, 1) + 2 * tower
    packed = prefix + (negatives + 1) * (ANSWER - 1)
    attended = prefix**2 / 2 + (negatives + 1) * ANSWER * (prefix + ANSWER / 2)
    scored = (negatives + 1) * ANSWER
    ours = body(packed, attended, 1.5, 1) + scored * head * 2.5 + tower
    # The last layer needs the prefix as keys and values only.
    spared = 2 * h * h + 3 * h * shape.mlp
    ours -= (prefix - 1) * (spared * 2.5 + shape.rank * (4 * h + 3 * (h + shape.mlp)) * 3)
    ours -= prefix**2 / 2 * 2 * h * (1.5 + 2)
    return {
        "stock": 2 * negatives * (theirs + ANSWER * head * 4),
        "installed": 2 * negatives * (theirs + (row - 1) * head * 4),
        "ours": ours,
    }


def measure(
    model: Any,
    shape: Shape,
    folder: Path,
    negatives: int,
    rounds: int,
    *,
    installed: bool,
    plain: bool,
) -> dict[str, Any]:
    """Time both sides in turn for one number of negatives; see the module for what is compared."""
    pair = make_pair(folder, model, negatives, shape.prefix)
    ours, stock = Ours(model, pair, shape, folder), Stock(model, pair, shape, folder)
    wake(ours.trainer, stock.trainer)
    separate = Ours(model, pair, shape, folder, packed=False) if plain else None
    first, later, theirs, as_installed, unpacked = [], [], [], [], []
    on_gpu = ours.trainer.model.device.type == "cuda"
    if on_gpu:  # the first step also builds kernels
        for side in (ours, stock):
            timed(side)
    for _ in range(rounds):
        if not on_gpu:
            compact(True)
        theirs.append(timed(stock))
        ours.forget()
        first.append(timed(ours))
        later.append(timed(ours))
        if installed:
            compact(False)
            as_installed.append(timed(stock))
        if separate is not None:
            separate.forget()
            unpacked += [timed(separate), timed(separate)]
    step = (median(first) + median(later)) / 2
    count = operations(shape, negatives)
    result: dict[str, Any] = {
        "ratio": round(median(theirs) / step, 3),
        "bound": round(count["stock"] / count["ours"], 3),
        "equal": ours.agrees_with(stock),
        "apart": ours.apart(stock),
        "peak_mb": round(max(one.peak_mb for one in first), 1),
        "peak_mb_trl": round(max(one.peak_mb for one in theirs), 1),
        "seconds": round(step, 3),
        "seconds_trl": round(median(theirs), 3),
        "rounds": rounds,
    }
    if installed:
        result["ratio_installed"] = round(median(as_installed) / step, 3)
        result["bound_installed"] = round(count["installed"] / count["ours"], 3)
    if plain:
        result["seconds_plain"] = round(statistics.mean(one.seconds for one in unpacked), 3)
        result["peak_mb_plain"] = round(max(one.peak_mb for one in unpacked), 1)
    return result


def measure_sides(model: Any, shape: Shape, folder: Path, rounds: int) -> None:
    """Time rows packed and with one full row per answer: two texts, and mDPO's three answers.

    mDPO's third answer, the chosen one under a crop, has a prefix of its own, which is not shared.
    """
    from harness.records import Side

    pair = make_pair(folder, model, 1, shape.prefix)
    crop = Side(view="resized_crop:size=96,scale=0.05..0.2", seed=1)
    sided = replace(pair, rejected=(*pair.rejected, pair.chosen), sides=(Side(), Side(), crop))
    for name, row in (("chosen and rejected", pair), ("and the chosen one under a crop", sided)):
        sides = [Ours(model, row, shape, folder, packed=how) for how in (None, False)]
        wake(sides[0].trainer, sides[1].trainer)
        seconds: list[list[float]] = [[], []]
        for _ in range(rounds):
            for side, found in zip(sides, seconds, strict=True):
                side.forget()
                found += [timed(side).seconds, timed(side).seconds]
        packed, separate = (statistics.mean(found) for found in seconds)
        one, two = (side.step() for side in sides)
        print(
            f"{name}: packed {packed:.2f} s, separate rows {separate:.2f} s, ratio "
            f"{separate / packed:.2f}; losses {one:.7f} and {two:.7f}"
        )


def median(steps: list[Timed]) -> float:
    """Median of the seconds."""
    return statistics.median(one.seconds for one in steps)


def main() -> None:
    """Measure, print a table, and with ``--json`` one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--full", action="store_true", help="larger model, three rounds")
    parser.add_argument("--installed", action="store_true", help="also TRL without compact head")
    parser.add_argument("--tiles", action="store_true", help="LLaVA-NeXT, an image of five tiles")
    parser.add_argument("--plain", action="store_true", help="also ours with one row per answer")
    parser.add_argument("--sides", action="store_true", help="rows packed and separate, mDPO's too")
    parser.add_argument("--rounds", type=int, help="rounds for every number of negatives")
    parser.add_argument("--negatives", type=int, nargs="+", default=[1, 2, 4, 8])
    args = parser.parse_args()
    import torch
    import transformers

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    shape = FULL if args.full else QUICK
    if args.tiles:
        shape = replace(shape, tiles=5, prefix=3000)
    print(f"{shape}, answers {ANSWER}, vocabulary {VOCABULARY}", flush=True)
    print("negatives  ours s  TRL s  ratio  bound  equal  peak MB  TRL MB", flush=True)
    results = {}
    with tempfile.TemporaryDirectory() as name:
        model = make_model(Path(name), shape)
        if args.sides:
            return measure_sides(model, shape, Path(name), args.rounds or 3)
        for negatives in args.negatives:
            rounds = args.rounds or (3 if args.full else max(1, 2 // negatives))
            result = measure(
                model, shape, Path(name), negatives, rounds,
                installed=args.installed, plain=args.plain,
            )  # fmt: skip
            results[str(negatives)] = result
            print(
                f"{negatives:9d} {result['seconds']:7.2f} {result['seconds_trl']:6.2f} "
                f"{result['ratio']:6.2f} {result['bound']:6.2f} {result['equal']!s:>6} "
                f"{result['peak_mb']:8.0f} {result['peak_mb_trl']:7.0f}"
                + (f"   as installed {result['ratio_installed']:.2f}" if args.installed else "")
                + (f"   plain {result['seconds_plain']:.2f} s" if args.plain else "")
                + (f" {result['peak_mb_plain']:.0f} MB" if args.plain else ""),
                flush=True,
            )
    if args.json:
        print(json.dumps(results))


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    main()
