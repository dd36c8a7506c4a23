"""A judge over stored answers."""

from __future__ import annotations

from harness.judge.prompts import check_prompts, read_prompts
from harness.judge.protocol import check
from harness.judge.records import Judging
from harness.judge.stage import JUDGED, Verdicts, judge, last_judging, place

__all__ = [
    "JUDGED",
    "Judging",
    "Verdicts",
    "check",
    "check_prompts",
    "judge",
    "last_judging",
    "place",
    "read_prompts",
]
