"""What a benchmark is: an lmms-eval task, how an answer is scored, and the figures made of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.old_names import renamed_keywords
from harness.records import Scored

if TYPE_CHECKING:
    from harness.benchmark.metrics import Metric
    from harness.benchmark.rubric import Rubric
    from harness.benchmark.source_files import SourceFiles
    from harness.benchmark.task import Row, Task
    from harness.records import Answer

__all__ = ["Benchmark", "Choices", "Papers", "Scored"]


@dataclass(frozen=True)
class Choices:
    """Answers whose log-probabilities are compared, and the place of the right one."""

    texts: tuple[str, ...]
    right: int


@dataclass(frozen=True)
class Papers:
    """How the authors whose figures are compared ask a benchmark and read its answers.

    Attributes:
        headline: names of the columns that stand in their tables.
        wording: the question about a row, where it is not the task's own.
        needs: columns of the data that the wording reads and the task does not.
        max_new_tokens: limit on the answer, where theirs is another.
    """

    headline: tuple[str, ...]
    wording: Callable[[Row], str] | None = None
    needs: tuple[str, ...] = ()
    max_new_tokens: int | None = None


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
        choices: the answers a row allows, where they are few (else no texts); gives the ``logit``
            scores.
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
        papers: by protocol, how authors ask it and read it.
        wording: the question about a row, in the place of the task's own.
        needs: columns of the data that this wording reads.
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
    papers: Mapping[str, Papers] = field(default_factory=dict)
    wording: Callable[[Row], str] | None = None
    needs: tuple[str, ...] = ()

    def under(self, protocol: str) -> Benchmark:
        """Return the benchmark as a protocol asks and reads it; most protocols change nothing."""
        found = self.papers.get(protocol)
        if found is None:
            return self
        names = [column.name for column in self.columns]
        assert set(found.headline) <= set(names), (found.headline, names)
        return replace(
            self,
            columns=tuple(
                replace(column, primary=column.name in found.headline) for column in self.columns
            ),
            wording=found.wording,
            needs=found.needs,
            max_new_tokens=found.max_new_tokens or self.max_new_tokens,
        )

    def check_columns(self, where: str, columns: Sequence[str]) -> None:
        """Refuse data that lacks what the wording reads.

        Raises:
            UsageError: if a column is absent.
        """
        lacking = [name for name in self.needs if name not in columns]
        if lacking:
            raise UsageError(
                f"{self.name}: {where} has no column {' and no column '.join(lacking)}, which the "
                f"protocol's wording of the question reads. It has: {', '.join(columns)}. Fetch "
                "the data set with that column, or leave --protocol out."
            )

    def question(self, row: Row) -> str:
        """Return what is asked about a row.

        Raises:
            KeyError: if the row lacks what the wording reads.
        """
        return row.text if self.wording is None else self.wording(row)

    def asked(self, row: Row) -> tuple[str, ...]:
        """Return the answers whose log-probabilities :class:`Request` should ask for."""
        return self.choices(row).texts if self.choices is not None else ()

    def logit(self, row: Row, answer: Answer) -> dict[str, float | None]:
        """Score the model's preference among the allowed answers, whatever it wrote.

        Returns:
            ``logit``: 1 if the right answer is the most probable one, else 0 (a tie is 0), and
            ``logit_right``: its share of the probability of all allowed answers, from 0 to 1.
            Both are ``None`` if the model gave no log-probabilities, and nothing is returned where
            there are no choices: in the whole benchmark, or in this row.
        """
        if self.choices is None:
            return {}
        wanted = self.choices(row)
        if not wanted.texts:
            return {}
        logs = answer.choices
        if len(logs) != len(wanted.texts) or not all(map(math.isfinite, logs)):
            return {"logit": None, "logit_right": None}
        top = max(logs)
        right = logs[wanted.right]
        share = math.exp(right - top) / math.fsum(math.exp(value - top) for value in logs)
        return {"logit": float(right == top and logs.count(top) == 1), "logit_right": share}
