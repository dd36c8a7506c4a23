"""A judge over stored answers."""

from __future__ import annotations

from harness.judge.protocol import check
from harness.judge.records import Judging
from harness.judge.results import FOLDER as JUDGED
from harness.judge.results import last_judging, place
from harness.judge.stage import Verdicts, judge

__all__ = [
    "JUDGED",
    "Judging",
    "Verdicts",
    "check",
    "judge",
    "last_judging",
    "place",
]
