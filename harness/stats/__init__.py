"""Paired estimates, resampling, training seeds, rounding."""

from __future__ import annotations

from harness.stats.confidence import Confidence
from harness.stats.corrections import MOST as MOST_LOOKS
from harness.stats.corrections import SPENDING, Pooled, look_levels, partial_pooling
from harness.stats.inference import (
    Estimate,
    benjamini_hochberg,
    distribution,
    effective,
    estimate,
    holm,
    mcnemar,
    swap_test,
)
from harness.stats.power import (
    CURVE,
    WANTED,
    Design,
    Moves,
    detectable,
    images_for,
    power_at,
    seeds_for,
)
from harness.stats.resampling import Value, bootstrap, canonical, jackknife_error, sums_of
from harness.stats.rounding import clipped, half_up, rounded

__all__ = [
    "CURVE",
    "MOST_LOOKS",
    "SPENDING",
    "WANTED",
    "Confidence",
    "Design",
    "Estimate",
    "Moves",
    "Pooled",
    "Value",
    "benjamini_hochberg",
    "bootstrap",
    "canonical",
    "clipped",
    "detectable",
    "distribution",
    "effective",
    "estimate",
    "half_up",
    "holm",
    "images_for",
    "jackknife_error",
    "look_levels",
    "mcnemar",
    "partial_pooling",
    "power_at",
    "rounded",
    "seeds_for",
    "sums_of",
    "swap_test",
]
