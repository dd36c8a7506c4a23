"""Resampling whole clusters (images) of a paired comparison, by weights instead of copies.

A resampled figure is ``value`` of re-weighted sums of counters, so every function here is a matrix
product. Clusters that look alike are drawn together, which changes no distribution and makes 0/1
scores of 20,000 rows as cheap as four numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from numpy import float64
    from numpy.random import Generator
    from numpy.typing import NDArray

Value: TypeAlias = "Callable[[NDArray[float64]], NDArray[float64]]"
"""Summed counters, shape (..., k), to figures of shape (...)."""

_CELLS = 100_000  # cells of one block of resampling weights: what a core's cache holds
_GATHERED = 8  # columns up to which adding up the drawn rows is faster than weighting all of them


@dataclass(frozen=True)
class Clusters:
    """Distinct clusters and how often each occurs: equal ones need not be resampled one by one.

    Attributes:
        first: shape (patterns, k), counters of one arm, summed over the cluster.
        second: the other arm's, the same shape.
        counts: shape (patterns,), how many clusters look exactly like this.
    """

    first: NDArray[float64]
    second: NDArray[float64]
    counts: NDArray[Any]

    @property
    def total(self) -> tuple[NDArray[float64], NDArray[float64]]:
        """Summed counters of the two arms, each of shape (k,)."""
        return self.counts @ self.first, self.counts @ self.second


def sums_of(counters: NDArray[float64], clusters: NDArray[Any]) -> NDArray[float64]:
    """Add up counters, shape (rows, k), by cluster number: shape (clusters, k).

    Sums are rounded to nine decimals, because their last bits depend on the order of the rows.
    """
    import numpy as np

    columns = [np.bincount(clusters, weights=column) for column in counters.T]
    sums: NDArray[float64] = np.stack(columns, axis=1).astype(np.float64)
    return sums.round(9)


def canonical(before: NDArray[float64], after: NDArray[float64]) -> tuple[Clusters, int]:
    """Return distinct clusters in an order that neither rows, names nor arms decide.

    Exchanging the arms must exactly negate every result, so the arm that sorts lower comes first;
    the sign is -1 where that exchanged them, and 0 where the exchange changes nothing.
    """
    import numpy as np

    width = before.shape[1]
    one, counts = _distinct(np.hstack([before, after]), np.ones(len(before), dtype=np.int64))
    two, turned = _distinct(np.hstack([one[:, width:], one[:, :width]]), counts)
    left, right = np.column_stack([one, counts]).ravel(), np.column_stack([two, turned]).ravel()
    differ = np.flatnonzero(left != right)
    if len(differ) and right[differ[0]] < left[differ[0]]:
        return Clusters(two[:, :width], two[:, width:], turned), -1
    return Clusters(one[:, :width], one[:, width:], counts), 1 if len(differ) else 0


def _distinct(
    rows: NDArray[float64], counts: NDArray[Any]
) -> tuple[NDArray[float64], NDArray[Any]]:
    """Return the distinct rows in sorted order and the sum of their counts."""
    import numpy as np

    order = np.lexsort(rows.T[::-1])
    ordered = rows[order]
    starts = np.flatnonzero(np.r_[True, np.any(ordered[1:] != ordered[:-1], axis=1)])
    return ordered[starts], np.add.reduceat(counts[order], starts)


def bootstrap(clusters: Clusters, value: Value, draws: int, random: Generator) -> NDArray[float64]:
    """Return differences of ``draws`` samples of clusters drawn with replacement, shape (draws,).

    Equal clusters are drawn together from a multinomial distribution, which has the same law as
    drawing them one by one.
    """
    import numpy as np

    counts = clusters.counts
    total, patterns = int(counts.sum()), len(counts)
    stacked = np.hstack([clusters.first, clusters.second])
    width = clusters.first.shape[1]
    few = patterns * 12 < total
    varied = np.flatnonzero(np.any(stacked != stacked[0], axis=0))
    gathered = not few and len(varied) <= _GATHERED
    owner = np.repeat(np.arange(patterns), counts)
    columns = [np.ascontiguousarray(stacked[owner, place]) for place in varied] if gathered else []
    out = []
    for size in _blocks(draws, patterns if few else total):
        if few:
            weights = random.multinomial(total, counts / total, size=size)
            sums = weights.astype(np.float64) @ stacked
        else:
            picks = random.integers(0, total, (size, total))
            if gathered:
                sums = np.tile(total * stacked[0], (size, 1))
                for place, column in zip(varied, columns, strict=True):
                    sums[:, place] = column[picks].sum(axis=1)
            else:
                drawn = np.stack([np.bincount(own, minlength=patterns) for own in owner[picks]])
                sums = drawn.astype(np.float64) @ stacked
        out.append(value(sums[:, width:]) - value(sums[:, :width]))
    return np.concatenate(out)


def swaps(
    clusters: Clusters, value: Value, draws: int, random: Generator
) -> tuple[NDArray[float64], bool]:
    """Return differences after swapping the two arms of randomly chosen clusters.

    Where at most ``draws`` ways to swap exist, each is returned once and the second result is
    true. A cluster is swapped with probability 1/2; clusters without a change play no part.
    """
    import numpy as np

    change = clusters.second - clusters.first
    moved = np.any(change != 0, axis=1)
    change, counts = change[moved], clusters.counts[moved]
    order = np.argsort(counts != 1, kind="stable")
    change, counts = change[order], counts[order]
    single, changed = int((counts == 1).sum()), int(counts.sum())
    first, second = clusters.total
    if changed < 60 and 2**changed <= draws:
        each = np.repeat(change, counts, axis=0)
        ways = (np.arange(2**changed)[:, None] >> np.arange(changed)) & 1
        shift = ways.astype(np.float64) @ each
        return value(second - shift) - value(first + shift), True
    out = []
    for size in _blocks(draws, len(counts)):
        bits = np.frombuffer(random.bytes(size * ((single + 7) // 8)), dtype=np.uint8)
        coins = np.unpackbits(bits.reshape(size, -1), axis=1)[:, :single]
        many = random.binomial(counts[single:], 0.5, size=(size, len(counts) - single))
        shift = coins.astype(np.float64) @ change[:single] + many @ change[single:]
        out.append(value(second - shift) - value(first + shift))
    return np.concatenate(out), False


def leave_one_out(clusters: Clusters, value: Value) -> NDArray[float64] | None:
    """Return the difference without one cluster of each pattern, shape (patterns,).

    ``None`` with one cluster, or where leaving out some cluster leaves no figure.
    """
    import numpy as np

    if int(clusters.counts.sum()) < 2:
        return None
    first, second = clusters.total
    left = value(second - clusters.second) - value(first - clusters.first)
    return left if np.all(np.isfinite(left)) else None


def jackknife_error(clusters: Clusters, value: Value) -> float | None:
    """Return the delete-one-cluster jackknife standard error of the difference.

    (G - 1) / G times the sum of squared deviations of the leave-one-out differences from their
    mean (Efron and Stein 1981). ``None`` where leaving out some cluster leaves no figure.
    """
    left = leave_one_out(clusters, value)
    return None if left is None else spread_of(left, clusters.counts)


def spread_of(left: NDArray[float64], counts: NDArray[Any]) -> float:
    """Return the jackknife standard error from leave-one-out differences."""
    count = int(counts.sum())
    mean = float(counts @ left) / count
    return float(((count - 1) / count * float(counts @ (left - mean) ** 2)) ** 0.5)


def telling(clusters: Clusters, left: NDArray[float64]) -> int:
    """Count the clusters that are neither unchanged nor like the most common of the others.

    Where they are few, they may not show how large the rare changes are.
    """
    import numpy as np

    still = np.all(clusters.first == clusters.second, axis=1)
    alike = int(clusters.counts[still].sum())
    _, kind = np.unique(left.round(9), return_inverse=True)
    most = int(np.bincount(kind.ravel(), weights=clusters.counts).max())
    return int(clusters.counts.sum()) - max(alike, most)


def _blocks(draws: int, width: int) -> Iterator[int]:
    size = max(1, _CELLS // max(1, width))
    for start in range(0, draws, size):
        yield min(size, draws - start)
