"""Join the two arms sample by sample and say what can be said, and what cannot.

The statistics are in :mod:`harness.stats` and explained in docs/measuring.md; here they are put
together: join, estimate each column, correct over the run, judge, and look at what flipped.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness import stats
from harness.benchmark import Metric, flip_column, headline
from harness.compare.details import (
    groups_of,
    length_of,
    lost_notes,
    missing_of,
    moves_of,
    notes_of,
    unread_of,
    worst_case,
)
from harness.compare.flips import flips_of
from harness.compare.joining import Joined, Unit, images_in, join, units_of
from harness.compare.pooled import estimate
from harness.compare.records import (
    CANNOT_TELL,
    NO_CHANGE,
    BenchmarkComparison,
    Comparison,
    MetricResult,
)
from harness.compare.terms import Terms
from harness.compare.verdicts import decide, overall
from harness.errors import HarnessError
from harness.records import Sample, Samples, count_states, distinct, seed_of
from harness.stats import CURVE, WANTED, Confidence, Estimate, clipped, rounded


def compare(
    before: Mapping[str, Sequence[Sample]],
    after: Mapping[str, Sequence[Sample]],
    columns: Mapping[str, Sequence[Metric]],
    *,
    seed: int = 0,
    draws: int = 10_000,
    margin: float = 1.0,
    alpha: float = 0.05,
    partial: bool = False,
    more: Sequence[tuple[Samples, Samples]] = (),
    accept_missing: Collection[str] = (),
    margins: Mapping[str, float] | None = None,
    family: int | None = None,
) -> Comparison:
    """Compare two arms on the same benchmarks.

    Args:
        before: samples by benchmark.
        after: samples by benchmark.
        columns: what to make of them; its order is the order of the result.
        seed: of the resampling. A benchmark's result does not depend on its neighbours.
        draws: resamples per column.
        margin: what counts as worse, in percent of a column's range (1 is one point of 100).
        alpha: level of tests and intervals.
        partial: compare the rows that both arms hold instead of refusing.
        more: both arms of further trainings with other seeds. Figures are then means over the
            trainings, and errors allow for yet other seeds; flips, lengths and categories are
            those of the first training.
        accept_missing: benchmarks whose missing rows shall not stand against a gain or "no worse".
        margins: benchmarks with a margin of their own.
        family: over how many figures is corrected, where more are told than these.

    Raises:
        UsageError: if a margin or the level is out of range.
        HarnessError: if the arms do not hold the same benchmarks and rows.
    """
    terms = Terms(margin, alpha, tuple(accept_missing), margins or {}).of(columns)
    trained = ((before, after), *more)
    for one, two in trained:
        _check_names(one, two, columns)
    settings = {"seed": seed, "draws": draws, "alpha": alpha}
    families = _families(columns) if family is None else (family, family)
    results = [
        _benchmark(
            name,
            [join(name, one[name], two[name], partial=partial) for one, two in trained],
            columns[name],
            margin=terms.margin_of(name),
            family=families,
            settings=settings,
        )
        for name in columns
    ]
    judged = decide(results, alpha, terms.accept_missing)
    return Comparison(
        benchmarks=judged,
        verdict=overall(judged),
        family=families[0],
        seed=seed,
        draws=draws,
        alpha=alpha,
        margin=margin,
        accepted=tuple(name for name in columns if name in terms.accept_missing),
        margins=terms.margins,
    )


def _families(columns: Mapping[str, Sequence[Metric]]) -> tuple[int, int]:
    """Return over how many figures headline columns, and the others, are corrected."""
    return (
        sum(len(headline(each)) for each in columns.values()),
        sum(len(each) for each in columns.values()),
    )


def _check_names(
    before: Mapping[str, Any], after: Mapping[str, Any], columns: Mapping[str, Sequence[Metric]]
) -> None:
    for name in distinct([*columns, *before, *after]):
        lacking = [
            place
            for place, known in (("before", before), ("after", after), ("columns", columns))
            if not known.get(name)
        ]
        if lacking:
            raise HarnessError(
                f"{name}: nothing to compare in {' and '.join(lacking)}. Both arms must be "
                "evaluated on the same benchmarks; name them with --bench and run again."
            )
        names = [column.name for column in columns[name]]
        if len(set(names)) < len(names):
            raise HarnessError(
                f"{name}: two of its columns have the same name ({', '.join(names)}). Give each "
                "column of the benchmark its own name."
            )


def _benchmark(
    name: str,
    trained: Sequence[Joined],
    columns: Sequence[Metric],
    *,
    margin: float,
    family: tuple[int, int],
    settings: Mapping[str, Any],
) -> BenchmarkComparison:
    joined = trained[0]
    every = {column.name: [units_of(column, one) for one in trained] for column in columns}
    units = {column: found[0] for column, found in every.items()}
    heads = headline(columns)
    own = {**settings, "seed": seed_of(settings["seed"], name)}
    itself = all(_itself(one) for one in trained)
    figures = tuple(
        _figure(column, every[column.name], own, column in heads, margin, family, itself)
        for column in columns
    )
    missing = missing_of(
        (one, [every[column.name][index] for column in heads]) for index, one in enumerate(trained)
    )
    rose, fell = moves_of(columns, units)
    judges = _judges(joined.before), _judges(joined.after)
    first, flipping = heads[0], flip_column(columns)
    return BenchmarkComparison(
        name=name,
        samples=len(joined.before),
        clusters=images_in(joined),
        left_out=joined.left_out,
        judges_before=judges[0],
        judges_after=judges[1],
        missing_before=missing[0],
        missing_after=missing[1],
        figures=figures,
        flips=flips_of(columns, units, joined),
        flips_in=flipping.name if flipping else "",
        rose=rose,
        fell=fell,
        length=length_of(first, units[first.name], joined, own),
        groups=groups_of(first, units[first.name], joined, own),
        notes=notes_of(joined, judges, missing, figures) + lost_notes(first, units[first.name]),
        unread=unread_of(trained),
        changed_answers=sum(
            a.said != b.said for one in trained for a, b in zip(one.before, one.after, strict=True)
        ),
        states_before=count_states(row for one in trained for row in one.before),
        states_after=count_states(row for one in trained for row in one.after),
    )


def _itself(joined: Joined) -> bool:
    """Whether both arms are the same records: a run compared with itself."""
    return all(a is b for a, b in zip(joined.before, joined.after, strict=True))


def _judges(samples: Sequence[Sample]) -> tuple[str, ...]:
    return tuple(sorted({sample.judge for sample in samples}))


def _figure(
    column: Metric,
    trained: Sequence[Sequence[Unit]],
    settings: Mapping[str, Any],
    primary: bool,
    margin: float,
    family: tuple[int, int],
    itself: bool,
) -> MetricResult:
    found, seeds = estimate(column, trained, **settings)
    reach = column.high - column.low
    allowed = margin / 100 * reach
    units = list(zip(*trained, strict=True))
    paired = [one[0] for one in units if all(unit.paired for unit in one)]
    alpha, corrected_alpha = settings["alpha"], settings["alpha"] / family[0 if primary else 1]
    known = found.confidence
    lost = _lost(units, "before"), _lost(units, "after")
    worst = worst_case(column, trained, found.difference) if any(lost) and not itself else None
    figure = MetricResult(
        column=column.name,
        unit=column.unit,
        digits=column.digits,
        primary=primary,
        higher_is_better=column.higher_is_better,
        samples=sum(len(unit.rows) for unit in paired),
        units=len(paired),
        clusters=found.clusters,
        missing_before=lost[0],
        missing_after=lost[1],
        before=rounded(found.before),
        after=rounded(found.after),
        difference=rounded(found.difference),
        interval=clipped(found.interval, reach),
        error=rounded(found.error),
        p=rounded(found.p),
        p_exact=rounded(found.p_exact),
        p_holm=None,
        p_discovery=None,
        p_margin=rounded(_margin_p(found, column, allowed)),
        margin=allowed,
        test=found.test,
        effect=rounded(found.effect),
        design_effect=rounded(found.design_effect),
        detectable=rounded(known.detectable(alpha) if known else None),
        detectable_corrected=rounded(known.detectable(corrected_alpha) if known else None),
        verdict=CANNOT_TELL,
        freedom=rounded(found.freedom),
        seeds=tuple(map(rounded, seeds)),
        seed_error=rounded(found.seed_error),
        bounds=clipped(found.bounds, reach),
        worst=clipped(worst, reach),
        interval_corrected=clipped(known.interval(corrected_alpha) if known else None, reach),
        p_rows=rounded(found.p_rows),
    )
    if primary and known is not None and not itself:
        figure = replace(figure, **_curve(known, corrected_alpha, reach))
    if itself and found.difference is not None:
        nothing = (0.0, 0.0)
        return replace(
            figure,
            verdict=NO_CHANGE,
            interval=nothing,
            bounds=nothing,
            interval_corrected=nothing,
            error=0.0,
            p_margin=0.0,
        )
    return figure


def _curve(known: Confidence, alpha: float, reach: float) -> dict[str, Any]:
    """Return the power after correction, and what two hundredths of the scale would take."""
    if known.moves is None:
        return {}
    moves, design, wanted = known.moves, known.design(alpha), WANTED / 100 * reach
    effects = [round(percent / 100 * reach, 10) for percent in CURVE]
    seeds = stats.seeds_for(wanted, moves, design, alpha=alpha) if design.seed_spread else None
    return {
        "power": tuple(
            (each, stats.power_at(moves, design, each, alpha=alpha)) for each in effects
        ),
        "wanted": rounded(wanted),
        "images_needed": stats.images_for(wanted, moves, design, alpha=alpha),
        "seeds_needed": seeds,
    }


def _lost(units: Sequence[Sequence[Unit]], arm: str) -> int:
    """Count the rows of units without counters in any of the trainings."""
    return sum(len(one[0].rows) for one in units if any(u.lacks(arm) for u in one))


def _margin_p(found: Estimate, column: Metric, margin: float) -> float | None:
    if found.confidence is None or column.higher_is_better is None:
        return None
    return found.confidence.p_worse(margin, higher_is_better=column.higher_is_better)
