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
)
from harness.dpo.api import trial as try_step
from harness.dpo.config import LOSSES, ONE_NEGATIVE, TRACKERS, Training, shared, training_of
from harness.dpo.curves import Curve, read_curves
from harness.dpo.effect import PairMargins, TrainingEffect, read_effect
from harness.dpo.loss_terms import needs
from harness.dpo.unfit import Unfit
from harness.old_names import forward as _forward

__all__ = [
    "LOSSES",
    "ONE_NEGATIVE",
    "TRACKERS",
    "Curve",
    "PairMargins",
    "Training",
    "TrainingEffect",
    "Unfit",
    "check_loss",
    "checkpoint_moved",
    "image_ablation",
    "join",
    "merge",
    "needs",
    "pair_encoder",
    "read_curves",
    "read_effect",
    "shared",
    "train",
    "training_of",
    "try_step",
]

if not TYPE_CHECKING:
    __getattr__ = _forward(__name__)
