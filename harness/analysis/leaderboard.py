"""Many runs side by side, ranked only as far as they differ significantly.

Every pair of runs is compared on the same rows, paired, and corrected once over the whole page: all
pairs of runs, in all columns. A run's rank is a range: as many places from the top as runs are told
better, and as many from the bottom as runs are told worse. Runs that share a place are a tie.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan

from harness.analysis.pairwise import (
    BEFORE,
    Key,
    Leaderboard,
    RankedRun,
    Ranking,
    paired_of,
    pairwise,
    settled,
)
from harness.benchmark import Metric, headline
from harness.compare import (
    GAIN,
    LOSS,
    MetricResult,
    Terms,
    arrays_of,
    join,
    strictest,
    units_of,
)
from harness.data import same_data
from harness.errors import UsageError, near_miss
from harness.records import Sample, Samples, count_states, distinct, sentences
from harness.runs import FinishedRun, columns_of, in_words, run_name, unlike
from harness.stats import partial_pooling, rounded


def rank(
    runs: Sequence[FinishedRun],
    *,
    against: str | None = None,
    seed: int = 0,
    draws: int = 10_000,
    terms: Terms | None = None,
) -> Leaderboard:
    """Compare the results of many runs.

    Args:
        runs: at least two.
        against: the baseline: a run's name, or ``"before"`` for the model that all runs started
            from; by default the first run.
        seed: of the resampling.
        draws: resamples per comparison.
        terms: margins, level, and benchmarks whose missing rows are accepted; by default the
            strictest that the runs recorded.

    Raises:
        UsageError: if the runs share no benchmark, or none is called ``against``.
        HarnessError: if the rows of two runs differ, naming them.
    """
    names = names_of(runs)
    baseline = _baseline(names, against)
    shared = [name for name in runs[0].after if all(name in run.after for run in runs)]
    if not shared:
        raise UsageError(
            f"{', '.join(names)} share no benchmark. Run all of them with the same --bench."
        )
    for called, run in zip(names[1:], runs[1:], strict=True):
        for name in shared:
            prints = (runs[0].data[name], run.data[name])
            pair = (names[0], called)
            same_data(name, runs[0].after[name], run.after[name], prints, pair)
    apart = unlike(shared, [(run.folder, run.report, run.record) for run in runs], names)
    arms = {
        name: [_only(after, shared) for after in (run.after, *(two for _, two in run.more))]
        for name, run in zip(names, runs, strict=True)
    }
    if baseline == BEFORE:  # the model before has no training seed: it stands against each
        most = max(map(len, arms.values()))
        arms[BEFORE] = [_common_before(runs, names, shared)] * most
    arms = {baseline: arms.pop(baseline), **arms}
    terms = (terms or recorded_terms(runs)).of(shared)
    every = {name: columns_of(name, *runs) for name in shared}
    columns = {name: headline(each) for name, each in every.items()}
    uncounted = [n for n in shared if len({in_words(n, run.report) for run in runs}) > 1]
    beside = pairwise(arms, every, seed=seed, draws=draws, terms=terms, uncounted=uncounted)
    found, notes = beside.figures, [*apart, *beside.notes]
    everything = distinct(name for run in runs for name in run.after)
    notes += _touched(names, runs, shared)
    for run in runs:
        notes += [run.report.notice] if run.report.notice else []
        notes += run.report.notes if run.imported else ()
    notes += _states(arms, shared)
    return Leaderboard(
        baseline=baseline,
        rankings=tuple(
            _board(name, column, arms, found, terms) for name in shared for column in columns[name]
        ),
        left_out=tuple(name for name in everything if name not in shared),
        family=len(found),
        terms=terms,
        alpha=terms.alpha,
        seed=seed,
        draws=draws,
        notes=distinct(notes),
        pairs=paired_of(found, terms),
        beside=beside.beside,
    )


def _touched(names: Sequence[str], runs: Sequence[FinishedRun], shared: Sequence[str]) -> list[str]:
    """Say which runs were trained on images of a benchmark."""
    told = []
    for bench in shared:
        counts = [
            f"{len(overlap.touched.ids)} of {name}"
            for name, run in zip(names, runs, strict=True)
            for overlap in run.report.overlaps
            if overlap.touched.benchmark == bench and overlap.touched.ids
        ]
        if counts:
            told.append(
                f"{bench}: of its rows these show an image of the training prompts: "
                f"{', '.join(counts)}. Figures without them: harness report RUN"
            )
    return told


def _states(arms: Mapping[str, Sequence[Samples]], shared: Sequence[str]) -> list[str]:
    """Say what became of the rows of each run, over its training seeds, where not all count."""
    found = []
    for name in shared:
        counts = {
            run: count_states(row for samples in trained for row in samples[name])
            for run, trained in arms.items()
            if run != BEFORE
        }
        found += [f"{name}: {told}" for told in sentences(counts)]
    return found


def recorded_terms(runs: Sequence[FinishedRun]) -> Terms:
    """Return the strictest terms that were laid down for any of the runs."""
    found = [run.report.comparison.terms for run in runs if run.report.comparison is not None]
    return strictest(found) if found else Terms()


def names_of(runs: Sequence[FinishedRun]) -> list[str]:
    """Call runs by their method, and by their folder where a method occurs twice."""
    methods = Counter(run.report.method for run in runs)
    names = [
        run.report.method if methods[run.report.method] == 1 else run_name(run.folder)
        for run in runs
    ]
    twice = [name for name, count in Counter([*names, BEFORE]).items() if count > 1]
    if twice:
        raise UsageError(
            f"Two runs are called {', '.join(twice)}. Name every run once, and give the folders "
            "different names."
        )
    return names


def _baseline(names: Sequence[str], against: str | None) -> str:
    known = [*names, BEFORE]
    if against is None:
        return names[0]
    if against not in known:
        raise UsageError(
            f"No run is called '{against}'.{near_miss(against, known)} There are: "
            f"{', '.join(known)}. Name one of them with --against."
        )
    return against


def _only(samples: Samples, names: Sequence[str]) -> dict[str, tuple[Sample, ...]]:
    return {name: samples[name] for name in names}


def _common_before(
    runs: Sequence[FinishedRun], names: Sequence[str], shared: Sequence[str]
) -> dict[str, tuple[Sample, ...]]:
    """Return the arm before that all runs have in common, answer by answer."""
    first = runs[0]
    for name, run in zip(names, runs, strict=True):
        for bench in shared:
            if bench not in run.before or bench not in first.before:
                raise UsageError(
                    f"{name} has no {bench} before, so there is no common baseline. "
                    "Name a run with --against."
                )
            known = {row.id: row for row in first.before[bench]}
            both = [(known[row.id], row) for row in run.before[bench] if row.id in known]
            if any(one.said != other.said for one, other in both):
                raise UsageError(
                    f"{names[0]} and {name} did not start from one model: their answers to "
                    f"{bench} before training differ. Name a run with --against."
                )
            if any(one.scores != other.scores for one, other in both):
                raise UsageError(
                    f"{names[0]} and {name} gave the same answers before training, but their "
                    f"scores on {bench} differ. Judge both by one judge: harness judge RUN --judge "
                    "JUDGE"
                )
    return _only(first.before, shared)


def starts_alike(runs: Sequence[FinishedRun]) -> bool:
    """Whether the runs share benchmarks and started from one model, so that it can be compared."""
    shared = [name for name in runs[0].after if all(name in run.after for run in runs)]
    try:
        _common_before(runs, [run.folder.name for run in runs], shared)
    except UsageError:
        return False
    return bool(shared)


def _board(
    name: str,
    column: Metric,
    arms: Mapping[str, Sequence[Samples]],
    found: Mapping[Key, MetricResult],
    terms: Terms,
) -> Ranking:
    baseline = next(iter(arms))

    def told(one: str, two: str) -> str:
        """Say what the second of two runs is against the first, with missing rows at their worst.

        A loss of the one is a gain of the other, so here both have to survive missing rows.
        """
        key = (one, two, name, column.name)
        if key not in found:
            return {GAIN: LOSS, LOSS: GAIN}.get(told(two, one), "")
        return settled(key, found[key], terms)

    drawn = _pooled({run: found.get((baseline, run, name, column.name)) for run in arms})
    runs = []
    for run, trained in arms.items():
        figure, missing = _figure(name, column, [samples[name] for samples in trained])
        others = [told(other, run) for other in arms if other != run]
        against = found.get((baseline, run, name, column.name))
        runs.append(
            RankedRun(
                run=run,
                figure=figure,
                missing=missing,
                difference=against.difference if against else None,
                interval=against.interval if against else None,
                interval_corrected=against.interval_corrected if against else None,
                pooled=rounded(drawn[run][0]) if run in drawn else None,
                pooled_error=rounded(drawn[run][1]) if run in drawn else None,
                p_holm=against.p_holm if against else None,
                verdict=against.verdict if against else "",
                best=1 + others.count(LOSS),
                worst=len(arms) - others.count(GAIN),
                seeds=against.seeds if against else (),
            )
        )
    return Ranking(
        benchmark=name,
        column=column.name,
        unit=column.unit,
        digits=column.digits,
        higher_is_better=column.higher_is_better,
        samples=len(next(iter(arms.values()))[0][name]),
        clusters=max(figure.clusters for key, figure in found.items() if key[2] == name),
        runs=tuple(sorted(runs, key=lambda each: _order(each, column))),
        margin=next(f.margin for key, f in found.items() if key[2:] == (name, column.name)),
    )


def _pooled(against: Mapping[str, MetricResult | None]) -> dict[str, tuple[float, float]]:
    """Draw the differences of runs to the baseline towards their mean."""
    known = {run: each for run, each in against.items() if each is not None and each.error}
    pooled = partial_pooling(
        [each.difference or 0.0 for each in known.values()],
        [each.error or 0.0 for each in known.values()],
    )
    return dict(zip(known, pooled.pairs, strict=True)) if pooled else {}


def _order(standing: RankedRun, column: Metric) -> tuple[bool, float, str]:
    value = standing.figure
    if value is None:
        return True, 0.0, standing.run
    return False, value if column.higher_is_better is False else -value, standing.run


def _figure(
    name: str, column: Metric, trained: Sequence[Sequence[Sample]]
) -> tuple[float | None, int]:
    """Return a run's figure over its scored rows, and how many rows have no score.

    Several training seeds give the mean of their figures and the sum of what is missing.
    """
    figures, missing = [], 0
    for samples in trained:
        units = units_of(column, join(name, samples, samples))
        missing += sum(len(unit.rows) for unit in units if unit.lacks("after"))
        counted, _, _ = arrays_of(units)
        figures.append(float(column.value(counted.sum(axis=0))) if len(counted) else nan)
    value = sum(figures) / len(figures)
    return (rounded(value) if isfinite(value) else None), missing


_NAMED = 8  # runs in one sentence
_BESIDE = 3  # columns beside the headline in one sentence


@dataclass(frozen=True)
class Standing:
    """One run over all headline figures.

    Attributes:
        run: its name.
        gains: figures that are better than the baseline's.
        losses: those that are worse, and columns beside the headline that lost where that decides.
        undecided: the others.
        missing: rows without an answer or score.
        cells: where it stands in each ranking.
        beside: the losses beside the headline, by benchmark and column.
    """

    run: str
    gains: int
    losses: int
    undecided: int
    missing: int
    cells: tuple[RankedRun, ...]
    beside: tuple[str, ...] = ()


def standings(board: Leaderboard) -> list[Standing]:
    """Return the runs, the baseline first, then by gains less losses."""
    by_run: dict[str, list[RankedRun]] = {}
    for ranking in board.rankings:
        for each in ranking.runs:
            by_run.setdefault(each.run, []).append(each)
    found = []
    for name, cells in by_run.items():
        said = [each.verdict for each in cells]
        gains, losses = said.count(GAIN), said.count(LOSS)
        missing = sum(each.missing for each in cells)
        undecided = len(cells) - gains - losses
        beside = tuple(f"{e.benchmark} {e.column}" for e in board.beside if e.second == name)
        losses += len(beside)
        found.append(Standing(name, gains, losses, undecided, missing, tuple(cells), beside))
    first = board.baseline
    return sorted(found, key=lambda each: (each.run != first, each.losses - each.gains, each.run))


def conclusion(board: Leaderboard) -> str:
    """Say which runs are better than the baseline, which worse, and which neither."""
    rivals = [each for each in standings(board) if each.run != board.baseline]
    count = len(board.rankings)
    kinds = (
        ("Better on some figures and worse on none", (True, False), "gains"),
        ("Better on some and worse on others", (True, True), "gains"),
        ("Worse on some and better on none", (False, True), "losses"),
        ("Neither better nor worse on any figure", (False, False), ""),
    )
    told = []
    for title, decided, counted in kinds:
        chosen = [each for each in rivals if (each.gains > 0, each.losses > 0) == decided]
        shown = [each.run + _share(each, counted, count) for each in chosen[:_NAMED]]
        if len(chosen) > _NAMED:
            shown.append(f"{len(chosen) - _NAMED} more")
        told += [f"{title}: {', '.join(shown)}."] if shown else []
    return " ".join(told)


def _share(each: Standing, counted: str, count: int) -> str:
    """Say how many headline figures a run is better or worse on, and what it lost beside them."""
    lost = f"worse on {', '.join(each.beside[:_BESIDE])}" if each.beside else ""
    if len(each.beside) > _BESIDE:
        lost += f" and {len(each.beside) - _BESIDE} more"
    number = each.gains if counted == "gains" else each.losses - len(each.beside)
    told = [f"{number} of {count}" if counted and number else "", lost]
    return f" ({'; '.join(filter(None, told))})" if any(told) else ""
