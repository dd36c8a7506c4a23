"""The confidence distribution of one difference: everything that is said of it is read from here.

An interval at any level, a p value against any hypothesis, a bound for a gate and "no worse" are
inversions of one function, :meth:`Confidence.reach`: how far the truth may lie below and above the
measured difference at a one-sided level. In plain words: docs/measuring.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from math import exp, hypot, log, sqrt
from typing import TYPE_CHECKING, Any

from harness.stats.power import Design, Moves, detectable, needed

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

_SMALLEST = 1e-12  # one-sided level below which nothing is distinguished


@dataclass(frozen=True)
class Confidence:
    """How far the true difference may lie from the measured one.

    Three things make it uncertain: other images would have come, other training seeds would have
    come, and what was never seen may still happen. The first two enter every reach; the third is
    one image more, of the worst value, in :meth:`bounds`.

    Attributes:
        difference: what was measured.
        error: standard error over images.
        freedom: its degrees of freedom.
        extremes: the lowest and the highest value that a single image can have.
        images: effective number of images: rows squared over the sum of squared rows per image.
        telling: images that differ from the most common kind of image; where they are fewer than
            ``needed`` their spread says little, and the interval is that of the bounds.
        drawn: sorted deviations of bootstrapped differences; ``None`` where none were drawn.
        turned: -1 where ``drawn`` belongs to exchanged arms, 0 where exchanging changes nothing.
        seed_error: standard error over training seeds.
        seeds: how many trainings.
        moves: what single images did to the difference.
    """

    difference: float
    error: float
    freedom: float
    extremes: tuple[float, float]
    images: float
    telling: int
    drawn: NDArray[float64] | None = field(default=None, repr=False, compare=False)
    turned: int = 1
    seed_error: float = 0.0
    seeds: int = 1
    moves: Moves | None = field(default=None, repr=False)

    def interval(self, alpha: float) -> tuple[float, float]:
        """Return two ends that leave out alpha / 2 on either side."""
        if self.telling < needed(self.freedom + 1):
            return self.bounds(alpha)
        below, above = self.reach(alpha / 2)
        return self.difference - below, self.difference + above

    def bounds(self, alpha: float) -> tuple[float, float]:
        """Return ends that also hold where losses, or gains, are rare and large.

        Each is the more cautious of the interval's end and the end that Student's t gives once an
        image of the most extreme value is added to those that were seen.
        """
        tail = alpha / 2
        below, above = self.reach(tail)
        low, high = self._with_one_more(tail)
        return min(self.difference - below, low), max(self.difference + above, high)

    def p(self) -> float:
        """Return the largest two-sided level at which the interval still holds zero."""

        def holds(tail: float) -> bool:
            low, high = self.interval(2 * tail)
            return low <= 0.0 <= high

        return 2 * _largest(holds)

    def p_worse(self, margin: float, *, higher_is_better: bool) -> float:
        """Return the largest one-sided level at which a loss of ``margin`` stays within bounds."""

        def holds(tail: float) -> bool:
            low, high = self.bounds(2 * tail)
            return low <= -margin if higher_is_better else high >= margin

        found = _largest(holds)
        return 1.0 if found >= 0.5 else found

    def detectable(self, alpha: float) -> float | None:
        """Return the difference that four in five such comparisons tell; see :mod:`power`."""
        if self.moves is None:
            return None
        return detectable(self.moves, self.design(alpha), alpha=alpha)

    def design(self, alpha: float) -> Design:
        """Return what the comparison is made of, for :mod:`power`."""
        spread = self.seed_error * sqrt(self.seeds)
        images = round(self.freedom) + 1
        return Design(images, self.extremes[1], self.seeds, spread, self._further(alpha / 2))

    def reach(self, tail: float) -> tuple[float, float]:
        """Return how far the truth may lie below and above, at a one-sided level.

        Over images the more cautious of two methods counts: Student's t times the jackknife error,
        and the percentile bootstrap at levels widened for few images, ``tail`` becoming
        Phi(-sqrt(G / (G - 1)) t) (Hesterberg 2015, "What teachers should know about the
        bootstrap", section 5). The first is right with few images, the second follows skew.

        Over seeds it is t at S - 1 degrees of freedom times the error over seeds. The two are
        independent, and the squares of their reaches add up at every level (Graybill and Wang 1980
        for sums of variances; Zou and Donner 2008).
        """
        own = _quantile(self.freedom, tail) * self.error
        below, above = self._resampled(tail)
        seeds = self._of_seeds(tail)
        return hypot(max(own, below), seeds), hypot(max(own, above), seeds)

    def _further(self, tail: float) -> float:
        """Return how many times as far as Student's t the more cautious method reaches."""
        own = _quantile(self.freedom, tail) * self.error
        ends = self._resampled(tail)
        return sum(max(own, end) for end in ends) / (2 * own) if own else 1.0

    def _of_seeds(self, tail: float) -> float:
        return _quantile(self.seeds - 1, tail) * self.seed_error if self.seed_error else 0.0

    def _resampled(self, tail: float) -> tuple[float, float]:
        if self.drawn is None:
            return 0.0, 0.0
        level = _widened(self.freedom, tail)
        below, above = -_at(self.drawn, level), _at(self.drawn, 1 - level)
        if self.turned == 0:
            below = above = max(below, above)
        return (below, above) if self.turned >= 0 else (above, below)

    def _with_one_more(self, tail: float) -> tuple[float, float]:
        """Return both ends by Student's t after adding an image of the most extreme value."""
        count, quantile, seeds = self.images, _quantile(self.freedom, tail), self._of_seeds(tail)
        spread = count * max(count - 1, 0.0) * self.error**2
        ends = []
        for sign, extreme in zip((-1, 1), self.extremes, strict=True):
            off = extreme - self.difference
            center = self.difference + off / (count + 1)
            error = sqrt((spread + off**2 * count / (count + 1)) / (count * (count + 1)))
            ends.append(center + sign * hypot(quantile * error, seeds))
        return ends[0], ends[1]


def _largest(holds: Callable[[float], bool]) -> float:
    """Return the largest one-sided level, up to a half, at which something still holds."""
    if holds(0.5):
        return 0.5
    low, high = log(_SMALLEST), log(0.5)
    for _ in range(36):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(exp(middle)) else (low, middle)
    return exp(high)


@lru_cache(maxsize=4096)
def _quantile(freedom: float, tail: float) -> float:
    from scipy import special

    return -float(special.stdtrit(freedom, tail))


@lru_cache(maxsize=4096)
def _widened(freedom: float, tail: float) -> float:
    from scipy import special

    return float(special.ndtr(-sqrt((freedom + 1) / freedom) * _quantile(freedom, tail)))


def _at(ordered: Any, level: float) -> float:
    """Return a quantile of sorted numbers, between neighbours as numpy does it."""
    place = level * (len(ordered) - 1)
    lower = int(place)
    upper = min(lower + 1, len(ordered) - 1)
    return float(ordered[lower] + (place - lower) * (ordered[upper] - ordered[lower]))
