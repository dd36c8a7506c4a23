"""A result as every report shows it: put together in one place, and handed to each writer."""

from __future__ import annotations

from harness.report.conclusion import conclude, conclude_alone, each_round
from harness.report.input import (
    ARMS,
    TWO_SEEDS,
    ReportInput,
    Taken,
    Writer,
    note_records,
    write_reports,
)
from harness.report.writers import writers_of

__all__ = [
    "ARMS",
    "TWO_SEEDS",
    "ReportInput",
    "Taken",
    "Writer",
    "conclude",
    "conclude_alone",
    "each_round",
    "note_records",
    "write_reports",
    "writers_of",
]
