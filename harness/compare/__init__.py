"""Before against after: join, estimate, verdicts, flips, and the gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.compare.flips import examples_of
from harness.compare.gate import FAILS, PASSES, UNKNOWN, Ruling, check_rules, exit_code
from harness.compare.joining import Unit, arrays_of, join, units_of
from harness.compare.levels import MetricLevel, levels_of
from harness.compare.paired import compare
from harness.compare.pooled import confidence_of
from harness.compare.records import (
    GAIN,
    LOSS,
    VERDICTS,
    VERSION,
    BenchmarkComparison,
    Comparison,
    Example,
    MetricResult,
    check_words,
)
from harness.compare.terms import Terms, strictest
from harness.compare.uncertainty import by_rows, components, partially_pooled
from harness.compare.verdicts import (
    Summary,
    decide,
    deciding,
    excludes_zero,
    losses_in,
    summary,
    survives,
    unreadable,
)
from harness.old_names import forward as _forward

__all__ = [
    "FAILS",
    "GAIN",
    "LOSS",
    "PASSES",
    "UNKNOWN",
    "VERDICTS",
    "VERSION",
    "BenchmarkComparison",
    "Comparison",
    "Example",
    "MetricLevel",
    "MetricResult",
    "Ruling",
    "Summary",
    "Terms",
    "Unit",
    "arrays_of",
    "by_rows",
    "check_rules",
    "check_words",
    "compare",
    "components",
    "confidence_of",
    "decide",
    "deciding",
    "examples_of",
    "excludes_zero",
    "exit_code",
    "join",
    "levels_of",
    "losses_in",
    "partially_pooled",
    "strictest",
    "summary",
    "survives",
    "units_of",
    "unreadable",
]

if not TYPE_CHECKING:
    __getattr__ = _forward(__name__)
