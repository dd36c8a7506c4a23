"""Partial pooling of differences: each is shrunk towards the mean of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


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
