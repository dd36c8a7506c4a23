"""The headline figures without the rows that show a training image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.columns import Column, headline
from harness.compare import compare
from harness.comparison import Comparison, Samples
from harness.comparison_overlap import CleanFigure, Overlap, Touched


def overlaps_of(
    touched: Sequence[Touched],
    before: Samples,
    after: Samples,
    columns: Mapping[str, Sequence[Column]],
    comparison: Comparison,
) -> tuple[Overlap, ...]:
    """Compare again without the touched rows, as the comparison itself was made.

    Args:
        touched: what the radar found.
        before: samples by benchmark.
        after: samples by benchmark.
        columns: by benchmark.
        comparison: whose seed, draws and level are used.
    """
    return tuple(
        Overlap(found, _figures(found, before, after, columns[found.benchmark], comparison))
        for found in touched
        if found.benchmark in columns
    )


def with_notes(
    comparison: Comparison, overlaps: Sequence[Overlap], old: Sequence[Overlap] = ()
) -> Comparison:
    """Say in the comparison's notes what was found, in the place of what ``old`` had said."""
    outdated = {overlap.note for overlap in old}
    kept = [note for note in comparison.notes if note not in outdated]
    found = [overlap.note for overlap in overlaps if overlap.note]
    return replace(comparison, notes=(*kept, *found))


def _figures(
    found: Touched,
    before: Samples,
    after: Samples,
    columns: Sequence[Column],
    comparison: Comparison,
) -> tuple[CleanFigure, ...]:
    name, left_out = found.benchmark, frozenset(found.ids)
    one, two = (
        tuple(row for row in arm[name] if row.id not in left_out) for arm in (before, after)
    )
    if not left_out or not one or not two:
        return ()
    again = compare(
        {name: one},
        {name: two},
        {name: headline(columns)},
        seed=comparison.seed,
        draws=comparison.draws,
        margin=comparison.margin,
        alpha=comparison.alpha,
        partial=any(each.left_out for each in comparison.benchmarks),
    )
    return tuple(
        CleanFigure(
            figure.column,
            figure.unit,
            figure.digits,
            figure.samples,
            figure.before,
            figure.after,
            figure.difference,
            figure.interval,
        )
        for figure in again.benchmarks[0].figures
    )
