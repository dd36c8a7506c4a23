"""Benchmark images that the training prompts show."""

from __future__ import annotations

from harness.contamination.overlap import (
    ImageOverlap,
    Overlap,
    check_contamination,
    overlaps_of,
)

__all__ = [
    "ImageOverlap",
    "Overlap",
    "check_contamination",
    "overlaps_of",
]
