"""From estimates to verdicts: correct over the run, and claim only what is significant.

What the run came to is decided here and nowhere else: :func:`summary` is read by the headline, the
gate's default rule and JUnit, so that they cannot contradict each other.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from harness import stats
from harness.compare.records import (
    CANNOT_TELL,
    CHANGED,
    GAIN,
    LOSS,
    MIXED,
    NO_CHANGE,
    NO_WORSE,
    BenchmarkComparison,
    Comparison,
    MetricResult,
)
from harness.stats import rounded

_UNREAD = 0.20  # share of answers that say nothing from which a benchmark measures no more
_RISEN = 0.10  # and by how much it must have risen
_LENGTH = 0.30  # change of the mean answer length that the headline mentions

RuleTarget = tuple[BenchmarkComparison, MetricResult]


@dataclass(frozen=True)
class Summary:
    """What a run came to.

    Attributes:
        verdict: over the run.
        gains: headline figures that gained.
        losses: headline figures that lost, and columns beside the headline that lost in a
            benchmark whose headline gained.
        undecided: headline figures that did neither.
        heads: how many headline figures there are.
        unread: benchmarks whose answers after mostly say nothing.
        lengths: benchmarks whose answers became much longer or shorter, and the change as a share.
        unmeasured: rows without a score in one arm or both, by benchmark.
        same_answers: neither an answer nor a score differs, in any benchmark.
    """

    verdict: str
    gains: tuple[RuleTarget, ...]
    losses: tuple[RuleTarget, ...]
    undecided: tuple[RuleTarget, ...]
    heads: int
    unread: tuple[BenchmarkComparison, ...]
    lengths: tuple[tuple[BenchmarkComparison, float], ...]
    unmeasured: tuple[tuple[BenchmarkComparison, int], ...]
    same_answers: bool


def summary(comparison: Comparison) -> Summary:
    """Return what a comparison comes to."""
    benchmarks = comparison.benchmarks
    heads = [(each, f) for each in benchmarks for f in each.figures if f.primary]
    losses = [place for each in benchmarks for place in losses_in(each)]
    gone = [(each, len({*each.missing_before, *each.missing_after})) for each in benchmarks]
    changes = [(each, change) for each in benchmarks if (change := _length(each)) is not None]
    return Summary(
        verdict=overall(benchmarks),
        gains=tuple((each, f) for each, f in heads if f.verdict == GAIN),
        losses=tuple(losses),
        undecided=tuple((each, f) for each, f in heads if f.verdict not in (GAIN, LOSS)),
        heads=len(heads),
        unread=tuple(filter(unreadable, benchmarks)),
        lengths=tuple((each, change) for each, change in changes if abs(change) > _LENGTH),
        unmeasured=tuple((each, count) for each, count in gone if count),
        same_answers=bool(benchmarks) and all(map(_same, benchmarks)),
    )


def overall(benchmarks: Sequence[BenchmarkComparison]) -> str:
    """Return the verdict over the headline figures of a run.

    A gain stands only where no column of its benchmark that has a direction lost.
    """
    verdicts = [figure.verdict for each in benchmarks for figure in each.figures if figure.primary]
    lost = any(losses_in(each) for each in benchmarks)
    if GAIN in verdicts:
        return MIXED if lost else GAIN
    if lost:
        return LOSS
    if set(verdicts) == {NO_CHANGE}:
        every = {
            figure.verdict
            for each in benchmarks
            for figure in each.figures
            if figure.difference is not None
        }
        return NO_CHANGE if every == {NO_CHANGE} else CANNOT_TELL
    return NO_WORSE if set(verdicts) <= {NO_CHANGE, NO_WORSE} else CANNOT_TELL


def deciding(comparison: Comparison) -> tuple[RuleTarget, ...]:
    """Return the figures that the run's verdict rests on: headline ones and :func:`losses_in`.

    They are what JUnit lists and what the gate's ``any`` asks.
    """
    return tuple(
        (each, figure)
        for each in comparison.benchmarks
        for figure in each.figures
        if figure.primary or (each, figure) in losses_in(each)
    )


def losses_in(benchmark: BenchmarkComparison) -> list[RuleTarget]:
    """Return the headline figures that lost, and what lost beside them where that decides.

    A column beside the headline counts where the headline gained, as CHAIR's recall does, and where
    most answers say nothing, so that no headline figure could.
    """
    gained = any(figure.primary and figure.verdict == GAIN for figure in benchmark.figures)
    counts = gained or unreadable(benchmark)
    return [
        (benchmark, figure)
        for figure in benchmark.figures
        if figure.verdict == LOSS and (figure.primary or counts)
    ]


def unreadable(benchmark: BenchmarkComparison) -> bool:
    """Whether so many answers after are empty or unparsable that the benchmark measures form."""
    before, after = benchmark.unread
    return _form(before, after)


def _form(one: float, other: float) -> bool:
    """Whether the other's answers are unread so much more often that figures measure form."""
    return other > _UNREAD and other - one > _RISEN


