"""Components of a difference's variance, and how verdicts depend on choices."""

from __future__ import annotations

from dataclasses import dataclass

from harness import stats
from harness.compare.records import BenchmarkComparison, Comparison, MetricResult
from harness.stats import Pooled


@dataclass(frozen=True)
class Components:
    """Shares of the variance of one difference; they add up to 1.

    Attributes:
        rows: single rows, but for the judge's part.
        images: that rows of one image change together.
        judge: that the judge's verdicts on one answer vary; ``None`` where each was judged once.
        seeds: that other training seeds would differ; ``None`` with one training.
    """

    rows: float
    images: float
    judge: float | None
    seeds: float | None


def components(figure: MetricResult, judge_error: float | None = None) -> Components | None:
    """Split a figure's variance; ``None`` where it has none.

    Args:
        figure: whose error is split.
        judge_error: the judge's own standard error of the difference of one training. It is part
            of what rows and images vary by, so it is taken off the rows and then the images.
    """
    if not figure.error or not figure.design_effect:
        return None
    total, seeds = figure.error**2, (figure.seed_error or 0.0) ** 2
    clustered = max(total - seeds, 0.0)
    rows = min(clustered / figure.design_effect, clustered)
    images = clustered - rows
    judge = min((judge_error or 0.0) ** 2 / max(len(figure.seeds), 1), clustered)
    of_rows = min(judge, rows)
    return Components(
        rows=(rows - of_rows) / total,
        images=(images - (judge - of_rows)) / total,
        judge=None if judge_error is None else judge / total,
        seeds=None if figure.seed_error is None else seeds / total,
    )


def partially_pooled(
    comparison: Comparison,
) -> tuple[list[tuple[str, MetricResult]], Pooled] | None:
    """Return the headline figures shrunk towards their mean; ``None`` with fewer than two.

    Differences are in percent of each figure's scale, and positive where they are better.
    """
    places: list[tuple[str, MetricResult]] = []
    differences, errors = [], []
    for benchmark in comparison.benchmarks:
        percent = comparison.terms.margin_of(benchmark.name)
        for figure in benchmark.figures:
            known = figure.primary and figure.difference is not None and figure.error
            if known and figure.higher_is_better is not None and figure.margin and percent:
                scale = percent / figure.margin * (1 if figure.higher_is_better else -1)
                places.append((f"{benchmark.name} {figure.column}", figure))
                differences.append(scale * (figure.difference or 0.0))
                errors.append(abs(scale) * (figure.error or 0.0))
    found = stats.partial_pooling(differences, errors)
    return None if found is None else (places, found)


def by_rows(comparison: Comparison) -> list[tuple[BenchmarkComparison, MetricResult, float]]:
    """Return headline figures that differ significantly only if every row counted by itself.

    Returns:
        Each with the p value that it would have, corrected.
    """
    heads = [(b, figure) for b in comparison.benchmarks for figure in b.figures if figure.primary]
    plain = [1.0 if figure.p_rows is None else figure.p_rows for _, figure in heads]
    return [
        (benchmark, figure, p)
        for (benchmark, figure), p in zip(heads, stats.holm(plain), strict=True)
        if p <= comparison.alpha and figure.p_holm is not None and figure.p_holm > comparison.alpha
    ]
