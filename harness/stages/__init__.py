"""The stages of a run that need no package of their own: checks before it, answers, training."""

from __future__ import annotations

from harness.stages.checks import check_knobs, preflight, preflight_once
from harness.stages.evaluation import evaluate, sample_of
from harness.stages.training import (
    Ablation,
    Checkpoint,
    ablation,
    kept_ablation,
    merged,
    train,
)

__all__ = [
    "Ablation",
    "Checkpoint",
    "ablation",
    "check_knobs",
    "evaluate",
    "kept_ablation",
    "merged",
    "preflight",
    "preflight_once",
    "sample_of",
    "train",
]
