"""What a benchmark is: an lmms-eval task, how an answer is scored, and the figures made of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.compare_columns import Column
    from harness.lmms import Row, Task


@dataclass(frozen=True)
class Scored:
    """The verdict on one answer: values by metric, ``None`` where no verdict could be had."""

    scores: Mapping[str, float | None]
    judge: str = "rule"
    verdict: str | None = None


@dataclass(frozen=True)
class Benchmark:
    """One benchmark, found by its entry point.

    Attributes:
        name: what ``--bench`` takes.
        title: its name in reports.
        task: the lmms-eval task file, relative to lmms-eval's ``tasks`` folder.
        score: judges one answer; called with the task, the row and the answer's text.
        columns: the figures, the headline first.
        groups: named categories of a row, for the breakdown.
        max_new_tokens: limit on the answer, where it differs from the task's own.
        judge: the judge behind the scores, ``"rule"`` when there is none.
        licence: of the data.
        source: where the data and its scoring were published.
        published: figures others have printed, by model name, with their source.
    """

    name: str
    title: str
    task: str
    score: Callable[[Task, Row, str], Scored]
    columns: tuple[Column, ...]
    groups: Callable[[Mapping[str, Any]], Mapping[str, str]] = lambda doc: {}
    max_new_tokens: int | None = None
    judge: str = "rule"
    licence: str = ""
    source: str = ""
    published: Mapping[str, str] = field(default_factory=dict)
