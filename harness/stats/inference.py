"""The mathematics of a paired comparison of clustered rows; in plain words: docs/measuring.md.

Everything works on *counters*: shape (rows, k) per arm, added up and turned into a figure by a
``value`` function (see :mod:`harness.benchmark`). Clusters are images: rows of one image are
never taken for independent. Figures, differences and errors are in the figure's own units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import hypot, isfinite
from statistics import variance
from typing import TYPE_CHECKING, Any

from harness.stats.confidence import Confidence
from harness.stats.power import moves_of
from harness.stats.resampling import (
    Clusters,
    bootstrap,
    canonical,
    jackknife_error,
    leave_one_out,
    spread_of,
    sums_of,
    swaps,
    telling,
)

if TYPE_CHECKING:
    from numpy import float64
    from numpy.random import Generator
    from numpy.typing import NDArray

    from harness.stats.resampling import Value

_UNDEFINED = 0.05  # share of undefined resampled figures above which no interval is given


@dataclass(frozen=True)
class Estimate:
    """What one column's paired counters say; ``None`` is "cannot be known", never zero.

    Attributes:
        before: the figure before.
        after: the figure after.
        difference: after minus before.
        interval: two ends around the difference.
        bounds: ends that also allow for rare large changes that were not seen.
        error: standard error of the difference, over clusters and seeds.
        p: two-sided p value: the larger one of the test of exchangeable arms (mid-p) and of the
            level at which the interval starts to hold zero.
        p_exact: the same with ties of the test counted in full, hence never too small.
        test: which test of exchangeable arms it was.
        effect: difference in standard deviations of one row's contribution (Cohen's d_z).
        design_effect: variance over clusters divided by the variance if rows were independent.
        clusters: how many clusters there are.
        identical: not a single counter differs between the arms.
        freedom: degrees of freedom of the error over clusters.
        seed_error: standard error over training seeds; ``None`` with one training.
        confidence: what interval, bounds and p were read from.
        p_rows: two-sided p of Student's t if every row were a cluster of its own.
    """

    before: float | None
    after: float | None
    difference: float | None
    interval: tuple[float, float] | None
    error: float | None
    p: float | None
    p_exact: float | None
    test: str
    effect: float | None
    design_effect: float | None
    clusters: int
    identical: bool
    freedom: float | None = None
    bounds: tuple[float, float] | None = None
    seed_error: float | None = None
    confidence: Confidence | None = field(default=None, repr=False)
    p_rows: float | None = None


def estimate(
    before: NDArray[float64],
    after: NDArray[float64],
    clusters: NDArray[Any],
    value: Value,
    *,
    plain_mean: bool = False,
    seed: int = 0,
    draws: int = 10_000,
    alpha: float = 0.05,
    span: float = 100.0,
    seeds: Sequence[float] = (),
) -> Estimate:
    """Compare two arms of the same rows.

    Args:
        before: counters, shape (rows, k).
        after: counters of the same rows in the same order.
        clusters: cluster number of each row, 0 to G - 1, every number used.
        value: turns summed counters into the figure.
        plain_mean: the counters are (score, 1); permits McNemar's test where scores are 0 or 1.
        seed: of the resampling.
        draws: how many resamples.
        alpha: 1 minus the interval's coverage.
        span: largest possible change of the figure.
        seeds: each training's own difference, where the counters hold several trainings.

    Raises:
        ValueError: if the arms have not the same rows, or a number is out of range.
    """
    import numpy as np

    count = _checked(len(before), len(after), clusters, alpha, draws)
    nothing = Estimate(None, None, None, None, None, None, None, "none", None, None, count, False)
    if count == 0:
        return nothing
    with np.errstate(all="ignore"):
        low, high = _number(value(before.sum(axis=0))), _number(value(after.sum(axis=0)))
        if low is None or high is None:
            return replace(nothing, before=low, after=high)
        pooled, sign = canonical(sums_of(before, clusters), sums_of(after, clusters))
        rows = Clusters(before, after, np.ones(len(before), dtype=np.int64))
        alone = jackknife_error(rows, value)
        p, p_exact, test = _test(before, after, pooled, value, plain_mean, seed, draws)
        known = distribution(
            pooled,
            value,
            extremes=(-span, span),
            images=effective(clusters),
            otherwise=alone,
            turned=sign,
            seeds=seeds,
            seed=seed,
            draws=draws,
        )
    own = known.p() if known else 0.0
    return Estimate(
        before=low,
        after=high,
        difference=high - low,
        interval=known.interval(alpha) if known else None,
        bounds=known.bounds(alpha) if known else None,
        error=hypot(known.error, known.seed_error) if known else None,
        p=p if p is None else max(p, own),
        p_exact=p_exact if p_exact is None else max(p_exact, own),
        test=test,
        effect=(high - low) / (alone * len(before) ** 0.5) if alone else None,
        design_effect=(known.error / alone) ** 2 if known and alone else None,
        clusters=count,
        identical=test == "identical",
        freedom=count - 1 if count > 1 else None,
        seed_error=error_of(seeds) if len(seeds) > 1 else None,
        confidence=known,
        p_rows=_p_of_rows(high - low, alone, len(before)),
    )


def _checked(before: int, after: int, clusters: NDArray[Any], alpha: float, draws: int) -> int:
    """Return how many clusters there are, unless something cannot be computed with."""
    if before != after or before != len(clusters):
        raise ValueError(
            f"There are {before} rows before and {after} after, but {len(clusters)} cluster "
            "numbers: a paired comparison needs the same rows in both arms."
        )
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}, not between 0 and 1.")
    if draws < 1:
        raise ValueError(f"draws is {draws}; at least one resample is needed.")
    return int(clusters.max()) + 1 if before else 0


def distribution(
    clusters: Clusters,
    value: Value,
    *,
    extremes: tuple[float, float],
    images: float,
    otherwise: float | None = None,
    turned: int = 1,
    seeds: Sequence[float] = (),
    seed: int = 0,
    draws: int = 10_000,
) -> Confidence | None:
    """Return the confidence distribution of second minus first.

    Args:
        clusters: counters of both arms.
        value: turns summed counters into the figure.
        extremes: lowest and highest value that one cluster can have.
        images: effective number of clusters, see :func:`effective`.
        otherwise: standard error where clusters show no spread.
        turned: -1 if ``clusters`` are those of exchanged arms, 0 if exchanging changes nothing.
        seeds: each training's own difference.
        seed: of the resampling.
        draws: how many resamples.

    Returns:
        ``None`` with one cluster, or where too many resampled figures are undefined.
    """
    import numpy as np

    left = leave_one_out(clusters, value)
    if left is None:
        return None
    count = int(clusters.counts.sum())
    first, second = clusters.total
    difference = float(value(second) - value(first))
    drawn = None
    if np.any(clusters.first != clusters.second):
        drawn = bootstrap(clusters, value, draws, np.random.default_rng((seed, 1)))
        defined = drawn[np.isfinite(drawn)]
        if len(defined) < (1 - _UNDEFINED) * len(drawn):
            return None
        drawn = np.sort(defined) - difference
    return Confidence(
        difference=-difference if turned < 0 else difference,
        # Changes that cancel within every image leave no spread between images, yet are no proof.
        error=spread_of(left, clusters.counts) or otherwise or 0.0,
        freedom=count - 1,
        extremes=extremes,
        images=images,
        telling=telling(clusters, left),
        drawn=drawn,
        turned=turned,
        seed_error=error_of(seeds),
        seeds=max(len(seeds), 1),
        moves=moves_of(count * difference - (count - 1) * left, clusters.counts, extremes[1]),
    )


def effective(clusters: NDArray[Any]) -> float:
    """Return the number of clusters of equal size in which rows would be as concentrated."""
    import numpy as np

    sizes = np.bincount(clusters).astype(float)
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def swap_test(
    clusters: Clusters, value: Value, draws: int, random: Generator
) -> tuple[float, float]:
    """Return two-sided (mid-p, exact p) of the hypothesis that the arms are interchangeable.

    The permutation test of paired clusters (Fisher's randomisation test). Ties with the observed
    difference count half in the mid-p value, as Fagerland, Lydersen and Laake 2013 advise for
    McNemar's test, to which this one reduces for 0/1 scores and clusters of one row.
    """
    import numpy as np

    first, second = clusters.total
    observed = abs(float(value(second) - value(first)))
    drawn, complete = swaps(clusters, value, draws, random)
    drawn = np.abs(drawn[np.isfinite(drawn)])
    slack = 1e-9 * max(abs(float(value(first))), abs(float(value(second))))
    above = int((drawn > observed + slack).sum())
    ties = int((drawn >= observed - slack).sum()) - above
    own = 0 if complete else 1  # the observed arrangement belongs to the sample: p is never 0
    size = len(drawn) + own
    return (above + ties / 2 + own) / size, (above + ties + own) / size


def mcnemar(fixed: int, broken: int) -> tuple[float, float]:
    """Return two-sided (mid-p, exact p) of McNemar's test for 0/1 scores of independent rows."""
    from scipy import special

    flips, less = fixed + broken, min(fixed, broken)
    if flips == 0:
        return 1.0, 1.0
    tail = 2 * float(special.bdtr(less, flips, 0.5))
    tie = tail / 2 - (float(special.bdtr(less - 1, flips, 0.5)) if less else 0.0)
    if fixed == broken:
        return 1 - tie / 2, 1.0
    return tail - tie, min(1.0, tail)


def holm(values: Sequence[float]) -> tuple[float, ...]:
    """Correct p values so that the chance of any false alarm keeps its level (Holm 1979)."""
    order = sorted(range(len(values)), key=values.__getitem__)
    corrected, worst = [0.0] * len(values), 0.0
    for rank, index in enumerate(order):
        worst = max(worst, min(1.0, (len(values) - rank) * values[index]))
        corrected[index] = worst
    return tuple(corrected)


def benjamini_hochberg(values: Sequence[float]) -> tuple[float, ...]:
    """Correct p values so that the expected share of false alarms keeps its level (1995)."""
    order = sorted(range(len(values)), key=values.__getitem__, reverse=True)
    corrected, best = [0.0] * len(values), 1.0
    for index, rank in zip(order, range(len(values), 0, -1), strict=True):
        best = min(best, values[index] * len(values) / rank)
        corrected[index] = best
    return tuple(corrected)


def _test(
    before: NDArray[float64],
    after: NDArray[float64],
    pooled: Clusters,
    value: Value,
    plain_mean: bool,
    seed: int,
    draws: int,
) -> tuple[float | None, float | None, str]:
    import numpy as np

    count = int(pooled.counts.sum())
    if np.array_equal(before, after):
        return 1.0, 1.0, "identical"
    if count < 2:
        return None, None, "none"
    both = np.concatenate([before, after])
    alone = count == len(before) and plain_mean and bool(np.all(both[:, 1] == 1))
    if alone and bool(np.all(np.isin(both[:, 0], (0.0, 1.0)))):
        change = after[:, 0] - before[:, 0]
        return *mcnemar(int((change > 0).sum()), int((change < 0).sum())), "McNemar, mid-p"
    random = np.random.default_rng((seed, 2))
    return *swap_test(pooled, value, draws, random), "swap of arms by image, mid-p"


def _p_of_rows(difference: float, error: float | None, rows: int) -> float | None:
    from scipy import special

    return 2 * float(special.stdtr(rows - 1, -abs(difference) / error)) if error else None


def _number(value: Any) -> float | None:
    number = float(value)
    return number if isfinite(number) else None


def error_of(differences: Sequence[float]) -> float:
    """Return the standard error of the mean over seeds: the seeds' spread over the root of S.

    The part that single rows explain is not taken off. Doing so acts as a test whether seeds
    differ at all, and one in ten families of 14 columns then raised a false alarm (docs/log.md).
    """
    if len(differences) < 2:
        return 0.0
    return float((variance(differences) / len(differences)) ** 0.5)
