"""Our figures of a task of lmms-eval beside its own, over the same made-up answers."""

from __future__ import annotations

import functools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.benchmark import Benchmark, Row, Task, UnparsableReply, benchmark, fitted
from harness.benchmark.bridge import FORMS
from harness.benchmark.wire import Asked, scored
from harness.records import Answer, Sample
from harness.stages import sample_of

_REPLIES = (
    *("1", "0", "Yes", "No", "A", "5", "0.5", "Score: 3", "8 6"),
    *("Rating: [[0.5]]", "Rating: [[1]]"),
)
_SEEDS = 3


@dataclass(frozen=True)
class Compared:
    """Which figures were compared, and what came out."""

    word: str
    columns: tuple[str, ...] = ()


def answers(task: Task, seed: int) -> list[tuple[Row, str]]:
    """Say something about every row in one of eleven forms."""
    draw = random.Random(seed)
    return [(row, draw.choice(FORMS).format(right=row.target)) for row in task.rows()]


def ours(bench: Benchmark, samples: Sequence[Sample]) -> dict[str, tuple[float, int]]:
    """Return each column's figure, as the task's where that is between 0 and 1, and its rows."""
    found = {}
    for column in fitted(bench.columns, samples):
        groups: dict[str, list[Sample]] = {}
        for sample in samples:
            if column.applies(sample):
                groups.setdefault(column.group(sample), []).append(sample)
        counted = [column.count(rows) for rows in groups.values()]
        if counted and None not in counted:
            total = np.sum(np.array(counted, dtype=float), axis=0)
            figure = float(column.value(total)) / (100 if column.high == 100 else 1)
            found[column.name] = figure, sum(map(len, groups.values()))
    return found


def theirs(task: Task, told: Sequence[Mapping[str, Any]], metric: str) -> float | None:
    """Return the task's own figure of what it said of each row."""
    records = [one[metric] for one in told if metric in one]
    return scored(functools.partial(task.whole, metric, records)) if records else None


def compared(name: str, task: Task) -> Compared:
    """Compare every figure of a task that we read with its own."""
    bench = benchmark(f"lmms:{name}")
    bench.prepare(task)
    worst, rounded, named = 0.0, False, dict[str, None]()
    for seed in range(_SEEDS):
        samples, told = [], []
        for place, (row, text) in enumerate(answers(task, seed)):
            sample, said = _both(bench, task, row, text, seed + place)
            samples.append(sample)
            told.append(said)
        for column, (figure, rows) in ours(bench, samples).items():
            metric = column.split(" (")[0]
            whole = theirs(task, told, metric)
            if whole is None:
                continue
            if column.endswith("(mean of rows)"):  # theirs is the sum over the same rows
                figure *= rows
            differ, as_rounded = _apart(figure, whole)
            worst, rounded = max(worst, differ), rounded or as_rounded
            named[column] = None
    if not named:
        return Compared("not compared: no figure of ours is one of the task's")
    if worst > 1e-6:
        return Compared(f"differ: by {worst:.3g}", tuple(named))
    return Compared("equal as rounded" if rounded else "equal", tuple(named))


def _apart(ours: float, theirs: float) -> tuple[float, bool]:
    """Return how far two figures are apart, and whether that counts the task's own rounding.

    A task may give hundredths; its figure may be rounded to three digits or more of its scale.
    """
    best = min(abs(ours * scale - theirs) for scale in (1, 100))
    if best <= 1e-6:
        return best, False
    for scale, digits in ((1, 5), (1, 4), (1, 3), *((100, places) for places in (5, 4, 3, 2, 1))):
        is_round = abs(round(theirs, digits) - theirs) < 1e-12
        if is_round and abs(ours * scale - theirs) <= 0.5001 * 10**-digits:
            return 0.0, True
    return best, False


def _both(
    bench: Benchmark, task: Task, row: Row, text: str, number: int
) -> tuple[Sample, dict[str, Any]]:
    """Return our sample of an answer and what the task says of it, with the same judge's reply."""
    sample = sample_of(task, bench, row, Answer(text))
    try:
        return sample, _one(scored(lambda: task.results(row, text)))
    except Asked:
        assert bench.rubric is not None
        for turn in range(len(_REPLIES)):
            reply = _REPLIES[(number + turn) % len(_REPLIES)]
            try:
                found = bench.rubric.read(task, row, text, reply)
            except UnparsableReply:
                continue
            told = _one(scored(lambda: task.results(row, text), reply))
            return replace(sample, scores=dict(found.scores), error=None), told
        raise


def _one(results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    several = len(results) > 1
    return {
        f"{metric},{name}" if several else metric: record
        for name, told in results.items()
        for metric, record in told.items()
    }
