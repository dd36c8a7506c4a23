"""The mathematics of a paired comparison of clustered rows; in plain words: docs/measuring.md.

Everything works on *counters*: shape (rows, k) per arm, added up and turned into a figure by a
``value`` function (see :mod:`harness.benchmark`). Clusters are images: rows of one image are
never taken for independent. Figures, differences and errors are in the figure's own units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Any

from harness.stats.resampling import Clusters, bootstrap, canonical, jackknife_error, sums_of, swaps

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
        error: standard error of the difference, over clusters.
        p: two-sided mid-p value of "the two arms are interchangeable".
        p_exact: the same counting ties in full, hence never too small.
        test: which test gave ``p``.
        effect: difference in standard deviations of one row's contribution (Cohen's d_z).
        design_effect: variance over clusters divided by the variance if rows were independent.
        clusters: how many clusters there are.
        identical: not a single counter differs between the arms.
        freedom: degrees of freedom of ``error``.
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
    """
    import numpy as np

    count = int(clusters.max()) + 1 if len(before) else 0
    nothing = Estimate(None, None, None, None, None, None, None, "none", None, None, count, False)
    if count == 0:
        return nothing
    with np.errstate(all="ignore"):
        low, high = _number(value(before.sum(axis=0))), _number(value(after.sum(axis=0)))
        if low is None or high is None:
            return replace(nothing, before=low, after=high)
        if np.array_equal(before, after):
            return Estimate(
                low, high, 0.0, (0.0, 0.0), 0.0, 1.0, 1.0, "identical", 0.0, None, count, True
            )
        difference = high - low
        pooled, sign = canonical(sums_of(before, clusters), sums_of(after, clusters))
        rows = Clusters(before, after, np.ones(len(before), dtype=np.int64))
        alone = jackknife_error(rows, value)
        # Changes that cancel within every image leave no spread between images, yet are no proof.
        error = jackknife_error(pooled, value) or alone
        p, p_exact, test = _test(before, after, pooled, value, plain_mean, seed, draws)
        ends = interval(pooled, value, error, seed=seed, draws=draws, alpha=alpha)
    if ends is not None and sign < 0:
        ends = (-ends[1], -ends[0])
    elif ends is not None and sign == 0:
        ends = (min(ends[0], -ends[1]), max(ends[1], -ends[0]))
    return Estimate(
        before=low,
        after=high,
        difference=difference,
        interval=ends,
        error=error,
        p=p,
        p_exact=p_exact,
        test=test,
        effect=difference / (alone * len(before) ** 0.5) if alone else None,
        design_effect=(error / alone) ** 2 if alone and error else None,
        clusters=count,
        identical=False,
        freedom=count - 1 if count > 1 else None,
    )


def interval(
    clusters: Clusters,
    value: Value,
    error: float | None,
    *,
    seed: int = 0,
    draws: int = 10_000,
    alpha: float = 0.05,
) -> tuple[float, float] | None:
    """Return an interval for second minus first: at each end the more cautious of two methods.

    One is the percentile bootstrap over clusters at levels widened for few clusters, alpha / 2
    becoming Phi(-sqrt(G / (G - 1)) t) with t the t quantile at G - 1 degrees of freedom (Hesterberg
    2015, "What teachers should know about the bootstrap", section 5). The other is the difference
    plus or minus t delete-one-cluster jackknife errors. The first follows skew, the second is right
    with few clusters; perf/calibration.py shows that neither alone covers 95 % everywhere.
    ``None`` with one cluster, or where too many resampled figures are undefined.
    """
    import numpy as np
    from scipy import special

    count = int(clusters.counts.sum())
    if count < 2 or error is None:
        return None
    first, second = clusters.total
    difference = float(value(second) - value(first))
    quantile = float(special.stdtrit(count - 1, 1 - alpha / 2))
    tail = float(special.ndtr(-((count / (count - 1)) ** 0.5) * quantile))
    drawn = bootstrap(clusters, value, draws, np.random.default_rng((seed, 1)))
    defined = drawn[np.isfinite(drawn)]
    if len(defined) < (1 - _UNDEFINED) * len(drawn):
        return None
    low, high = np.quantile(defined, [tail, 1 - tail])
    reach = quantile * error
    return min(float(low), difference - reach), max(float(high), difference + reach)


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


def margin_p(difference: float, error: float, freedom: float, margin: float) -> float:
    """Return the one-sided p of "worse by ``margin`` or more", with t at ``freedom`` degrees.

    One half of the two one-sided tests (Schuirmann 1987); positive differences are better.
    """
    from scipy import special

    if error == 0.0:
        return 0.0 if difference > -margin else 1.0
    return float(special.stdtr(freedom, -(difference + margin) / error))


def detectable(error: float, freedom: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """Return the smallest true difference that a two-sided test finds with this power.

    (t at 1 - alpha / 2 plus t at ``power``) times the standard error.
    """
    from scipy import special

    reach = special.stdtrit(freedom, 1 - alpha / 2) + special.stdtrit(freedom, power)
    return float(reach) * error


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
    if count < 2:
        return None, None, "none"
    both = np.concatenate([before, after])
    alone = count == len(before) and plain_mean and bool(np.all(both[:, 1] == 1))
    if alone and bool(np.all(np.isin(both[:, 0], (0.0, 1.0)))):
        change = after[:, 0] - before[:, 0]
        return *mcnemar(int((change > 0).sum()), int((change < 0).sum())), "McNemar, mid-p"
    random = np.random.default_rng((seed, 2))
    return *swap_test(pooled, value, draws, random), "swap of arms by image, mid-p"


def _number(value: Any) -> float | None:
    number = float(value)
    return number if isfinite(number) else None
