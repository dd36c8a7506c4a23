"""Figures of parts: of some categories of rows alone, and means of parts that weigh the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.benchmark import Metric
from harness.records import Sample

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray


def mean_over(
    metric: str, group: str, parts: Sequence[Sequence[str]], *, name: str, **fields: Any
) -> Metric:
    """Return 100 times the mean over parts of the mean over a part's cells of a metric's mean.

    A cell without rows, and a part without cells that have rows, is left out; that happens where
    only some of the rows are asked.

    Args:
        metric: 0 or 1 for each row.
        group: the named category of a row that tells its cell.
        parts: the cells of each part.
        name: how tables call it.
        fields: further fields of :class:`Metric`.
    """
    cells = tuple(cell for part in parts for cell in part)
    sizes = tuple(map(len, parts))
    return Metric(name, _Count(metric, group, cells), _Value(sizes), **fields)


def in_group(group: str, *names: str) -> Callable[[Sample], bool | None]:
    """Say that a column applies to rows of some categories; one that cannot be read tells nothing.

    Args:
        group: the named category of a row.
        names: those to which it applies.
    """
    return _InGroup(group, names)


@dataclass(frozen=True)
class _InGroup:
    group: str
    names: tuple[str, ...]

    def __call__(self, row: Sample) -> bool | None:
        known = row.groups.get(self.group)
        return None if known is None else known in self.names


@dataclass(frozen=True)
class _Count:
    metric: str
    group: str
    cells: tuple[str, ...]

    def __call__(self, rows: Sequence[Sample]) -> tuple[float, ...] | None:
        counters = [0.0] * (2 * len(self.cells))
        for row in rows:
            value, cell = row.scores.get(self.metric), row.groups.get(self.group, "")
            if value is None or cell not in self.cells:
                return None
            counters[2 * self.cells.index(cell)] += value
            counters[2 * self.cells.index(cell) + 1] += 1.0
        return tuple(counters)


@dataclass(frozen=True)
class _Value:
    sizes: tuple[int, ...]

    def __call__(self, totals: NDArray[float64]) -> NDArray[float64]:
        import numpy as np

        sums, rows = totals[..., 0::2], totals[..., 1::2]
        means = np.divide(sums, rows, out=np.full(np.shape(sums), np.nan), where=rows > 0)
        ends = np.cumsum(self.sizes)
        parts = [
            _mean(means[..., end - size : end]) for size, end in zip(self.sizes, ends, strict=True)
        ]
        return 100 * _mean(np.stack(parts, axis=-1))


def _mean(values: NDArray[float64]) -> NDArray[float64]:
    """Return the mean of those that are numbers, along the last axis; ``nan`` without any."""
    import numpy as np

    known = ~np.isnan(values)
    count = known.sum(axis=-1)
    total = np.where(known, values, 0.0).sum(axis=-1)
    undefined: NDArray[float64] = np.full(np.shape(count), np.nan)
    return np.divide(total, count, out=undefined, where=count > 0)
