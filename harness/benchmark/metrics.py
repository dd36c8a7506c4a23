"""How a benchmark's samples become one figure.

A figure is ``value(sum of counters)``: every group of rows gives a few counters, they are added
up, and only then turned into the figure. Written so, a resampled figure is the same function of
re-weighted sums, and accuracy, F1, hallucination rates, pair and circular accuracies and totals
over subtasks all share one bootstrap and one permutation test.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from harness.records import Sample

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

Counters = tuple[float, ...]


@dataclass(frozen=True)
class Metric:
    """One figure of a benchmark.

    Attributes:
        name: how tables call it.
        count: counters of one group of rows of one arm; ``None`` when they are unknown.
        value: maps summed counters, shape (..., k), to the figure, shape (...). It must accept any
            leading shape and give ``nan`` where the figure is undefined, such as 0 / 0.
        group: rows with equal text are counted together; by default every row for itself.
        higher_is_better: ``None`` where neither direction is better, such as a share of "yes".
        low: smallest possible figure.
        high: largest possible figure; margins are a share of ``high - low``.
        unit: what follows the figure in words, such as ``"points"``.
        digits: decimals in tables.
        primary: counts for the headline; where no column is marked, a benchmark's first one is.
        mean: the figure is the mean of the first counter, each group weighing the same. Flips are
            read from such a column.
        lenient: name of the column that judges the same rows by content rather than by format.
        applies: whether a row has this figure at all; ``None`` where that cannot be known, as the
            row failed. A row to which it does not apply is no missing one.
    """

    name: str
    count: Callable[[Sequence[Sample]], Counters | None]
    value: Callable[[NDArray[float64]], NDArray[float64]]
    group: Callable[[Sample], str] = attrgetter("id")
    higher_is_better: bool | None = True
    low: float = 0.0
    high: float = 100.0
    unit: str = "points"
    digits: int = 1
    primary: bool = False
    mean: bool = False
    lenient: str = ""
    applies: Callable[[Sample], bool | None] = lambda row: True


def mean_of(
    metric: str, *, scale: float = 100.0, low: float = 0.0, high: float = 1.0, **fields: Any
) -> Metric:
    """Return the plain mean of a metric of the rows, times ``scale``.

    Args:
        metric: key in :attr:`Sample.scores`; also the column's name unless ``name`` is given.
        scale: 100 turns a share into points.
        low: smallest value of one row, before scaling.
        high: largest value of one row, before scaling.
        fields: further fields of :class:`Metric`.
    """
    fields.setdefault("name", metric)
    return Metric(
        count=_Counts((metric,), _one),
        value=Ratio(scale),
        low=low * scale,
        high=high * scale,
        mean=True,
        **fields,
    )


def all_of(metric: str, *, group: Callable[[Sample], str], **fields: Any) -> Metric:
    """Return the share of groups whose every row is right (circular MMBench, MME's accuracy+).

    Args:
        metric: 0 or 1 for each row.
        group: names the group of a row.
        fields: further fields of :class:`Metric`.
    """
    fields.setdefault("name", metric)
    count = _Every(metric)
    return Metric(count=count, value=Ratio(100.0), group=group, mean=True, **fields)


def ratio_of(over: str, under: str, *, scale: float = 100.0, **fields: Any) -> Metric:
    """Return sum over sum, such as hallucinated objects per mentioned object (CHAIR-i).

    Args:
        over: metric that is summed in the numerator.
        under: metric that is summed in the denominator.
        scale: 100 turns a share into points.
        fields: further fields of :class:`Metric`.
    """
    fields.setdefault("name", f"{over}/{under}")
    fields.setdefault("high", scale)
    return Metric(count=_Counts((over, under), tuple), value=Ratio(scale), **fields)


def f1_of(said: str, label: str, *, scale: float = 100.0, **fields: Any) -> Metric:
    """Return F1 of the positive class: 2 tp / (2 tp + fp + fn).

    Args:
        said: metric that is 1 where the answer was positive, else 0.
        label: metric that is 1 where the truth is positive, else 0.
        scale: 100 turns a share into points.
        fields: further fields of :class:`Metric`.
    """
    fields.setdefault("name", "f1")
    fields.setdefault("high", scale)
    return Metric(count=_Counts((said, label), _hits), value=_F1(scale), **fields)


def has(metric: str) -> Callable[[Sample], bool | None]:
    """Say that a column applies to rows that carry this score; a failed row carries none.

    Rows of a version that did not have the column yet do not carry it, and are not missing.
    """
    return _Has(metric)


def together(name: str) -> Callable[[Sample], str]:
    """Group rows by one of their units, see :attr:`Sample.units`; a row without it is alone."""

    def group(sample: Sample) -> str:
        return sample.units.get(name, f"row {sample.id}")

    return group


def present(columns: Sequence[Metric], rows: Sequence[Sample]) -> tuple[Metric, ...]:
    """Return the columns that apply to a row at all; those of the headline always.

    What a row without scores would have is not known. Rows of an earlier version may lack a later
    column, and a limit may leave no row of a category.
    """
    scored = [row for row in rows if row.scores]
    heads = headline(columns)
    return tuple(
        each
        for each in columns
        if not scored or each in heads or any(each.applies(row) is not False for row in scored)
    )


def headline(columns: Sequence[Metric]) -> tuple[Metric, ...]:
    """Return the columns that count for the headline: the marked ones, else the first."""
    marked = tuple(column for column in columns if column.primary)
    return marked or tuple(columns[:1])


def flip_column(columns: Sequence[Metric]) -> Metric | None:
    """Return the column from which flips are read: a plain mean, a headline one if possible."""
    means = [column for column in columns if column.mean and column.higher_is_better is not None]
    first = [column for column in headline(columns) if column in means]
    return next(iter(first or means), None)


@dataclass(frozen=True)
class _Has:
    """Whether a row carries a score."""

    metric: str

    def __call__(self, row: Sample) -> bool | None:
        if self.metric in row.scores:
            return True
        return False if row.error is None else None


@dataclass(frozen=True)
class _Counts:
    """Read metrics of every row of a group and add up what ``combine`` makes of them."""

    metrics: tuple[str, ...]
    combine: Callable[[Sequence[float]], Counters]

    def __call__(self, rows: Sequence[Sample]) -> Counters | None:
        each: list[Counters] = []
        for row in rows:
            values = [row.scores.get(metric) for metric in self.metrics]
            known = [float(value) for value in values if value is not None]
            if len(known) < len(values):
                return None
            each.append(self.combine(known))
        return tuple(map(sum, zip(*each, strict=True)))


@dataclass(frozen=True)
class _Every:
    """One if the metric is 1 in every row of the group, else zero."""

    metric: str

    def __call__(self, rows: Sequence[Sample]) -> Counters | None:
        values = [row.scores.get(self.metric) for row in rows]
        return None if None in values else (float(all(values)), 1.0)


def _one(values: Sequence[float]) -> Counters:
    return (values[0], 1.0)


def _hits(values: Sequence[float]) -> Counters:
    said, label = values
    return (said * label, said * (1 - label), (1 - said) * label)


@dataclass(frozen=True)
class Ratio:
    """Scale times the first counter over the second."""

    scale: float

    def __call__(self, totals: NDArray[float64]) -> NDArray[float64]:
        """Return the figure."""
        return divided(self.scale * totals[..., 0], totals[..., 1])


@dataclass(frozen=True)
class _F1:
    scale: float

    def __call__(self, totals: NDArray[float64]) -> NDArray[float64]:
        hits = 2 * totals[..., 0]
        return divided(self.scale * hits, hits + totals[..., 1] + totals[..., 2])


def divided(over: NDArray[float64], under: NDArray[float64]) -> NDArray[float64]:
    """Return over / under; NaN where that is undefined."""
    import numpy as np

    undefined: NDArray[float64] = np.full(np.shape(over), np.nan)
    np.divide(over, under, out=undefined, where=np.asarray(under) != 0)
    return undefined
