"""Paired estimates, resampling, training seeds, rounding."""

from __future__ import annotations

from harness.stats.inference import (
    Estimate,
    benjamini_hochberg,
    detectable,
    estimate,
    holm,
    interval,
    margin_p,
    mcnemar,
    swap_test,
)
from harness.stats.resampling import Value, bootstrap, canonical, jackknife_error, sums_of
from harness.stats.rounding import clipped, half_up, rounded
from harness.stats.seeds import spread_of, widened, within_of

__all__ = [
    "Estimate",
    "Value",
    "benjamini_hochberg",
    "bootstrap",
    "canonical",
    "clipped",
    "detectable",
    "estimate",
    "half_up",
    "holm",
    "interval",
    "jackknife_error",
    "margin_p",
    "mcnemar",
    "rounded",
    "spread_of",
    "sums_of",
    "swap_test",
    "widened",
    "within_of",
]