def _same(benchmark: BenchmarkComparison) -> bool:
    known = (f for f in benchmark.figures if (f.before, f.after) != (None, None))
    return benchmark.changed_answers == 0 and all(f.test == "identical" for f in known)


def _length(benchmark: BenchmarkComparison) -> float | None:
    length = benchmark.length
    if not length.before or length.after is None:
        return None
    return length.after / length.before - 1


def decide(
    results: Sequence[BenchmarkComparison], alpha: float, accepted: Collection[str] = ()
) -> tuple[BenchmarkComparison, ...]:
    """Correct p values over the run and turn them into verdicts.

    Missing rows of ``accepted`` benchmarks do not bound the verdict.
    """
    every = [figure for result in results for figure in result.figures]
    heads = [figure for figure in every if figure.primary]
    wide, narrow = _corrections(every), _corrections(heads)
    judged = []
    for result in results:
        figures = []
        for figure in result.figures:
            strict, mild, margin = (narrow if figure.primary else wide)[id(figure)]
            corrected = replace(figure, p_holm=strict, p_discovery=mild, p_margin=margin)
            verdict = _verdict(corrected, alpha, bounded=result.name not in accepted)
            before, after = result.unread
            # Only against the model whose answers cannot be read do its figures say anything.
            if (_form(before, after) and verdict != LOSS) or (
                _form(after, before) and verdict != GAIN
            ):
                verdict = CANNOT_TELL
            figures.append(replace(corrected, verdict=verdict))
        judged.append(replace(result, figures=tuple(figures)))
    return tuple(judged)


def _corrections(family: Sequence[MetricResult]) -> dict[int, tuple[float | None, ...]]:
    """Return (Holm, Benjamini-Hochberg, margin by Holm) by figure.

    A figure without a p value still counts in the family, as if p were 1.
    """
    plain = [1.0 if figure.p is None else figure.p for figure in family]
    worse = [1.0 if figure.p_margin is None else figure.p_margin for figure in family]
    strict, mild = stats.holm(plain), stats.benjamini_hochberg(plain)
    margins = stats.holm(worse)
    return {
        id(figure): (
            None if figure.p is None else rounded(strict[index]),
            None if figure.p is None else rounded(mild[index]),
            None if figure.p_margin is None else rounded(margins[index]),
        )
        for index, figure in enumerate(family)
    }


def _verdict(figure: MetricResult, alpha: float, *, bounded: bool) -> str:
    if figure.verdict == NO_CHANGE or figure.difference is None:
        return figure.verdict
    told = figure.p_holm is not None and figure.p_holm <= alpha and excludes_zero(figure.interval)
    if told and figure.higher_is_better is None:
        return CHANGED
    better = (figure.difference > 0) == figure.higher_is_better
    if told and not better:
        return LOSS
    if told and (not bounded or survives(figure)):
        return GAIN
    if figure.p_margin is None or figure.p_margin > alpha:
        return CANNOT_TELL
    ends = _with_missing(figure, figure.bounds)
    worse = ends is None or (
        ends[0] <= -figure.margin if figure.higher_is_better else ends[1] >= figure.margin
    )
    return CANNOT_TELL if worse and bounded and figure.worst is not None else NO_WORSE


def survives(figure: MetricResult) -> bool:
    """Whether a difference keeps its direction whatever the missing rows would have scored."""
    return figure.worst is None or excludes_zero(_with_missing(figure, figure.interval))


def _with_missing(
    figure: MetricResult, ends: tuple[float, float] | None
) -> tuple[float, float] | None:
    """Return ends that allow for missing rows: their worst, with the reach of chance around it."""
    if ends is None or figure.worst is None or figure.difference is None:
        return ends
    low, high = figure.worst
    return ends[0] - (figure.difference - low), ends[1] + (high - figure.difference)


def excludes_zero(interval: tuple[float, float] | None) -> bool:
    """Whether an interval is known and lies on one side of zero."""
    return interval is not None and not interval[0] <= 0.0 <= interval[1]
