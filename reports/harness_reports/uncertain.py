"""Components of the variance, and how far the verdicts depend on the analysis."""

from __future__ import annotations

from harness.compare import Comparison, by_rows, components, partially_pooled
from harness.report import ReportInput
from harness_reports import numbers, words

HEAD = (
    "headline figure",
    "standard error",
    "effect size d",
    "rows",
    "images",
    "judge",
    "training seeds",
)


def table(report: ReportInput) -> list[list[str]]:
    """Return the components of each headline figure's variance, in percent."""
    comparison = report.comparison
    if comparison is None:
        return []
    judged = report.judging.errors if report.judging is not None else ()
    wavering = {(each.benchmark, each.column): each.difference for each in judged}
    rows = []
    for benchmark, figure in words.heads(comparison):
        found = components(figure, wavering.get((benchmark.name, figure.column)))
        if found is not None:
            shares = (found.rows, found.images, found.judge, found.seeds)
            rows.append(
                [
                    f"{benchmark.name} {figure.column}",
                    numbers.figure(figure.error, figure.digits + 1),
                    numbers.figure(figure.effect, 2),
                    *(numbers.DASH if s is None else f"{100 * s:.0f} %" for s in shares),
                ]
            )
    return rows


def sentences(comparison: Comparison) -> list[str]:
    """Return how the verdicts change with rows as units, and the partially pooled estimates."""
    told = [
        f"{benchmark.name} {figure.column}: the verdict rests on counting images; if every row "
        f"counted by itself, p (corrected) would be {numbers.p_value(p)}, not "
        f"{numbers.p_value(figure.p_holm)}."
        for benchmark, figure, p in by_rows(comparison)
    ]
    found = partially_pooled(comparison)
    if found is not None:
        places, all_of_them = found
        each = words.listed(
            [
                f"{name} {_ends(*found)}"
                for (name, _), found in zip(places, all_of_them.pairs, strict=True)
            ]
        )
        told.append(
            "Partially pooled over the headline figures (empirical Bayes; in percent of the scale, "
            f"better is positive; no verdict rests on it): {each}; mean "
            f"{_ends(all_of_them.mean, all_of_them.error)}."
        )
    return told


DASHES = (
    "A dash under judge: every answer was judged once; under training seeds: there is one "
    "training, so the variance between seeds is not known."
)
ASSUMPTION = (
    "The permutation test behind p assumes that before and after are exchangeable on every image, "
    "a stronger assumption than equal means. Where many answers become a little better and few "
    "much worse, or the reverse, p is too small and the interval too narrow with few images (in "
    "simulations 15 % false alarms with 20 images and 8 % with 50, instead of 5 %)."
)


def _ends(value: float, error: float) -> str:
    """Return a value with the ends of its 95 % interval."""
    reach = 1.96 * error
    return numbers.difference(value, (value - reach, value + reach), 1)
