"""The reports that were asked for, found by name before anything is spent on what they show."""

from __future__ import annotations

from collections.abc import Iterable

from harness.dpo import TRACKERS, refuse_tracker
from harness.plugins import load
from harness.report.input import Writer


def writers_of(names: Iterable[str]) -> dict[str, Writer]:
    """Return the reports of these names.

    Raises:
        UsageError: if one is not installed, or is a tracker that cannot be used.
    """
    found: dict[str, Writer] = {name: load("reports", name) for name in names}
    for name in found:
        if name in TRACKERS:
            refuse_tracker(name)
    return found
