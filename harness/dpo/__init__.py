"""Preference training on TRL; imports neither torch nor trl until something is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.dpo.api import image_ablation, merge, train
from harness.dpo.config import LOSSES, ONE_NEGATIVE, Training
from harness.dpo.curves import Curve, read_curves
from harness.old_names import forward as _forward

__all__ = [
    "LOSSES",
    "ONE_NEGATIVE",
    "Curve",
    "Training",
    "image_ablation",
    "merge",
    "read_curves",
    "train",
]

if not TYPE_CHECKING:
    __getattr__ = _forward(__name__)
