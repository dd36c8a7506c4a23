"""Columns of tasks that are not ours: what their names say, and what their rows hold.

The name of such a column says how its figure is made and on which scale, where that is not the mean
of values between 0 and 1: ``average (mean over l2_category)``, ``pair_accuracy (all of a
pair_index)``, ``gpt_score (0 to 10)``. So rows, records and reports need nothing else to be read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from harness.benchmark.metrics import (
    Metric,
    Ratio,
    all_of,
    divided,
    has,
    present,
    ratio_of,
    together,
)
from harness.benchmark.readings import BELOW, BETWEEN, CELLS, GROUPS, RATIO, WORDS, numeric

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

    from harness.records import Sample

_IN_PLACE = ("score", "accuracy", "acc", "correct")
_AGGREGATE = re.compile(r"(?<![a-z])(average|avg|overall|total|all|mean)(?![a-z])", re.IGNORECASE)
_TOLD = re.compile(r".* \((?P<told>[^()]*)\)$")
_SCALE = re.compile(r"0 to (?P<top>[\d.e+]+)")


def pending_columns(
    metrics: Mapping[str, bool | None], head: str | None = None
) -> tuple[Metric, ...]:
    """Return the columns of a task before any of its rows was scored; see :func:`fitted`."""
    return tuple(
        replace(_column(name, better, ()), count=_Pending(name), primary=name == head)
        for name, better in metrics.items()
    )


def fitted(columns: Sequence[Metric], rows: Iterable[Sample]) -> tuple[Metric, ...]:
    """Return the columns that rows have.

    The headline is the metric that the user names, else the task's aggregate: the metric that
    every row has, one called average or overall before others. Where no metric has every row,
    as each stands for a part of them, all of them are the headline.
    """
    rows = list(rows)
    if not any(isinstance(column.count, _Pending) for column in columns):
        return present(columns, rows)
    scored = [row.scores for row in rows if row.scores]
    keys = list(dict.fromkeys(key for scores in scored for key in scores))
    made = [
        replace(_column(key, column.higher_is_better, rows), primary=column.primary)
        for column in columns
        for key in keys
        if _is_of(key, column.name)
    ]
    if not made:
        return tuple(columns)
    if not any(column.primary for column in made):
        heads = _heads([column.name for column in made], scored)
        made = [replace(column, primary=column.name in heads) for column in made]
    return tuple(sorted(made, key=lambda column: not column.primary))


def _is_of(key: str, metric: str) -> bool:
    return key == metric or (key.startswith((f"{metric} (", f"{metric},")) and BELOW not in key)


def _heads(names: Sequence[str], scored: Sequence[Mapping[str, Any]]) -> set[str]:
    everywhere = [name for name in names if scored and all(name in each for each in scored)]
    called = [name for name in everywhere if is_aggregate(name.split(" (")[0])]
    if everywhere:
        return {(called or everywhere)[0]}
    there = [name for name in names if any(name in each for each in scored)]
    return set(there or names[:1])


def is_aggregate(metric: str) -> bool:
    """Say whether a metric's name is that of a figure over all parts of a task."""
    return _AGGREGATE.search(metric.replace("_", " ")) is not None


def known_columns(
    named: Mapping[str, tuple[bool | None, bool]], rows: Sequence[Sample]
) -> tuple[Metric, ...]:
    """Return the columns of a finished run by the names in its records.

    Each name has a direction and says whether it is a headline; rows are those of all arms.
    """
    return tuple(
        replace(_column(name, better, rows), primary=primary)
        for name, (better, primary) in named.items()
    )


def _column(name: str, better: bool | None, rows: Sequence[Sample]) -> Metric:
    told = _TOLD.fullmatch(name)
    parts = told["told"].split("; ") if told else []
    scale = next((match for part in parts if (match := _SCALE.fullmatch(part))), None)
    top = float(scale["top"]) if scale else 1.0
    kind = next((k for part in parts for k, words in WORDS.items() if part.startswith(words)), "")
    times, high = (100.0, 100.0) if top <= 1 else (1.0, top)
    common: dict[str, Any] = {
        "higher_is_better": better,
        "high": high,
        "digits": 1 if high >= 100 else 2,
        "applies": has(name),
    }
    if kind == GROUPS:
        return all_of(name, group=together(name), **common)
    if kind == CELLS:
        cells = tuple(sorted({row.units[name] for row in rows if name in row.units}))
        return Metric(name, _InCells(name, cells), _OverCells(times, cells), **common)
    if kind == RATIO:
        del common["high"]
        return ratio_of(name, name + BELOW, name=name, scale=times, **common)
    return Metric(name, _Given(name), Ratio(times), mean=True, **common)


