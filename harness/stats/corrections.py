"""Corrections for several looks or figures: levels of repeated looks, and partial pooling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

EVEN, POCOCK, OBRIEN_FLEMING = "even", "pocock", "obrien-fleming"
SPENDING = (EVEN, POCOCK, OBRIEN_FLEMING)
MOST = 200
"""Looks that can be planned."""


@lru_cache(maxsize=64)
def look_levels(looks: int, alpha: float, spending: str = EVEN) -> tuple[float, ...]:
    """Return the two-sided level of each look, so that all together keep ``alpha``.

    ``even`` is Bonferroni's share and holds however the looks depend on each other. The others hold
    where each look adds as many rows to those of the last one (Jennison and Turnbull 2000, "Group
    sequential methods", chapter 2): Pocock's bound is the same at every look, O'Brien and Fleming's
    is ``c (K / k) ** 0.5`` at look k of K, so that early looks cost next to nothing.
    """
    from scipy import optimize, special

    if spending == EVEN or looks == 1:
        return (alpha / looks,) * looks
    power = 0.0 if spending == POCOCK else 0.5
    shape = [(looks / look) ** power for look in range(1, looks + 1)]
    gap: Callable[[float], float] = lambda c: _crossed([c * each for each in shape]) - alpha  # noqa: E731
    widest = -float(special.ndtri(alpha / 2 / looks))  # Bonferroni's is never narrower
    constant = float(optimize.brentq(gap, -float(special.ndtri(alpha / 2)), widest, xtol=1e-7))
    return tuple(2 * float(special.ndtr(-constant * each)) for each in shape)


def _crossed(bounds: list[float]) -> float:
    """Return how likely a sum of standard normal steps leaves ``bounds`` (of z) at any look.

    The density of the sum that has stayed inside is carried from look to look by Gauss-Legendre
    quadrature (Armitage, McPherson and Rowe 1969).
    """
    import numpy as np

    places, density = np.zeros(1), np.ones(1)
    for look, bound in enumerate(bounds, start=1):
        reach = bound * look**0.5
        nodes, weights = np.polynomial.legendre.leggauss(24 + 4 * int(np.ceil(reach)))
        inside = nodes * reach
        step = np.exp(-((inside[:, None] - places) ** 2) / 2) / (2 * np.pi) ** 0.5
        places, density = inside, (step @ density) * weights * reach
    return 1 - float(density.sum())


@dataclass(frozen=True)
class Pooled:
    """Differences shrunk towards their mean, as far as they may differ by chance alone.

    Attributes:
        mean: of the true differences.
        error: its standard error.
        spread: standard deviation of the true differences, as estimated.
        values: each difference's posterior mean, in the order given.
        errors: and its posterior standard deviation.
    """

    mean: float
    error: float
    spread: float
    values: tuple[float, ...]
    errors: tuple[float, ...]

    @property
    def pairs(self) -> list[tuple[float, float]]:
        """Each value with its error."""
        return list(zip(self.values, self.errors, strict=True))


def partial_pooling(differences: Sequence[float], errors: Sequence[float]) -> Pooled | None:
    """Return the posterior of differences that come from one normal distribution.

    Its variance is estimated by moments (DerSimonian and Laird 1986), its mean has a flat prior;
    given the variance the posterior is exact (Gelman et al., Bayesian Data Analysis, section 5.4).
    How well the variance is known does not enter.

    Args:
        differences: on one scale.
        errors: their standard errors, above zero.

    Returns:
        ``None`` with fewer than two.
    """
    if len(differences) < 2:
        return None
    weights = [1 / error**2 for error in errors]
    total = sum(weights)
    center = sum(w * d for w, d in zip(weights, differences, strict=True)) / total
    excess = sum(w * (d - center) ** 2 for w, d in zip(weights, differences, strict=True))
    excess -= len(differences) - 1
    between = max(0.0, excess / (total - sum(w**2 for w in weights) / total))
    weights = [1 / (error**2 + between) for error in errors]
    variance = 1 / sum(weights)
    mean = variance * sum(w * d for w, d in zip(weights, differences, strict=True))
    drawn = [error**2 / (error**2 + between) for error in errors]  # how far towards the mean
    return Pooled(
        mean=mean,
        error=variance**0.5,
        spread=between**0.5,
        values=tuple(b * mean + (1 - b) * d for b, d in zip(drawn, differences, strict=True)),
        errors=tuple(
            ((1 - b) * error**2 + b**2 * variance) ** 0.5
            for b, error in zip(drawn, errors, strict=True)
        ),
    )
