"""What training seeds add to the uncertainty of a comparison; in plain words: docs/measuring.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import fsum, hypot
from statistics import variance
from typing import TYPE_CHECKING

from harness.stats.resampling import jackknife_error

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

    from harness.stats.inference import Estimate
    from harness.stats.resampling import Clusters, Value


def within_of(clusters: Clusters, value: Value, seeds: int) -> float:
    """Return how far, squared, the mean over seeds strays because each seed flips other rows.

    The jackknife variance over images of each seed's deviation from the mean over seeds, averaged,
    over S - 1. The error over images of the mean holds this part already.

    Args:
        clusters: counters of all seeds side by side, summed by image.
        value: the figure of one seed's counters.
        seeds: how many trainings.
    """
    import numpy as np

    def deviation(seed: int) -> Value:
        def figure(counters: NDArray[float64]) -> NDArray[float64]:
            each = [value(part) for part in np.split(counters, seeds, axis=-1)]
            apart: NDArray[float64] = each[seed] - np.mean(each, axis=0)
            return apart

        return figure

    errors = [jackknife_error(clusters, deviation(seed)) or 0.0 for seed in range(seeds)]
    return fsum(error**2 for error in errors) / seeds / (seeds - 1)


def spread_of(differences: Sequence[float], within: float) -> float:
    """Return the standard error that the choice of seeds adds to the mean over seeds.

    From the variance of the seeds' differences, over S, the part that single rows explain is taken
    off, in proportion to how much of it they can explain: all of it where seeds differ no more
    than that, next to nothing where they differ by much more. Taking it off whole covered 92 to
    93 % with three seeds that differ greatly.

    Args:
        differences: each seed's.
        within: see :func:`within_of`.
    """
    between = float(variance(differences)) / len(differences)
    if between <= within:
        return 0.0
    return float((between - within**2 / between) ** 0.5)


def widened(found: Estimate, spread: float, seeds: int, *, alpha: float = 0.05) -> Estimate:
    """Return an estimate over images that also allows for other seeds.

    The two errors are independent, and the squares of their reaches add up: t at G - 1 degrees of
    freedom times the error over images, t at S - 1 times that over seeds (Graybill and Wang 1980
    for sums of variances; Zou and Donner 2008). Satterthwaite's degrees of freedom are the usual
    choice, but trust a spread that came out small by chance: with two or three seeds that differ
    they covered 91 to 92 % in the simulation of tests/test_seeds.py. The degrees of freedom given
    back are those at which t times the joint error has this reach. The interval keeps its skew.

    Args:
        found: over images, of the mean over seeds.
        spread: see :func:`spread_of`.
        seeds: how many trainings.
        alpha: 1 minus the interval's coverage.
    """
    from scipy import special

    if found.difference is None or found.error is None or found.freedom is None or spread == 0.0:
        return found
    error = hypot(found.error, spread)
    own = float(special.stdtrit(found.freedom, 1 - alpha / 2)) * found.error
    reach = hypot(own, float(special.stdtrit(seeds - 1, 1 - alpha / 2)) * spread)
    freedom = float(special.stdtridf(1 - alpha / 2, reach / error))
    ends = found.interval
    if ends is not None:
        ratio = reach / own if own else 1.0
        low, high = (abs(end - found.difference) * ratio for end in ends)
        ends = found.difference - max(low, reach), found.difference + max(high, reach)
    p = 2 * float(special.stdtr(freedom, -abs(found.difference) / error))
    return replace(
        found,
        error=error,
        freedom=freedom,
        interval=ends,
        p=None if found.p is None else max(found.p, p),
        p_exact=None if found.p_exact is None else max(found.p_exact, p),
        test="t over images and seeds",
    )
