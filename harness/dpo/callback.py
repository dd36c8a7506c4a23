"""What is measured of a training: its curves by step, the update, and the order of pairs."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback

from harness.dpo.effect import PairMargins
from harness.errors import HarnessError
from harness.progress import Bar
from harness.storage import parse_json, write_whole

HELD_OUT = "held_out.jsonl"
"""Beside the curves: one object for each measurement of the held-out pairs."""
RENAMED = {
    "loss": "loss",
    "learning_rate": "learning_rate",
    "grad_norm": "grad_norm",
    "epoch": "epoch",
    "rewards/chosen": "reward_chosen",
    "rewards/rejected": "reward_rejected",
    "rewards/margins": "margin",
    "rewards/accuracies": "accuracy",
    "logps/chosen": "logp_chosen",
    "logps/rejected": "logp_rejected",
    "kl": "kl",
    "length/chosen": "length_chosen",
    "length/rejected": "length_rejected",
}
"""Key of the trainer's log line -> key in ``curves.jsonl``."""


class Curves(TrainerCallback):
    """Writes the curves, moves the bar, and stops a step whose gradient is not finite."""

    def __init__(self, path: Path, bar: Bar, pairs_per_step: int) -> None:
        """Write to ``path``; lines of an earlier, killed run are kept up to where it continues."""
        self.path, self.bar, self.pairs = path, bar, pairs_per_step
        self.began, self.note = time.monotonic(), ""

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Cut the file to the step that training continues from."""
        if not state.is_world_process_zero:
            return
        for path in (self.path, self.path.with_name(HELD_OUT)):
            kept: list[str] = []
            if state.global_step and path.is_file():
                lines = path.read_text(encoding="utf-8").splitlines()
                kept = [line for line in lines if 0 <= _step(line) <= state.global_step]
            if path == self.path or path.is_file():
                write_whole(path, "".join(line + "\n" for line in kept))
        self.bar.expect(state.max_steps)
        self.bar.advance(state.global_step)
        self.began = time.monotonic()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **known: Any) -> None:
        """Refuse a gradient that would make every weight NaN."""
        weights = known["model"].named_parameters()
        seen = [(name, weight.grad) for name, weight in weights if weight.grad is not None]
        # Read once for all weights: each reading makes the host wait for a GPU.
        finite = torch.stack([torch.isfinite(grad).all() for _, grad in seen]).tolist()
        if not all(finite):
            raise HarnessError(
                f"The gradient of {seen[finite.index(False)][0]} is not finite at step "
                f"{state.global_step + 1}; training stopped before it could spoil the weights. "
                "Lower learning_rate or beta. The last checkpoint is kept."
            )

    def on_log(self, args: Any, state: Any, control: Any, **known: Any) -> None:
        """Append the step's line."""
        logs: dict[str, Any] = known["logs"]
        if not state.is_world_process_zero:
            return
        if "eval_loss" in logs:
            line = {"step": state.global_step}
            line |= {n: logs[f"eval_{o}"] for o, n in RENAMED.items() if f"eval_{o}" in logs}
            with self.path.with_name(HELD_OUT).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        if "loss" not in logs:
            return
        seconds = time.monotonic() - self.began
        self.began = time.monotonic()
        line = {"step": state.global_step}
        line |= {new: logs[old] for old, new in RENAMED.items() if old in logs}
        per_pair = float(logs.get("tokens", 0.0))
        line["answer_tokens_per_second"] = round(per_pair * self.pairs / max(seconds, 1e-9), 3)
        line["peak_mb"] = round(peak_megabytes(), 1)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.note = f"loss {logs['loss']:.4f}"

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Move the bar."""
        self.bar.advance(1, self.note)


def _step(line: str) -> int:
    """Return the step of a line; -1 for one that was cut off by a kill."""
    try:
        return int(parse_json(line)["step"])
    except (ValueError, KeyError, TypeError):
        return -1


def peak_megabytes() -> float:
    """Return the peak memory so far in MB: of the GPU where there is one, else of the process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e6
    if sys.platform == "win32":
        return 0.0
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def update_norms(
    network: Any, before: Any = None, started: Mapping[str, Tensor] = MappingProxyType({})
) -> tuple[float, float]:
    """Return the L2 norm of the change of the trained weights, and that of these weights before.

    ``network`` is a PEFT model, or one whose own weights were trained from those of ``before``.
    ``started`` holds the weights of the adapter that was trained on, if there was one.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import ModulesToSaveWrapper
    from peft.utils.integrations import dequantize_module_weight

    change, weight = 0.0, 0.0
    with torch.no_grad():
        old = dict(before.named_parameters()) if before is not None else {}
        for key, value in network.named_parameters():
            if key in old and value.requires_grad:
                change += _square(value.double() - old[key].double())
                weight += _square(old[key])
        for path, module in network.named_modules():
            if isinstance(module, BaseTunerLayer):
                for name in module.active_adapters:
                    parts = [f"{path}.lora_{part}.{name}.weight" for part in "AB"]
                    earlier = [started[part] for part in parts if part in started]
                    change += _lora_square(module, name, earlier)
                layer: Any = module.get_base_layer()
                weight += _square(dequantize_module_weight(layer))
            elif isinstance(module, ModulesToSaveWrapper):
                old = dict(module.original_module.named_parameters())
                for name in module.active_adapters:
                    for key, value in module.modules_to_save[name].named_parameters():
                        first = started.get(f"{path}.modules_to_save.{name}.{key}", old[key])
                        change += _square(value.double() - first.to(value.device).double())
                        weight += _square(old[key])
    return math.sqrt(change), math.sqrt(weight)


def _lora_square(module: Any, name: str, earlier: Sequence[Tensor]) -> float:
    """Return the squared norm of ``scale * B A`` without making that matrix: tr(B'B AA').

    Where it was ``b a`` earlier, the change is ``[B - b, b] [A; A - a]``.
    """
    down, up = module.lora_A[name].weight.double(), module.lora_B[name].weight.double()
    if earlier:
        first, second = (each.to(down.device).double() for each in earlier)
        down, up = torch.cat([down, down - first]), torch.cat([up - second, second], dim=1)
    square = float(((up.T @ up) * (down @ down.T)).sum())
    return float(module.scaling[name]) ** 2 * max(square, 0.0)


def _square(value: Tensor) -> float:
    return float(value.double().square().sum())


def margins(trainer: Any, rows: Sequence[int]) -> tuple[PairMargins, PairMargins] | None:
    """Order pairs by the model before and after; all processes of a training share the work.

    Returns:
        Before and after; ``None`` where the pairs have no rejected answers.
    """
    if trainer.loss.only_chosen or not rows:
        return None
    network = trainer.accelerator.unwrap_model(trainer.model)
    size = trainer.args.per_device_train_batch_size
    training = network.training
    network.eval()
    mine = rows[trainer.args.process_index :: trainer.args.world_size]
    total = torch.zeros(5, dtype=torch.float64)
    with torch.no_grad():
        for at in range(0, len(mine), size):
            batch = trainer.data_collator([{"row": row} for row in mine[at : at + size]])
            batch = trainer._prepare_inputs(batch)
            after, before = trainer.policy_and_reference(network, network, batch)
            total[0] += len(batch["rows"])
            for place, values in ((1, before), (3, after)):
                gaps = _gaps(values.cpu(), batch["counts"].cpu())
                total[place] += gaps.sum()
                total[place + 1] += (gaps > 0).sum()
    network.train(training)
    total = trainer.accelerator.reduce(total.to(trainer.args.device), reduction="sum").cpu()
    count, *sums = total.tolist()
    one, two, three, four = (value / count for value in sums)
    return PairMargins(one, two), PairMargins(three, four)


def _gaps(values: Tensor, counts: Tensor) -> Tensor:
    """Return chosen minus mean rejected, ``(B,)``, of flat values."""
    parts: Any = torch.split(values.double(), counts.tolist())
    return torch.stack([part[0] - part[1:].mean() for part in parts])
