"""The samples of a run as compact JSON for the page: one array per row, after beside before."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.compare import BenchmarkComparison
from harness.records import Sample, distinct
from harness.report import ReportInput
from harness_reports import words

FIELDS = (
    "bench",
    "id",
    "status",
    "label",
    "question",
    "target",
    "before",
    "after",
    "groups",
    "image",
)
SIDE = ("answer", "verdict", "error", "judge", "thought", "state", "tokens", "scores")
LONGEST = 20_000
"""Characters of one text in the page; what a model said without end stands in the run folder."""
_STATUS = {"fixed": "fixed", "broken": "broken", "lost": "missing", "found": "missing"}


def table_of(report: ReportInput) -> dict[str, Any]:
    """Return every sample of the report.

    ``alone`` says that there is one arm only, ``after``; ``arms`` names both. ``rows`` hold
    :data:`FIELDS`; ``before`` and ``after`` hold :data:`SIDE`, are null where an arm lacks the row,
    and ``after`` is 0 where it equals ``before``. Scores stand in the order of ``metrics``.
    """
    told = _told_of(report)
    benches = [name for name in told if name in report.before or name in report.after]
    metrics = [_metrics(report, name) for name in benches]
    rows = [
        row
        for number, name in enumerate(benches)
        for row in _rows(report, number, name, told[name], metrics[number])
    ]
    return {
        "alone": report.comparison is None,
        "arms": [words.visible(name) for name in report.arms],
        "benches": [words.visible(name) for name in benches],
        "metrics": [[words.visible(name) for name in names] for names in metrics],
        "fields": FIELDS,
        "side": SIDE,
        "rows": rows,
    }


def clusters_of(report: ReportInput) -> tuple[str, ...]:
    """Return the names of all samples' pictures, each once."""
    arms = (*report.before.values(), *report.after.values())
    return distinct(sample.cluster for samples in arms for sample in samples)


def _metrics(report: ReportInput, name: str) -> tuple[str, ...]:
    both = (*report.before.get(name, ()), *report.after.get(name, ()))
    return distinct(metric for sample in both for metric in sample.scores)


def _told_of(report: ReportInput) -> Mapping[str, Mapping[str, tuple[str, str]]]:
    """Return, by benchmark, status and reason of every row that is not simply as most are."""
    if report.comparison is not None:
        return {each.name: became(each) for each in report.comparison.benchmarks}
    return {
        name: {
            row.id: ("missing", "missing")
            for row in report.after.get(name, ())
            if row.error is not None
        }
        for name in distinct(level.benchmark for level in report.levels)
    }


def _rows(
    report: ReportInput,
    number: int,
    name: str,
    told: Mapping[str, tuple[str, str]],
    metrics: Sequence[str],
) -> Iterable[tuple[Any, ...]]:
    before = {sample.id: sample for sample in report.before.get(name, ())}
    after = {sample.id: sample for sample in report.after.get(name, ())}
    most = "unchanged" if report.comparison is not None else "answered"
    for key in distinct((*before, *after)):
        one, two = before.get(key), after.get(key)
        some = one or two
        assert some is not None
        status, label = told.get(key, (most, ""))
        sides = _side(one, metrics), _side(two, metrics)
        yield (
            number,
            words.visible(key),
            status,
            label,
            bounded(some.prompt),
            bounded(some.target),
            sides[0],
            0 if sides[0] == sides[1] else sides[1],
            {words.visible(k): words.visible(v) for k, v in some.groups.items()},
            some.cluster,
        )


def became(benchmark: BenchmarkComparison) -> Mapping[str, tuple[str, str]]:
    """Return status and reason of every row that is not simply unchanged."""
    told = {
        row: (_STATUS[flip.direction], flip.label)
        for flip in benchmark.flips
        for row in flip.rows or (flip.id,)
    }
    gone = (*benchmark.missing_before, *benchmark.missing_after)
    return {**told, **dict.fromkeys(gone, ("missing", "missing"))}


def _side(sample: Sample | None, metrics: Sequence[str]) -> tuple[Any, ...] | None:
    if sample is None:
        return None
    said = (sample.answer, sample.verdict, sample.error, sample.judge, sample.thought)
    return (
        *(None if text is None else bounded(text) for text in said),
        sample.state,
        sample.tokens,
        tuple(_known(sample.scores.get(metric)) for metric in metrics),
    )


def bounded(text: str, longest: int = LONGEST) -> str:
    """Return visible text, cut where it is longest, with a word on what is left out."""
    more = len(text) - longest
    shown = words.visible(text[:longest])
    return f"{shown} … ({more:,} more characters, in the run folder)" if more > 0 else shown


def _known(score: float | None) -> float | None:
    """Return a score, or ``None`` for what no JSON can hold; it is no number either."""
    return score if score is not None and math.isfinite(score) else None
