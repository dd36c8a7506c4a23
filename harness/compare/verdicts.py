"""From estimates to verdicts: correct over the run, and say only what can be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

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
    MetricResult,
)
from harness.stats import rounded


def decide(results: Sequence[BenchmarkComparison], alpha: float) -> tuple[BenchmarkComparison, ...]:
    """Correct p values over the run and turn them into verdicts."""
    every = [figure for result in results for figure in result.figures]
    heads = [figure for figure in every if figure.primary]
    wide, narrow = _corrections(every), _corrections(heads)
    judged = []
    for result in results:
        figures = []
        for figure in result.figures:
            family = heads if figure.primary else every
            strict, mild, margin = (narrow if figure.primary else wide)[id(figure)]
            corrected = replace(figure, p_holm=strict, p_discovery=mild, p_margin=margin)
            figures.append(_verdict(corrected, len(family), alpha))
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


def _verdict(figure: MetricResult, family: int, alpha: float) -> MetricResult:
    if figure.error and figure.freedom:
        error, freedom = figure.error, figure.freedom
        figure = replace(
            figure,
            detectable=rounded(stats.detectable(error, freedom, alpha=alpha)),
            detectable_corrected=rounded(stats.detectable(error, freedom, alpha=alpha / family)),
        )
    if figure.verdict == NO_CHANGE or figure.difference is None:
        return figure
    told = figure.p_holm is not None and figure.p_holm <= alpha and excludes_zero(figure.interval)
    if told and figure.higher_is_better is None:
        return replace(figure, verdict=CHANGED)
    if told:
        better = (figure.difference > 0) == figure.higher_is_better
        return replace(figure, verdict=GAIN if better else LOSS)
    if figure.p_margin is not None and figure.p_margin <= alpha:
        return replace(figure, verdict=NO_WORSE)
    return figure


def overall(verdicts: Sequence[str]) -> str:
    """Return the verdict over the headline figures of a run."""
    if GAIN in verdicts and LOSS in verdicts:
        return MIXED
    for verdict in (GAIN, LOSS):
        if verdict in verdicts:
            return verdict
    if set(verdicts) == {NO_CHANGE}:
        return NO_CHANGE
    return NO_WORSE if set(verdicts) <= {NO_CHANGE, NO_WORSE} else CANNOT_TELL


def excludes_zero(interval: tuple[float, float] | None) -> bool:
    """Whether an interval is known and lies on one side of zero."""
    return interval is not None and not interval[0] <= 0.0 <= interval[1]
