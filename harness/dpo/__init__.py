"""Preference training on TRL; imports neither torch nor trl until something is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.dpo.api import (
    check_loss,
    checkpoint_moved,
    image_ablation,
    join,
    merge,
    pair_encoder,
    train,
    try_step,
)
from harness.dpo.config import (
    SMALL,
    TRACKERS,
    Training,
    refuse_tracker,
    shared,
    training_of,
)
from harness.dpo.effect import Curve, PairMargins, TrainingEffect, read_curves, read_effect
from harness.dpo.length import steps_of
from harness.dpo.loss_terms import BY_BOTH, BY_IMAGE, BY_TEXT, LOSSES, ONE_NEGATIVE, needs, terms_of
from harness.dpo.pair import UNHELD, Unfit, kinds_of, sides_problem
from harness.old_names import forward as _forward

__all__ = [
    "BY_BOTH",
    "BY_IMAGE",
    "BY_TEXT",
    "LOSSES",
    "ONE_NEGATIVE",
    "SMALL",
    "TRACKERS",
    "UNHELD",
    "Curve",
    "PairMargins",
    "Training",
    "TrainingEffect",
    "Unfit",
    "check_loss",
    "checkpoint_moved",
    "image_ablation",
    "join",
    "kinds_of",
    "merge",
    "needs",
    "pair_encoder",
    "read_curves",
    "read_effect",
    "refuse_tracker",
    "shared",
    "sides_problem",
    "steps_of",
    "terms_of",
    "train",
    "training_of",
    "try_step",
]

if not TYPE_CHECKING:
    __getattr__ = _forward(__name__)
