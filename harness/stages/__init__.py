"""The stages of a run that need no package of their own: checks before it, answers, training."""

from __future__ import annotations

from harness.stages.attribution import Attribution, Reliance, attribute, reliance_of
from harness.stages.checks import check_knobs, preflight, preflight_once
from harness.stages.evaluation import evaluate, sample_of
from harness.stages.rounds import (
    Round,
    RoundFigure,
    Rounds,
    Trained,
    align,
    check_rounds,
    round_folder,
)
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
    "Attribution",
    "Checkpoint",
    "Reliance",
    "Round",
    "RoundFigure",
    "Rounds",
    "Trained",
    "ablation",
    "align",
    "attribute",
    "check_knobs",
    "check_rounds",
    "evaluate",
    "kept_ablation",
    "merged",
    "preflight",
    "preflight_once",
    "reliance_of",
    "round_folder",
    "sample_of",
    "train",
]