def adhoc_columns(
    metrics: Mapping[str, bool | None], rows: Sequence[Sample] = ()
) -> tuple[Metric, ...]:
    """Return one column for each metric, with its direction; the first is the headline.

    Where no row has a value above 1 the column is in hundredths. Else it is the plain mean, and its
    scale is taken to end at the next power of ten.
    """
    columns: list[Metric] = []
    for metric, better in metrics.items():
        top = max((row.scores.get(metric) or 0.0 for row in rows), default=0.0)
        scale, high = (100.0, 100.0) if top <= 1 else (1.0, 10.0 ** math.ceil(math.log10(top)))
        columns.append(
            Metric(
                metric,
                _Given(metric),
                Ratio(scale),
                higher_is_better=better,
                high=high,
                digits=1 if high >= 100 else 2,
                primary=not columns,
                applies=has(metric),
            )
        )
    return tuple(columns)


@dataclass(frozen=True)
class _Pending:
    """Counts nothing: which rows have the metric, and how, is not known yet."""

    metric: str

    def __call__(self, rows: Sequence[Sample]) -> tuple[float, float] | None:
        return _Given(self.metric)(rows)


@dataclass(frozen=True)
class _InCells:
    """For each cell the sum of its rows' values and their number."""

    column: str
    cells: tuple[str, ...]

    def __call__(self, rows: Sequence[Sample]) -> tuple[float, ...] | None:
        counters = [0.0] * (2 * len(self.cells))
        for row in rows:
            value, cell = row.scores.get(self.column), row.units.get(self.column)
            if value is None or cell not in self.cells:
                return None
            place = 2 * self.cells.index(cell)
            counters[place] += value
            counters[place + 1] += 1.0
        return tuple(counters)


@dataclass(frozen=True)
class _OverCells:
    """The mean of the cells' means; where cells lie in others, the mean of those means."""

    scale: float
    cells: tuple[str, ...]

    def __call__(self, totals: NDArray[float64]) -> NDArray[float64]:
        import numpy as np

        names = [tuple(cell.split(BETWEEN)) for cell in self.cells]
        level = divided(totals[..., 0::2], totals[..., 1::2])
        while names and names[0]:
            above = list(dict.fromkeys(name[:-1] for name in names))
            parts = [
                _known_mean(level[..., [i for i, name in enumerate(names) if name[:-1] == one]])
                for one in above
            ]
            level, names = np.stack(parts, axis=-1), above
        if not names:
            return np.full(np.shape(totals)[:-1], np.nan)
        figure: NDArray[float64] = self.scale * level[..., 0]
        return figure


def _known_mean(values: NDArray[float64]) -> NDArray[float64]:
    """Return the mean over the last axis of what is known; NaN where nothing is."""
    import numpy as np

    there = np.isfinite(values)
    return divided(np.where(there, values, 0.0).sum(axis=-1), there.sum(axis=-1))


@dataclass(frozen=True)
class _Given:
    """Sum of a metric over the rows that have it, and their number; a lost one is missing."""

    metric: str

    def __call__(self, rows: Sequence[Sample]) -> tuple[float, float] | None:
        applies = has(self.metric)
        values = [row.scores.get(self.metric) for row in rows if applies(row) is not False]
        known = [value for value in values if value is not None]
        return (float(sum(known)), float(len(known))) if len(known) == len(values) else None


def scores_in(values: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the numbers among a row's values: a lost one is ``None``, and a text is none at all.

    So a metric that a row does not have (it does not apply) and one that it should have and lost
    (``None``, NaN) stay apart.
    """
    return {name: number_of(value) for name, value in values.items() if _numeric(value)}


def number_of(value: Any) -> float | None:
    """Return a row's value of a metric: a number, or the ``score`` of a mapping; else ``None``."""
    if isinstance(value, Mapping):
        keys = [key for key in _IN_PLACE if key in value]
        return number_of(value[keys[0]]) if keys else None
    return numeric(value)


def _numeric(value: Any) -> bool:
    """Say whether a value is a number, or stands where one should be."""
    if isinstance(value, Mapping):
        keys = [key for key in _IN_PLACE if key in value]
        return bool(keys) and _numeric(value[keys[0]])
    return value is None or isinstance(value, bool | int | float) or hasattr(value, "__float__")
