"""The records of a leaderboard, and every two runs against each other, corrected over the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations

from harness.benchmark import Metric
from harness.compare import MetricResult, Terms, compare, decide, survives
from harness.records import Samples
from harness.report import ReportInput

Key = tuple[str, str, str, str]
"""First run, second run, benchmark, column."""
BEFORE = "before"
"""What a leaderboard calls the model before, which has no training seed."""


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


@dataclass(frozen=True)
class RankedRun:
    """One run in one column.

    Attributes:
        run: its name in the leaderboard.
        figure: the column's figure over all of its scored rows; the mean over its training seeds.
        missing: rows without an answer or score.
        difference: to the baseline, over the rows that both have; ``None`` for the baseline.
        interval: of the difference.
        interval_corrected: the same at the level of the whole page: it holds for whichever run is
            picked for being the best.
        pooled: the difference drawn towards the mean over the runs (partial pooling); ``None`` with
            fewer than two runs besides the baseline.
        pooled_error: its posterior standard deviation.
        p_holm: of the difference, corrected over every pair of runs and every column.
        verdict: against the baseline; empty for the baseline itself.
        best: the best rank that cannot be ruled out, from 1.
        worst: the worst one.
        seeds: the difference of each training by itself, where there are several.
    """

    run: str
    figure: float | None
    missing: int
    difference: float | None
    interval: tuple[float, float] | None
    interval_corrected: tuple[float, float] | None
    pooled: float | None
    pooled_error: float | None
    p_holm: float | None
    verdict: str
    best: int
    worst: int
    seeds: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class Ranking:
    """One column of one benchmark, the best figure first.

    Attributes:
        benchmark: its name.
        column: the column's name.
        unit: of figures and differences.
        digits: decimals in tables.
        higher_is_better: ``None`` where there is no direction, and then no rank means anything.
        samples: rows of the benchmark.
        clusters: images among them.
        runs: of every run.
        margin: what counts as worse, in the column's unit.
    """

    benchmark: str
    column: str
    unit: str
    digits: int
    higher_is_better: bool | None
    samples: int
    clusters: int
    runs: tuple[RankedRun, ...]
    margin: float = 0.0


@dataclass(frozen=True)
class Leaderboard:
    """Runs against a common baseline.

    Attributes:
        baseline: its name.
        rankings: one for each headline column of the benchmarks that all runs have.
        left_out: benchmarks that only some runs have.
        family: how many differences between any two runs are corrected together.
        terms: margins, level, and benchmarks whose missing rows are accepted.
        alpha: level of tests and intervals.
        seed: of the resampling.
        draws: how many resamples.
        notes: what a reader has to know.
        pairs: every two runs in every column.
    """

    baseline: str
    rankings: tuple[Ranking, ...]
    left_out: tuple[str, ...]
    family: int
    terms: Terms
    alpha: float
    seed: int
    draws: int
    notes: tuple[str, ...] = ()
    pairs: tuple[RunPair, ...] = ()

    @property
    def missing(self) -> int:
        """How many answers or scores are missing in all runs together."""
        return sum(standing.missing for board in self.rankings for standing in board.runs)


@dataclass(frozen=True)
class Overview:
    """Many runs as a page shows them.

    Attributes:
        board: how they stand against each other.
        runs: what was reported of each, by its name in the leaderboard.
        pages: where the page of a run lies, seen from this one; of those that have one.
    """

    board: Leaderboard
    runs: Mapping[str, ReportInput]
    pages: Mapping[str, str]


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
        if len(arms[one]) != len(arms[two]) and BEFORE not in (one, two):
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
