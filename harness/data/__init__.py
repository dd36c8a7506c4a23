"""Where benchmark data comes from: describe, mirror, convert, verify."""

from __future__ import annotations

from harness.data.conversion import convert
from harness.data.inspection import inspect
from harness.data.sources import MANIFEST, describe, mirror, same_data, verify
from harness.data.tables import ENDINGS, Placed, is_read, placed_records, plain_cell

__all__ = [
    "ENDINGS",
    "MANIFEST",
    "Placed",
    "convert",
    "describe",
    "inspect",
    "is_read",
    "mirror",
    "placed_records",
    "plain_cell",
    "same_data",
    "verify",
]
