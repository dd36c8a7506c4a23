"""What a training did: to the weights, to pairs it has not seen, and its curves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.records import from_json
from harness.storage import parse_json, read_json

EFFECT = "effect.json"
_RESOLUTION = 2.0**-24
"""Half of what a float32 weight can change by, as a share of it."""


@dataclass(frozen=True, slots=True)
class PairMargins:
    """How a model orders preference pairs; log-probabilities are summed over an answer, in nats.

    Attributes:
        margin: mean of the chosen answer's log-probability minus that of the rejected ones.
        accuracy: share of the pairs where that difference is above zero.
    """

    margin: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class TrainingEffect:
    """What a training did.

    Attributes:
        pairs: trained on.
        steps: optimiser steps.
        moving_steps: those of them at a learning rate above zero.
        rates: the learning rate of the first step, the highest, and that of the last step.
        update_norm: L2 norm of the change of all weights.
        weight_norm: L2 norm of the weights that it changed, before.
        cut: share of the trained answers that end without an end token, since they were cut.
        held_out: pairs that were not trained on; zero where ``before`` and ``after`` are of
            pairs that were.
        measured: over how many pairs ``before`` and ``after`` are.
        before: of the model before, with the adapter that is trained on; ``None`` where pairs
            have no rejected answers (SFT).
        after: of the trained model.
    """

    pairs: int
    steps: int
    moving_steps: int
    rates: tuple[float, float, float]
    update_norm: float
    weight_norm: float
    cut: float
    held_out: int
    measured: int
    before: PairMargins | None
    after: PairMargins | None

    @property
    def moved(self) -> bool:
        """Whether the weights are others than before, as far as float32 can tell."""
        least = _RESOLUTION * self.weight_norm
        return self.update_norm > least and math.isfinite(self.update_norm)

    @property
    def facts(self) -> list[tuple[str, str]]:
        """What is known, as names and values in words."""
        told = [
            ("optimiser steps at a rate above zero", f"{self.moving_steps} of {self.steps}"),
            (
                "learning rate: first step, highest, last step",
                ", ".join(f"{rate:.3g}" for rate in self.rates),
            ),
            (
                "update norm (share of the weights' norm)",
                f"{self.update_norm:.3g} ({_share(self.update_norm, self.weight_norm)})",
            ),
            ("answers cut, trained without an end token", f"{self.cut:.1%}"),
        ]
        if self.before is not None and self.after is not None:
            kind = "held-out" if self.held_out else "training"
            one, two = self.before, self.after
            told += [
                (
                    f"margin of {self.measured} {kind} pairs (nats)",
                    f"{one.margin:+.3f} before, {two.margin:+.3f} after",
                ),
                (
                    f"accuracy on {self.measured} {kind} pairs",
                    f"{one.accuracy:.1%} before, {two.accuracy:.1%} after",
                ),
            ]
        return told

    @property
    def note(self) -> str:
        """One sentence for a reader."""
        text = (
            f"Training: {self.moving_steps} of {self.steps} steps at a learning rate above zero "
            f"changed the weights by {_share(self.update_norm, self.weight_norm)} of their norm"
        )
        if self.before is None or self.after is None:
            return text + "."
        kind = "held-out" if self.held_out else "training"
        return (
            f"{text}; on {self.measured} {kind} pairs the margin went from "
            f"{self.before.margin:+.2f} to {self.after.margin:+.2f} nats and the accuracy from "
            f"{self.before.accuracy:.0%} to {self.after.accuracy:.0%}."
        )


def _share(update: float, weights: float) -> str:
    return f"{update / weights:.3%}" if weights else "an unknown share"


def read_effect(folder: Path) -> TrainingEffect | None:
    """Return what a run's training did; ``None`` for a method that trains in its own way."""
    try:
        return from_json(TrainingEffect, read_json(folder / "checkpoint" / EFFECT))
    except (OSError, ValueError, TypeError, KeyError):
        return None


SHOWN = (
    "loss",
    "learning_rate",
    "margin",
    "accuracy",
    "kl",
    "reward_chosen",
    "reward_rejected",
    "length_chosen",
    "length_rejected",
)


@dataclass(frozen=True, slots=True)
class Curve:
    """One measure of the training over its optimiser steps.

    Attributes:
        name: key in ``curves.jsonl``.
        points: step and value, in the order of the steps.
    """

    name: str
    points: tuple[tuple[float, float], ...]


def read_curves(folder: Path) -> tuple[Curve, ...]:
    """Return the curves of a run; none for a method that trains in its own way."""
    return curves_of(folder / "checkpoint" / "curves.jsonl")


def curves_of(file: Path) -> tuple[Curve, ...]:
    """Read the curves of a file.

    A line cut off by a kill, and a value that is not a finite number, are left out.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ()
    rows = [row for line in text.splitlines() if (row := _row(line))]
    curves = (
        Curve(name, tuple((row["step"], row[name]) for row in rows if name in row))
        for name in SHOWN
    )
    return tuple(curve for curve in curves if curve.points)


def _row(line: str) -> Mapping[str, float]:
    try:
        row = parse_json(line)
        found = {key: float(row[key]) for key in ("step", *SHOWN) if key in row}
    except (ValueError, TypeError):
        return {}
    found = {key: value for key, value in found.items() if math.isfinite(value)}
    return found if "step" in found else {}


def checkpoint_moved(path: Path, base: Path) -> bool:
    """Do what :func:`harness.dpo.checkpoint_moved` promises."""
    import torch
    from safetensors import safe_open

    if (path / "adapter_config.json").is_file():
        return any(
            bool(value.any()) or "lora_" not in name
            for name, value in _tensors(path)
            if "lora_A" not in name and "lora_embedding_A" not in name
        )
    known = {name: file for file in base.glob("*.safetensors") for name in _names(file)}
    for name, value in _tensors(path):
        if name not in known:
            return True  # laid out in another way: not comparable
        with safe_open(known[name], framework="pt") as old:
            before = old.get_tensor(name)
        if before.shape != value.shape or not torch.equal(before.float(), value.float()):
            return True
    return False


def _names(file: Path) -> list[str]:
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        return list(opened.keys())


def _tensors(path: Path) -> Any:
    from safetensors import safe_open

    for file in sorted(path.glob("*.safetensors")):
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118  (not a mapping)
                yield name, opened.get_tensor(name)
