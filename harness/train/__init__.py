"""Training with a method: the checkpoint, what may follow it, and several rounds of it."""

from __future__ import annotations

from harness.train.afterwards import Ablation, ablation, kept_ablation, merged
from harness.train.checkpoint import Checkpoint, train
from harness.train.rounds import (
    Round,
    RoundFigure,
    Rounds,
    Trained,
    align,
    check_rounds,
    round_folder,
)

__all__ = [
    "Ablation",
    "Checkpoint",
    "Round",
    "RoundFigure",
    "Rounds",
    "Trained",
    "ablation",
    "align",
    "check_rounds",
    "kept_ablation",
    "merged",
    "round_folder",
    "train",
]
