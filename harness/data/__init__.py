"""Where benchmark data comes from: describe, mirror, convert, verify."""

from __future__ import annotations

from harness.data.conversion import convert
from harness.data.inspection import Inspection, inspect
from harness.data.manifest import MANIFEST
from harness.data.sources import describe, mirror, same_data, verify

__all__ = [
    "MANIFEST",
    "Inspection",
    "convert",
    "describe",
    "inspect",
    "mirror",
    "same_data",
    "verify",
]
