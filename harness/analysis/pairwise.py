"""Every two runs of a leaderboard against each other, and the correction over all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from harness import stats
from harness.benchmark import Metric
from harness.compare import CANNOT_TELL, CHANGED, GAIN, LOSS, NO_CHANGE, compare, excludes_zero
from harness.records import Samples

Key = tuple[str, str, str, str]
"""First run, second run, benchmark, column."""


@dataclass(frozen=True)
class PairwiseTest:
    """One column of two runs: the second less the first, over the rows that both have.

    Attributes:
        difference: in the column's unit.
        interval: of the difference.
        p: two-sided, not corrected; ``None`` where it cannot be known.
        identical: not one row differs.
        higher_is_better: the column's direction.
        clusters: images among the rows.
    """

    difference: float | None
    interval: tuple[float, float] | None
    p: float | None
    identical: bool
    higher_is_better: bool | None
    clusters: int

    def verdict(self, p: float, alpha: float) -> str:
        """Say what the second run is against the first, given the corrected ``p``."""
        if self.identical:
            return NO_CHANGE
        if self.difference is None or p > alpha or not excludes_zero(self.interval):
            return CANNOT_TELL
        if self.higher_is_better is None:
            return CHANGED
        return GAIN if (self.difference > 0) == self.higher_is_better else LOSS

    def turned(self) -> PairwiseTest:
        """Return the first run against the second."""
        low, high = self.interval or (0.0, 0.0)
        return replace(
            self,
            difference=None if self.difference is None else -self.difference + 0.0,
            interval=None if self.interval is None else (-high + 0.0, -low + 0.0),
        )


def pairwise_tests(
    arms: Mapping[str, Sequence[Samples]],
    columns: Mapping[str, Sequence[Metric]],
    *,
    seed: int,
    draws: int,
    alpha: float,
) -> tuple[dict[Key, PairwiseTest], list[str]]:
    """Compare every two runs; each pair is there in both directions.

    Args:
        arms: what came out of each run, once for each of its training seeds. Of two runs as many
            seeds are compared as both have.
        columns: by benchmark.
        seed: of the resampling.
        draws: resamples per comparison.
        alpha: level of the intervals.

    Returns:
        The duels, and the notes of the comparisons.
    """
    found: dict[Key, PairwiseTest] = {}
    notes: list[str] = []
    for one, two in combinations(arms, 2):
        (first, second), *more = zip(arms[one], arms[two], strict=False)
        result = compare(first, second, columns, seed=seed, draws=draws, alpha=alpha, more=more)
        if len(arms[one]) != len(arms[two]):
            notes.append(
                f"{one} has {len(arms[one])} seeds and {two} has {len(arms[two])}; the first "
                f"{1 + len(more)} of each are compared."
            )
        for benchmark in result.benchmarks:
            notes += [f"{benchmark.name}: {note}" for note in benchmark.notes]
            for figure in benchmark.figures:
                duel = PairwiseTest(
                    figure.difference,
                    figure.interval,
                    figure.p,
                    figure.verdict == NO_CHANGE,
                    figure.higher_is_better,
                    figure.clusters,
                )
                found[one, two, benchmark.name, figure.column] = duel
                found[two, one, benchmark.name, figure.column] = duel.turned()
    return found, notes


def corrected(found: Mapping[Key, PairwiseTest], family: Iterable[Key]) -> dict[Key, float]:
    """Return p values corrected by Holm over a family; one that is unknown counts as 1."""
    keys = list(family)
    plain = [found[key].p for key in keys]
    strict = stats.holm([1.0 if p is None else p for p in plain])
    return dict(zip(keys, strict, strict=True))
