"""Every two runs of a leaderboard against each other, corrected once over the whole page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations

from harness.benchmark import Metric
from harness.compare import MetricResult, Terms, compare, decide, survives
from harness.records import Samples

Key = tuple[str, str, str, str]
"""First run, second run, benchmark, column."""


@dataclass(frozen=True)
class RunPair:
    """Two runs of a leaderboard in one column: the second less the first.

    Attributes:
        first: name of the one.
        second: name of the other.
        benchmark: its name.
        column: the column's name.
        difference: over the rows that both have.
        interval: of the difference.
        p_holm: corrected over every pair of runs and every column.
        verdict: what the second is against the first, with missing rows at their worst; empty
            where these would turn it.
    """

    first: str
    second: str
    benchmark: str
    column: str
    difference: float | None
    interval: tuple[float, float] | None
    p_holm: float | None
    verdict: str


def paired_of(found: Mapping[Key, MetricResult], terms: Terms) -> tuple[RunPair, ...]:
    """Return what :func:`pairwise` found as records."""
    return tuple(
        RunPair(
            *key, figure.difference, figure.interval, figure.p_holm, settled(key, figure, terms)
        )
        for key, figure in found.items()
    )


def settled(key: Key, figure: MetricResult, terms: Terms) -> str:
    """Return a verdict that missing rows cannot turn: a loss of the one is a gain of the other."""
    return figure.verdict if survives(figure) or key[2] in terms.accept_missing else ""


def pairwise(
    arms: Mapping[str, Sequence[Samples]],
    columns: Mapping[str, Sequence[Metric]],
    *,
    seed: int,
    draws: int,
    terms: Terms,
) -> tuple[dict[Key, MetricResult], list[str]]:
    """Compare every run with every later one: the second less the first.

    A run has one arm after for each of its training seeds; of two runs as many seeds are compared
    as both have.

    Returns:
        The figures, corrected over all of them together, and the notes of the comparisons.
    """
    pairs = list(combinations(arms, 2))
    family = len(pairs) * sum(map(len, columns.values()))
    notes: list[str] = []
    results = []
    for one, two in pairs:
        (first, second), *more = zip(arms[one], arms[two], strict=False)
        settings = {"seed": seed, "draws": draws, "family": family, **asdict(terms)}
        found = compare(first, second, columns, more=more, **settings)
        if len(arms[one]) != len(arms[two]):
            notes.append(
                f"{one} has {len(arms[one])} seeds and {two} has {len(arms[two])}; the first "
                f"{1 + len(more)} of each are compared."
            )
        notes += [f"{each.name}: {note}" for each in found.benchmarks for note in each.notes]
        results += [(one, two, each) for each in found.benchmarks]
    judged = decide([each for _, _, each in results], terms.alpha, terms.accept_missing)
    return {
        (one, two, benchmark.name, figure.column): figure
        for (one, two, _), benchmark in zip(results, judged, strict=True)
        for figure in benchmark.figures
    }, notes
