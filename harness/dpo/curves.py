"""The curves of a training, read back from ``checkpoint/curves.jsonl`` for reports."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.storage import parse_json

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
    """Return the curves of a run; none for a method that trains in its own way.

    A line cut off by a kill, and a value that is not a finite number, are left out.
    """
    try:
        text = (folder / "checkpoint" / "curves.jsonl").read_text(encoding="utf-8")
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
