"""Benchmark rows that show a training image, and the headline figures without them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from harness.benchmark import Metric, headline
from harness.compare import Comparison, compare
from harness.records import Samples
from harness.stats import half_up


@dataclass(frozen=True)
class ImageOverlap:
    """Rows of one benchmark whose image was found among the training prompts.

    Attributes:
        benchmark: as in ``--bench``.
        rows: how many rows were looked at.
        ids: those that show an image of the training prompts.
        by_number: of these, rows that only share a photograph's number in its collection, such as
            a COCO number; their pixels may differ.
    """

    benchmark: str
    rows: int
    ids: tuple[str, ...]
    by_number: int


@dataclass(frozen=True)
class CleanResult:
    """One headline column over the rows that were not touched; fields as in ``MetricResult``."""

    column: str
    unit: str
    digits: int
    samples: int
    before: float | None
    after: float | None
    difference: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Overlap:
    """The contamination check's finding on one benchmark.

    Attributes:
        touched: the rows.
        figures: headline columns without them; empty where none was touched, or all were.
    """

    touched: ImageOverlap
    figures: tuple[CleanResult, ...] = ()

    @property
    def note(self) -> str:
        """One or two sentences for a reader; empty where nothing was touched."""
        found = self.touched
        if not found.ids:
            return ""
        number = f", {found.by_number} of them by its number only" if found.by_number else ""
        text = (
            f"{found.benchmark}: {len(found.ids)} of {found.rows} rows show an image of the "
            f"training prompts{number}."
        )
        told = "; ".join(_told(figure) for figure in self.figures)
        return f"{text} Without them: {told}." if told else f"{text} None is left without them."


def overlaps_of(
    touched: Sequence[ImageOverlap],
    before: Samples,
    after: Samples,
    columns: Mapping[str, Sequence[Metric]],
    comparison: Comparison,
) -> tuple[Overlap, ...]:
    """Compare again without the touched rows, as the comparison itself was made.

    Args:
        touched: what the contamination check found.
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


def _figures(
    found: ImageOverlap,
    before: Samples,
    after: Samples,
    columns: Sequence[Metric],
    comparison: Comparison,
) -> tuple[CleanResult, ...]:
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
        **asdict(comparison.terms),
        partial=any(each.left_out for each in comparison.benchmarks),
    )
    return tuple(
        CleanResult(
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


def _told(figure: CleanResult) -> str:
    if figure.before is None or figure.after is None or figure.difference is None:
        return f"{figure.column} cannot be known"
    before, after, difference = (
        half_up(value, figure.digits) for value in (figure.before, figure.after, figure.difference)
    )
    text = f"{figure.column} {before} before, {after} after, {difference:+}"
    if figure.interval is not None:
        low, high = (half_up(end, figure.digits) for end in figure.interval)
        text += f" [{low:+}, {high:+}]"
    return text
