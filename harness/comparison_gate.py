"""What a gate said of each of its rules: a frozen record that every report may show."""

from __future__ import annotations

from dataclasses import dataclass

PASSES, FAILS, UNKNOWN = "passes", "fails", "unknown"


@dataclass(frozen=True, slots=True)
class Ruling:
    """One rule, asked of one figure.

    Attributes:
        rule: as the user wrote it.
        benchmark: whose figure it is.
        column: which figure.
        outcome: ``"passes"``, ``"fails"``, or ``"unknown"`` where the figure could not be had.
        told: what was measured and what the interval says, in words.
    """

    rule: str
    benchmark: str
    column: str
    outcome: str
    told: str
