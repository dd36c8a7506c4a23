"""Benchmark images that the training prompts show."""

from __future__ import annotations

from harness.contamination.overlap import Overlap, Touched, overlaps_of
from harness.contamination.scan import look_for

__all__ = [
    "Overlap",
    "Touched",
    "look_for",
    "overlaps_of",
]
