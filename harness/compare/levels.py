"""The figures of one model by itself, each with its interval over images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness import stats
from harness.benchmark import Metric, headline
from harness.compare.joining import Unit, arrays_of, join, units_of
from harness.records import Sample, Samples
from harness.stats import canonical, rounded, sums_of

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray


@dataclass(frozen=True)
class MetricLevel:
    """One column of one benchmark of one model.

    Attributes:
        benchmark: its name.
        column: the column's name.
        unit: of figure and interval.
        digits: decimals in tables.
        primary: belongs to the headline.
        figure: the figure; ``None`` where no row has a score.
        interval: its 95 % interval over images; ``None`` where it cannot be known.
        samples: rows that count.
        clusters: images among them.
        missing: rows without an answer or score.
        higher_is_better: ``None`` where neither direction is better.
    """

    benchmark: str
    column: str
    unit: str
    digits: int
    primary: bool
    figure: float | None
    interval: tuple[float, float] | None
    samples: int
    clusters: int
    missing: int
    higher_is_better: bool | None = None


def levels_of(samples: Samples, columns: Mapping[str, Sequence[Metric]]) -> tuple[MetricLevel, ...]:
    """Return every column's figure of one model, in the order of ``columns``."""
    found: list[MetricLevel] = []
    for name, own in columns.items():
        found += benchmark_levels(name, samples[name], own)
    return tuple(found)


def benchmark_levels(
    name: str, samples: Sequence[Sample], columns: Sequence[Metric]
) -> list[MetricLevel]:
    """Return every column's figure of one benchmark."""
    joined = join(name, samples, samples)
    heads = headline(columns)
    return [_level(name, column, units_of(column, joined), column in heads) for column in columns]


def _level(name: str, column: Metric, units: Sequence[Unit], primary: bool) -> MetricLevel:
    paired = [unit for unit in units if unit.paired]
    figure, interval = _figure(column, paired)
    return MetricLevel(
        benchmark=name,
        column=column.name,
        unit=column.unit,
        digits=column.digits,
        primary=primary,
        figure=rounded(figure),
        interval=interval,
        samples=sum(len(unit.rows) for unit in paired),
        clusters=len({unit.cluster for unit in paired}),
        missing=sum(len(unit.rows) for unit in units if unit.lacks("after")),
        higher_is_better=column.higher_is_better,
    )


def _figure(
    column: Metric, units: Sequence[Unit]
) -> tuple[float | None, tuple[float, float] | None]:
    """Return a figure and its interval: its difference from an arm of nothing, which is set to 0.

    So one figure has the interval that a difference has, by the same bootstrap and jackknife.
    """
    import numpy as np

    if not units:
        return None, None
    _, counters, images = arrays_of(units)

    def figure(counted: NDArray[float64]) -> NDArray[float64]:
        there: NDArray[float64] = np.where(counted[..., 0] > 0, column.value(counted[..., 1:]), 0.0)
        return there

    sums = sums_of(np.hstack([np.ones((len(counters), 1)), counters]), images)
    clusters, sign = canonical(np.zeros_like(sums), sums)
    with np.errstate(all="ignore"):
        level = float(column.value(counters.sum(axis=0)))
        if not np.isfinite(level):
            return None, None
        known = stats.distribution(
            clusters,
            figure,
            extremes=(column.low, column.high),
            images=stats.effective(images),
            turned=sign,
        )
    if known is None:
        return level, None
    low, high = known.interval(0.05)
    # A ratio such as LLaVA-Bench's, of a model's marks to a reference's, may exceed its usual end.
    top = max(column.high, level)
    return level, (round(max(low, column.low), 10), round(min(high, top), 10))
