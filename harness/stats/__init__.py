"""Paired estimates, resampling, training seeds, rounding."""

from __future__ import annotations

from harness.stats.confidence import Confidence
from harness.stats.inference import (
    Estimate,
    benjamini_hochberg,
    estimate,
    holm,
    mcnemar,
    swap_test,
)
from harness.stats.power import Design, Moves, detectable, moves_of
from harness.stats.resampling import Value, bootstrap, canonical, jackknife_error, sums_of
from harness.stats.rounding import clipped, half_up, rounded
from harness.stats.seeds import error_of

__all__ = [
    "Confidence",
    "Design",
    "Estimate",
    "Moves",
    "Value",
    "benjamini_hochberg",
    "bootstrap",
    "canonical",
    "clipped",
    "detectable",
    "error_of",
    "estimate",
    "half_up",
    "holm",
    "jackknife_error",
    "mcnemar",
    "moves_of",
    "rounded",
    "sums_of",
    "swap_test",
]
