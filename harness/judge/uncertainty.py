"""How much of a figure's uncertainty is the judge's own, from several judgings of each answer.

A figure is a function of summed counters (:mod:`harness.benchmark`), so to first order the judge's
wavering enters as the gradient of that function times the spread of each answer's counters: the
delta method. Answers that are asked once, in both arms or in several rows, waver together; their
contributions are added before they are squared. With K judgings the mean of an answer has a K-th
of the variance of one verdict.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.benchmark import Benchmark, Metric, headline
from harness.judge.records import JudgeError
from harness.records import Sample, Scored

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Judged:
    """An answer with all verdicts on it.

    Attributes:
        sample: with the scores that count.
        verdicts: what each judging gave.
        question: equal where the judge was asked but once.
    """

    sample: Sample
    verdicts: tuple[Scored, ...]
    question: str


def errors_of(
    benchmark: Benchmark, before: Sequence[Judged], after: Sequence[Judged]
) -> tuple[JudgeError, ...]:
    """Return the judge's standard error of each headline figure, over rows that both arms have.

    Args:
        benchmark: whose rows these are.
        before: answers with their verdicts; those without any are left out.
        after: the same of the other arm.
    """
    found = []
    for column in headline(benchmark.columns):
        units = _units(column, before), _units(column, after)
        shared = [name for name in units[0] if name in units[1]]
        if not shared:
            continue
        moves = [_moves(column, [arm[name] for name in shared]) for arm in units]
        found.append(
            JudgeError(
                benchmark=benchmark.name,
                column=column.name,
                before=_error([(moves[0], 1.0)]),
                after=_error([(moves[1], 1.0)]),
                difference=_error([(moves[0], -1.0), (moves[1], 1.0)]),
            )
        )
    return tuple(found)


@dataclass(frozen=True)
class _Unit:
    """Rows that count together: their questions, and their counters in each judging."""

    questions: str
    counters: tuple[tuple[float, ...], ...]


def _units(column: Metric, arm: Sequence[Judged]) -> dict[str, _Unit]:
    groups: dict[str, list[Judged]] = {}
    for judged in arm:
        groups.setdefault(column.group(judged.sample), []).append(judged)
    units = {}
    for name, rows in groups.items():
        turns = min(len(row.verdicts) for row in rows)
        counted = [column.count([_in_turn(row, turn) for row in rows]) for turn in range(turns)]
        known = tuple(counters for counters in counted if counters is not None)
        if known and len(known) == turns:
            units[name] = _Unit("\0".join(row.question for row in rows), known)
    return units


def _in_turn(judged: Judged, turn: int) -> Sample:
    scores = {**judged.sample.scores, **judged.verdicts[turn].scores}
    return dataclasses.replace(judged.sample, scores=scores)


def _moves(column: Metric, units: Sequence[_Unit]) -> dict[str, NDArray[float64]]:
    """Return what each question's verdicts, judging by judging, do to the figure."""
    import numpy as np

    each = [np.array(unit.counters) for unit in units]
    total = np.sum([counters.mean(axis=0) for counters in each], axis=0)
    gradient = _gradient(column, total)
    moves: dict[str, NDArray[float64]] = {}
    for unit, counters in zip(units, each, strict=True):
        move = (counters - counters.mean(axis=0)) @ gradient
        moves[unit.questions] = moves.get(unit.questions, np.zeros(len(move))) + move
    return moves


def _gradient(column: Metric, total: NDArray[float64]) -> NDArray[float64]:
    import numpy as np

    step = 1e-5 * np.maximum(np.abs(total), 1.0)
    spread = np.diag(step)
    return np.nan_to_num((column.value(total + spread) - column.value(total - spread)) / (2 * step))


def _error(arms: Sequence[tuple[Mapping[str, NDArray[float64]], float]]) -> float:
    import numpy as np

    together: dict[str, NDArray[float64]] = {}
    for moves, sign in arms:
        for question, move in moves.items():
            together[question] = together.get(question, np.zeros(len(move))) + sign * move
    variance = sum(
        float(move.var(ddof=1)) / len(move) for move in together.values() if len(move) > 1
    )
    return round(float(np.sqrt(variance)), 10)
