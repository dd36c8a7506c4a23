"""Where benchmark data comes from: describe, mirror, convert, verify."""

from __future__ import annotations

from harness.data.conversion import convert
from harness.data.sources import describe, mirror, same_data, verify

__all__ = [
    "convert",
    "describe",
    "mirror",
    "same_data",
    "verify",
]
