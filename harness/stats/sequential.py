"""Levels of repeated looks: how an alpha is shared among a planned number of them."""

from __future__ import annotations

from collections.abc import Callable
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
