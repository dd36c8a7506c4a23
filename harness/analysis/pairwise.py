"""The records of a leaderboard, and every two runs against each other, corrected over the page."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations

from harness.benchmark import Metric, headline
from harness.compare import (
    BenchmarkComparison,
    MetricResult,
    Summary,
    Terms,
    compare,
    decide,
    losses_in,
    summary,
    survives,
)
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
        beside: what lost against the baseline beside the headline where that decides, as CHAIR's
            recall does where CHAIR gained; corrected with everything else.
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
    beside: tuple[RunPair, ...] = ()

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


@dataclass(frozen=True)
class Pairwise:
    """Every two runs against each other.

    Attributes:
        figures: of the headline, corrected over all of them together.
        beside: losses against the first run beside the headline, see :class:`Leaderboard`.
        notes: of the comparisons.
    """

    figures: dict[Key, MetricResult]
    beside: tuple[RunPair, ...]
    notes: tuple[str, ...]


def pairwise(
    arms: Mapping[str, Sequence[Samples]],
    columns: Mapping[str, Sequence[Metric]],
    *,
    seed: int,
    draws: int,
    terms: Terms,
    uncounted: Collection[str] = (),
) -> Pairwise:
    """Compare every run with every later one: the second less the first.

    A run has one arm after for each of its training seeds; of two runs as many seeds are compared
    as both have. Columns beside the headline are compared with the first run alone, the baseline:
    they decide whether a gain stands, as in the report of a single run.

    Args:
        arms: the runs, the baseline first.
        columns: all of each benchmark.
        seed: of the resampling.
        draws: resamples per comparison.
        terms: of the comparison.
        uncounted: benchmarks in which the runs count lengths in different units.
    """
    baseline, pairs = next(iter(arms)), list(combinations(arms, 2))
    heads = {name: headline(each) for name, each in columns.items()}
    family = len(pairs) * sum(map(len, heads.values()))
    notes: list[str] = []
    results = []
    for one, two in pairs:
        (first, second), *more = zip(arms[one], arms[two], strict=False)
        settings = {"seed": seed, "draws": draws, "family": family, **asdict(terms)}
        chosen = columns if one == baseline else heads
        found = compare(first, second, chosen, more=more, **settings)
        if len(arms[one]) != len(arms[two]) and BEFORE not in (one, two):
            notes.append(
                f"{one} has {len(arms[one])} seeds and {two} has {len(arms[two])}; the first "
                f"{1 + len(more)} of each are compared."
            )
        if one == baseline:  # what is true of a run at all is true of it there
            notes += _named(found.benchmarks, one, two)
            notes += _forms(summary(found), one, two, uncounted)
        results += [(one, two, each) for each in found.benchmarks]
    judged = decide([each for _, _, each in results], terms.alpha, terms.accept_missing)
    told = [(one, two, each) for (one, two, _), each in zip(results, judged, strict=True)]
    return Pairwise(
        figures={
            (one, two, benchmark.name, figure.column): figure
            for one, two, benchmark in told
            for figure in benchmark.figures
            if figure.primary
        },
        beside=tuple(
            RunPair(
                one,
                two,
                benchmark.name,
                lost.column,
                lost.difference,
                lost.interval,
                lost.p_holm,
                lost.verdict,
            )
            for one, two, benchmark in told
            if one == baseline
            for _, lost in losses_in(benchmark)
            if not lost.primary
        ),
        notes=tuple(notes),
    )


def _named(benchmarks: Sequence[BenchmarkComparison], one: str, two: str) -> list[str]:
    """Return the notes of a comparison; those that speak of before and after name the runs."""
    told = []
    for each in benchmarks:
        for note in each.notes:
            arms = ""
            if re.search(r"\b(before|after|arms?)\b", note):
                arms = f" ({two})" if one == BEFORE else f" ({one} before, {two} after)"
            told.append(f"{each.name}{arms}: {note}")
    return told


def _forms(found: Summary, one: str, two: str, uncounted: Collection[str]) -> list[str]:
    """Say where a run's answers changed their form against the baseline's."""
    told = [
        f"{each.name}: {two} is {abs(100 * change):.0f} % {'longer' if change > 0 else 'shorter'} "
        f"in its answers than {one}."
        for each, change in found.lengths
        if each.name not in uncounted
    ]
    return told + [
        f"{each.name}: {100 * each.unread[1]:.0f} % of what {two} answered is empty or could not "
        "be read, so that its figures can lose and not gain."
        for each in found.unread
    ]
