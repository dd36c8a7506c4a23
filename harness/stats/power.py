"""The minimum detectable difference (MDD), simulated; in plain words: docs/measuring.md.

What one image did to the difference is its *move*. Under "nothing changed" every move is as likely
up as down. An effect is planted by tilting: a move ``x`` becomes ``exp(tilt * x)`` times as likely,
which for rows that flip is what a shift of a logit does. Rare moves become more frequent with the
effect, frequent ones turn to its side, and the variance follows. Simulated comparisons are judged
as :class:`harness.stats.confidence.Confidence` judges, by Student's t and by the same rule for few
telling images; the swap test is McNemar's where all moves are of one size, and else enters with the
smallest p value that so many moves permit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy import bool_, float64, int64
    from numpy.random import Generator
    from numpy.typing import NDArray

_KINDS = 16  # sizes of changes that are kept apart
_RUNS = 250  # simulated comparisons for each effect
_STEPS = 10
_ONE_SIZE = 4  # signed values, with zero twice
_TURNED_BACK = 4.0  # steepest tilt that is taken off: one largest move in 3,000 against it
_SLIGHTEST = 1e-4
_STEEPEST = 40.0  # tilt at which next to every image moves by the largest move, and up
POWER = 0.8
CURVE, WANTED = (0.5, 1.0, 2.0, 3.0, 5.0, 10.0), 2.0
"""Percent of the scale: differences of the power curve, and the one that images are counted for."""
_MOST = 1_000_000  # images
_TRAININGS = 50


def needed(images: float) -> float:
    """Return how many images must differ from the most common one for their spread to be usable.

    Ten, or half of them where they are fewer than twenty.
    """
    return min(10.0, images / 2)


@dataclass(frozen=True)
class Moves:
    """How far single images moved the difference, regardless of the direction.

    Attributes:
        sizes: from small to large, in the figure's unit.
        shares: how often each occurs among the images; they add up to 1.
    """

    sizes: tuple[float, ...]
    shares: tuple[float, ...]

    @property
    def largest(self) -> float:
        """The largest move."""
        return self.sizes[-1]

    def tilted(self, tilt: float) -> tuple[NDArray[float64], NDArray[float64], float]:
        """Return signed moves, their probabilities, and the effect that they amount to."""
        import numpy as np

        sizes, shares = self._arrays
        power = tilt * sizes / self.largest
        ups, downs = shares * np.exp(power - tilt), shares * np.exp(-power - tilt)
        weights: NDArray[float64] = np.concatenate([downs[::-1], ups])
        weights = weights / weights.sum()
        moves = np.concatenate([-sizes[::-1], sizes])
        effect = float(weights @ moves)
        if len(sizes) == len((0, 1)):
            weights = self._half_way(weights, effect)
        return moves, weights, effect

    def _half_way(self, weights: NDArray[float64], effect: float) -> NDArray[float64]:
        """Let as many rows flip as lies half-way between a shift and an effect that comes on top.

        A shift of a logit turns flips to its side. Losses that come on top of flips in both
        directions leave these as they are, so that more rows flip.
        """
        down, still, again, up = weights
        extra = (self.shares[1] + effect / self.largest - down - up) / 2
        extra = min(max(extra, 0.0), still + again)
        kept: NDArray[float64] = weights + extra * self._spread
        return kept

    @cached_property
    def _spread(self) -> NDArray[float64]:
        import numpy as np

        return np.array([0.5, -0.5, -0.5, 0.5])

    @cached_property
    def _arrays(self) -> tuple[NDArray[float64], NDArray[float64]]:
        import numpy as np

        return np.array(self.sizes), np.array(self.shares)


@dataclass(frozen=True)
class Design:
    """What a comparison is made of.

    Attributes:
        images: how many.
        span: largest possible change of the figure.
        seeds: how many trainings.
        seed_spread: standard deviation of the difference over training seeds.
        further: how many times as far as Student's t the resampling reaches.
    """

    images: int
    span: float
    seeds: int = 1
    seed_spread: float = 0.0
    further: float = 1.0


def moves_of(values: NDArray[float64], counts: NDArray[float64], span: float) -> Moves:
    """Sum up moves in at most sixteen sizes and zero, and turn their effect back to nothing.

    Sizes become rarer by as much as tilting made them more frequent, so that the spread is the one
    that these images would show without an effect. Where nothing moved, one image that moved by
    the whole span is taken for seen. ``counts`` says how many images did each of the values.
    """
    import numpy as np

    total = float(counts.sum())
    effect = abs(float(counts @ values)) / total
    sizes = np.abs(values).round(9)
    moved = sizes > 0
    still = float(counts[~moved].sum())
    if not moved.any():
        return Moves((0.0, span), (still / (still + 1), 1 / (still + 1)))
    order = np.argsort(sizes[moved], kind="stable")
    sizes, counts = sizes[moved][order], counts[moved][order].astype(float)
    kind = np.unique(sizes, return_inverse=True)[1].ravel()
    if kind[-1] >= _KINDS:  # as many images of each kind, of the same mean square
        kind = np.minimum((counts.cumsum() - counts) / counts.sum() * _KINDS, _KINDS - 1)
        kind = np.unique(kind.astype(int), return_inverse=True)[1].ravel()
    share = np.bincount(kind, weights=counts)
    size = np.sqrt(np.bincount(kind, weights=counts * sizes**2) / share)
    low, high = 0.0, _TURNED_BACK / float(size[-1])
    for _ in range(30):
        tilt = (low + high) / 2
        small = float(share @ (size * np.tanh(tilt * size))) / total < effect
        low, high = (tilt, high) if small else (low, tilt)
    weights: NDArray[float64] = share / np.cosh(low * size)
    together = still + float(weights.sum())
    return Moves((0.0, *map(float, size)), (still / together, *(map(float, weights / together))))


def power_at(moves: Moves, design: Design, effect: float, *, alpha: float = 0.05) -> float:
    """Return the simulated power of a comparison against a true difference of ``effect``.

    Of a difference beyond the largest that these moves can make it is the power against that one,
    which is no greater; one beyond the scale does not exist.
    """
    if design.images < 2 or not 0 < effect <= design.span:
        return 0.0
    low, high = _SLIGHTEST, _STEEPEST
    if moves.tilted(high)[2] < effect:
        return _power(moves, design, high, alpha)
    for _ in range(40):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if moves.tilted(middle)[2] < effect else (low, middle)
    return _power(moves, design, high, alpha)


def detectable(moves: Moves, design: Design, *, alpha: float = 0.05) -> float | None:
    """Return the true difference that a comparison detects with 80 % power.

    Returns:
        ``None`` where no difference of any size reaches that power.
    """
    if design.images < 2:
        return None
    low, high = _SLIGHTEST, _STEEPEST
    if _power(moves, design, high, alpha) < POWER:
        return None
    low_power, high_power = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low * high) ** 0.5
        found = _power(moves, design, middle, alpha)
        if found < POWER:
            low, low_power = middle, found
        else:
            high, high_power = middle, found
    within = (POWER - low_power) / (high_power - low_power) if high_power > low_power else 1.0
    return moves.tilted(low + within * (high - low))[2]


def images_for(effect: float, moves: Moves, design: Design, *, alpha: float = 0.05) -> int | None:
    """Return how many images detect a true difference of ``effect`` with 80 % power.

    ``None`` where even a million would not, as where training seeds differ too much.
    """
    low, high = 2, _MOST
    if power_at(moves, replace(design, images=high), effect, alpha=alpha) < POWER:
        return None
    while high > 1.02 * low:
        middle = round((low * high) ** 0.5)
        if middle in (low, high):
            break
        enough = power_at(moves, replace(design, images=middle), effect, alpha=alpha) >= POWER
        low, high = (low, middle) if enough else (middle, high)
    return high


def seeds_for(effect: float, moves: Moves, design: Design, *, alpha: float = 0.05) -> int | None:
    """Return how many trainings detect ``effect`` with 80 % power; ``None`` if fifty do not."""
    for seeds in range(2 if design.seed_spread else 1, _TRAININGS + 1):
        if power_at(moves, replace(design, seeds=seeds), effect, alpha=alpha) >= POWER:
            return seeds
    return None


def _power(moves: Moves, design: Design, tilt: float, alpha: float) -> float:
    import numpy as np

    random = np.random.default_rng((3, design.images, design.seeds))
    return float(_detected(moves, design, tilt, alpha, random).mean())


def _detected(
    moves: Moves, design: Design, tilt: float, alpha: float, random: Generator
) -> NDArray[bool_]:
    """Return, for each simulated comparison, whether it detected the effect."""
    import numpy as np
    from scipy import special

    count, seeds = design.images, design.seeds
    values, chances, effect = moves.tilted(tilt)
    drawn = random.multinomial(count, chances, size=_RUNS)
    mean = drawn @ values / count
    spread = np.maximum(drawn @ values**2 / count - mean**2, 0.0)
    # The spread is itself an estimate: with half the degrees of freedom that the fourth moment
    # gives, because few images understate that moment too (perf/claims.py, docs/log.md).
    peaked = float(chances @ values**4) / float(chances @ values**2) ** 2
    known = count / max(peaked - 1, 2.0)
    factor = known / random.chisquare(known, _RUNS)
    mean = effect + (mean - effect) * np.sqrt(factor)
    spread = spread * factor
    quantile = -design.further * float(special.stdtrit(count - 1, alpha / 2))
    of_seeds: NDArray[float64] = np.zeros(_RUNS)
    if seeds > 1 and design.seed_spread:
        error = design.seed_spread / seeds**0.5
        mean = mean + random.normal(0, error, _RUNS)
        seen = error * np.sqrt(random.chisquare(seeds - 1, _RUNS) / (seeds - 1))
        of_seeds = -float(special.stdtrit(seeds - 1, alpha / 2)) * seen
    low = mean - np.hypot(quantile * np.sqrt(spread / (count - 1)), of_seeds)
    still = drawn[:, values == 0].sum(axis=1)
    off = design.span + mean
    error = np.sqrt((spread + off**2 / (count + 1)) / (count + 1))
    worst = mean - off / (count + 1) - np.hypot(quantile * error, of_seeds)
    low = np.where(count - still < needed(count), np.minimum(low, worst), low)
    return np.asarray((low > 0) & (_swapped(values, drawn) <= alpha))


def _swapped(values: NDArray[float64], drawn: NDArray[int64]) -> NDArray[float64]:
    """Return the mid-p value of the swap test: McNemar's for moves of one size, else its least."""
    import numpy as np
    from scipy import special

    downs, ups = drawn[:, values < 0].sum(axis=1), drawn[:, values > 0].sum(axis=1)
    moved = downs + ups
    if len(values) > _ONE_SIZE:
        return np.asarray(0.5**moved)
    less = np.minimum(downs, ups)
    tail = special.bdtr(less, moved, 0.5)
    before = np.where(less > 0, special.bdtr(np.maximum(less - 1, 0), moved, 0.5), 0.0)
    return np.asarray(np.where(moved > 0, tail + before, 1.0))
