"""What a benchmark is: an lmms-eval task, how an answer is scored, and the figures made of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.old_names import renamed_keywords
from harness.records import Scored

if TYPE_CHECKING:
    from harness.benchmark.metrics import Metric
    from harness.benchmark.official import SourceFiles
    from harness.benchmark.rubric import Rubric
    from harness.benchmark.task import Row, Task
    from harness.records import Answer

__all__ = ["Benchmark", "Choices", "Scored"]


@dataclass(frozen=True)
class Choices:
    """Answers whose log-probabilities are compared, and the place of the right one."""

    texts: tuple[str, ...]
    right: int


@renamed_keywords
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
        units: what a row counts together with, by name; see :func:`harness.benchmark.together`.
        row_units: the same, where only the task's own scoring knows them.
        prepare: called before a model is asked; returns what a reader should know, or raises
            where the rows cannot be measured.
        choices: the answers a row allows, where they are few; gives the ``logit`` scores.
        image_source: what the row's photograph is called in the collection it was taken from, such
            as its COCO file; the contamination check looks for it among the training images.
        max_new_tokens: limit on the answer, where it differs from the task's own.
        judge: the judge behind the scores, ``"rule"`` when there is none.
        rubric: how a language model judges it instead, where it can.
        source_files: the files its authors publish, where the hub does not hold what the task
            reads.
        licence: of the data.
        source: where the data and its scoring were published.
        published: figures others have printed, by model name, with their source.
    """

    name: str
    title: str
    task: str
    score: Callable[[Task, Row, str], Scored]
    columns: tuple[Metric, ...]
    groups: Callable[[Mapping[str, Any]], Mapping[str, str]] = lambda doc: {}
    units: Callable[[Mapping[str, Any]], Mapping[str, str]] = lambda doc: {}
    choices: Callable[[Row], Choices] | None = None
    row_units: Callable[[Task, Row], Mapping[str, str]] = lambda task, row: {}
    prepare: Callable[[Task], tuple[str, ...]] = lambda task: ()
    image_source: Callable[[Mapping[str, Any]], str] = lambda doc: ""
    max_new_tokens: int | None = None
    judge: str = "rule"
    rubric: Rubric | None = None
    source_files: SourceFiles | None = None
    licence: str = ""
    source: str = ""
    published: Mapping[str, str] = field(default_factory=dict)

    def asked(self, row: Row) -> tuple[str, ...]:
        """Return the answers whose log-probabilities :class:`Request` should ask for."""
        return self.choices(row).texts if self.choices is not None else ()

    def logit(self, row: Row, answer: Answer) -> dict[str, float | None]:
        """Score the model's preference among the allowed answers, whatever it wrote.

        Returns:
            ``logit``: 1 if the right answer is the most probable one, else 0 (a tie is 0), and
            ``logit_right``: its share of the probability of all allowed answers, from 0 to 1.
            Both are ``None`` if the model gave no log-probabilities, and nothing is returned for a
            benchmark without choices.
        """
        if self.choices is None:
            return {}
        wanted = self.choices(row)
        logs = answer.choices
        if len(logs) != len(wanted.texts) or not all(map(math.isfinite, logs)):
            return {"logit": None, "logit_right": None}
        top = max(logs)
        right = logs[wanted.right]
        share = math.exp(right - top) / math.fsum(math.exp(value - top) for value in logs)
        return {
            "logit": float(right == top and logs.count(top) == 1),
            "logit_right": share,
        }
