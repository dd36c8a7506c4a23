"""Benchmark rows that show a training image, and the headline figures without them.

The check compares each benchmark with the training prompts, once for each pair of both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from harness import progress
from harness.benchmark import Metric, Task, headline
from harness.compare import Comparison, compare
from harness.contamination.detect import LEVELS, THRESHOLD, Contamination, inspect, seen_in
from harness.context import Context, Plan
from harness.records import Samples, fingerprint, to_json
from harness.stats import half_up

_VERSION = 1  # of the contamination check itself: grows when it would find something else


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


def check_contamination(context: Context[Plan]) -> tuple[ImageOverlap, ...]:
    """Look for the images of the training prompts in every benchmark.

    Findings are kept in the store, so that a second run on the same prompts and data, with
    whatever method, decodes nothing.

    Raises:
        HarnessError: if an image of a prompt cannot be decoded.
    """
    plan, store = context.plan, context.store
    limit = plan.settings.limit
    keys = {
        benchmark.name: "radar:"
        + fingerprint(
            [_VERSION, THRESHOLD, LEVELS],
            [prompt.id for prompt in plan.prompts],
            plan.inputs["prompts"],
            plan.inputs[f"bench:{benchmark.name}"],
            limit,
        )
        for benchmark in plan.benchmarks
    }
    found = store.records(keys.values(), ImageOverlap)
    waiting = [benchmark for benchmark in plan.benchmarks if keys[benchmark.name] not in found]
    if waiting:
        with progress.bar("contamination", len(waiting), "benchmarks") as bar:
            bar.advance(0, "images of the prompts")
            known = seen_in(plan.prompts)
            for benchmark in waiting:
                bar.advance(0, benchmark.name)
                touched = _touched(
                    inspect(benchmark, Task(benchmark.task, plan.data), known, limit)
                )
                store.put({keys[benchmark.name]: to_json(touched)})
                found[keys[benchmark.name]] = touched
                bar.advance(1)
    return tuple(found[keys[benchmark.name]] for benchmark in plan.benchmarks)


def _touched(found: Contamination) -> ImageOverlap:
    return ImageOverlap(
        benchmark=found.benchmark,
        rows=found.rows,
        ids=tuple(touch.row for touch in found.touched),
        by_number=sum(touch.bits is None for touch in found.touched),
    )


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
