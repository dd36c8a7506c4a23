"""How much of a figure's uncertainty is the judge's own, from several judgings of each answer.

A figure is a function of summed counters (:mod:`harness.benchmark`), so to first order the judge's
wavering enters as the gradient of that function times the spread of each answer's counters: the
delta method. Answers that are asked once, in both arms or in several rows, waver together; their
contributions are added before they are squared. With K judgings the mean of an answer has a K-th
of the variance of one verdict.

Where the median counts (:attr:`harness.benchmark.Rubric.vote`), the spread of single verdicts says
little: two of three may agree safely or by a hair. There the K verdicts of each question are drawn
again with replacement and voted anew, and the spread of the figure over such draws is the error.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.benchmark import Benchmark, Metric, fitted, headline
from harness.judge.records import JudgeError
from harness.records import Sample, Scored, seed_of

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray


_VOTES = 400  # draws of verdicts where the median counts


def combined(
    verdicts: Sequence[Mapping[str, float | None]], *, vote: bool
) -> dict[str, float | None]:
    """Return what several verdicts on one answer come to: their mean, or a vote's lower median.

    ``None`` where one of them is missing.
    """
    middle = statistics.median_low if vote else statistics.fmean
    found: dict[str, float | None] = {}
    for metric in verdicts[0]:
        values = [value for scores in verdicts if (value := scores[metric]) is not None]
        found[metric] = float(middle(values)) if len(values) == len(verdicts) else None
    return found


@dataclass(frozen=True)
class Judged:
    """An answer with all verdicts on it; equal questions were asked once."""

    sample: Sample
    verdicts: tuple[Scored, ...]
    question: str


def errors_of(
    benchmark: Benchmark, before: Sequence[Judged], after: Sequence[Judged]
) -> tuple[JudgeError, ...]:
    """Return the judge's standard error of each headline figure, over rows that both arms have."""
    found = []
    judged = [one.sample for one in (*before, *after)]
    for column in headline(fitted(benchmark.columns, judged)):
        units = _units(column, before), _units(column, after)
        shared = [name for name in units[0] if name in units[1]]
        if not shared:
            continue
        if benchmark.rubric is not None and benchmark.rubric.vote:
            found.append(_voted(benchmark.name, column, before, after, frozenset(shared)))
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


def _voted(
    name: str,
    column: Metric,
    before: Sequence[Judged],
    after: Sequence[Judged],
    shared: frozenset[str],
) -> JudgeError:
    """Return the spread of a figure over verdicts that are drawn again and voted anew."""
    import numpy as np

    one, two = (_figures(column, arm, shared) for arm in (before, after))

    def spread(figures: NDArray[float64]) -> float:
        known = figures[np.isfinite(figures)]
        return round(float(known.std(ddof=1)), 10) if len(known) > 1 else 0.0

    return JudgeError(name, column.name, spread(one), spread(two), spread(two - one))


def _figures(column: Metric, arm: Sequence[Judged], shared: frozenset[str]) -> NDArray[float64]:
    import numpy as np

    groups: dict[str, list[Judged]] = {}
    for judged in arm:
        groups.setdefault(column.group(judged.sample), []).append(judged)
    totals: list[NDArray[float64]] = []
    for name in sorted(shared):
        rows = [_again(row) for row in groups[name]]
        turns = max(map(len, rows))  # one where the judge did not waver on any of them
        counted = [column.count([row[turn % len(row)] for row in rows]) for turn in range(turns)]
        totals.append(np.array(counted, dtype=float))
    steady = np.sum([each[0] for each in totals if len(each) == 1], axis=0)
    wavering = np.sum([each for each in totals if len(each) > 1], axis=0)
    summed = np.broadcast_to(steady + wavering, (_VOTES, totals[0].shape[-1]))
    return np.asarray(column.value(summed), dtype=float)


def _again(judged: Judged) -> tuple[Sample, ...]:
    """Return the answer as it would be scored in each draw of its verdicts; one if all agree.

    Draws depend on the question, so that answers which are judged once vary together.
    """
    import numpy as np

    verdicts = [verdict.scores for verdict in judged.verdicts]
    if all(scores == verdicts[0] for scores in verdicts):
        return (judged.sample,)
    random = np.random.default_rng(seed_of(0, judged.question))
    picks = random.integers(0, len(verdicts), (_VOTES, len(verdicts)))
    return tuple(
        dataclasses.replace(
            judged.sample,
            scores={**judged.sample.scores, **combined([verdicts[i] for i in pick], vote=True)},
        )
        for pick in picks
    )


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
