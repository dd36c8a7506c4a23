"""What stands beside a figure: missing rows, length, categories, and notes to the reader."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness import stats
from harness.benchmark import Metric, flip_column
from harness.compare.flips import alike_in_length, sides
from harness.compare.joining import Joined, Unit, arrays_of
from harness.compare.records import GroupResult, Length, MetricResult
from harness.records import Sample
from harness.stats import clipped, half_up, rounded

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

_DRAWS = 2_000  # nothing here gets a verdict, so the ends of intervals may be rougher
_MANY = 0.05  # share of missing rows from which a note warns
_FEW = 20  # images below which a note warns


def missing_of(
    trained: Iterable[tuple[Joined, Sequence[Sequence[Unit]]]],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return ids of rows without an answer, or without a score in any of these columns, by arm."""
    lacking: tuple[set[str], set[str]] = (set(), set())
    for joined, units in trained:
        for arm, samples in zip(lacking, (joined.before, joined.after), strict=True):
            arm.update(sample.id for sample in samples if sample.answer is None)
        for unit in (unit for column in units for unit in column):
            names = [joined.before[index].id for index in unit.rows]
            if unit.lacks("before"):
                lacking[0].update(names)
            if unit.lacks("after"):
                lacking[1].update(names)
    return tuple(sorted(lacking[0])), tuple(sorted(lacking[1]))


def moves_of(columns: Sequence[Metric], units: Mapping[str, Sequence[Unit]]) -> tuple[int, int]:
    """Return how many units got better and how many got worse, in the column of the flips."""
    column = flip_column(columns)
    if column is None:
        return 0, 0
    moved = [
        two - one
        for one, two in zip(*sides(column, units[column.name]), strict=True)
        if one is not None and two is not None
    ]
    return sum(change > 0 for change in moved), sum(change < 0 for change in moved)


def length_of(
    column: Metric, units: Sequence[Unit], joined: Joined, settings: Mapping[str, Any]
) -> Length:
    """Compare answer lengths, and the figure where all answers of a unit are alike in length."""
    pairs = list(zip(joined.before, joined.after, strict=True))
    known = [(a, b) for a, b in pairs if a.answer is not None and b.answer is not None]
    matched = [
        unit
        for unit in units
        if unit.paired
        and all(alike_in_length(joined.before[i], joined.after[i]) for i in unit.rows)
    ]
    found = _estimate(column, matched, settings)
    reach = column.high - column.low
    return Length(
        samples=len(known),
        before=_mean([a.tokens for a, _ in known]),
        after=_mean([b.tokens for _, b in known]),
        matched=sum(len(unit.rows) for unit in matched),
        difference=rounded(found.difference),
        interval=clipped(found.interval, reach),
    )


def groups_of(
    column: Metric, units: Sequence[Unit], joined: Joined, settings: Mapping[str, Any]
) -> tuple[GroupResult, ...]:
    """Return the figure of every category; a value with commas puts a row in several."""
    members: dict[tuple[str, str], list[Unit]] = {}
    for unit in units:
        if unit.paired:
            for name in sorted({pair for i in unit.rows for pair in _names(joined.before[i])}):
                members.setdefault(name, []).append(unit)
    figures = []
    for (key, value), chosen in sorted(members.items()):
        found = _estimate(column, chosen, settings)
        figures.append(
            GroupResult(
                key=key,
                value=value,
                samples=sum(len(unit.rows) for unit in chosen),
                clusters=found.clusters,
                before=rounded(found.before),
                after=rounded(found.after),
                difference=rounded(found.difference),
                interval=clipped(found.interval, column.high - column.low),
            )
        )
    return tuple(figures)


def lost_notes(column: Metric, units: Sequence[Unit]) -> tuple[str, ...]:
    """Compare the rows that one arm did not score with the others, by what the other arm scored."""
    notes = []
    for arm, other in (("after", "before"), ("before", "after")):
        found = lost_and_kept(column, units, arm)
        if found is not None:
            lost, kept = (f"{half_up(value, column.digits)}" for value in found)
            notes.append(
                f"{column.name}: rows without a score {arm} had {lost} {column.unit} {other}, the "
                f"others {kept}."
            )
    return tuple(notes)


def notes_of(
    joined: Joined,
    judges: tuple[tuple[str, ...], tuple[str, ...]],
    missing: tuple[tuple[str, ...], tuple[str, ...]],
    figures: Sequence[MetricResult],
) -> tuple[str, ...]:
    """Return what a reader must know before believing the figures."""
    notes = []
    if judges[0] != judges[1]:
        notes.append(
            f"Different judges scored the arms (before: {', '.join(judges[0])}; after: "
            f"{', '.join(judges[1])}), so the difference may be the judges'."
        )
    if joined.left_out:
        notes.append(
            f"{joined.left_out} rows are in one arm only or differ in content and were left out."
        )
    lacking = len(set(missing[0]) | set(missing[1]))
    if lacking > _MANY * len(joined.before):
        notes.append(
            f"{lacking} of {len(joined.before)} rows have no score in one arm or both; if they are "
            "missing for a reason that the method changes, the difference is biased."
        )
    heads = [figure for figure in figures if figure.primary]
    fewest = min((figure.clusters for figure in heads), default=0)
    if fewest < _FEW:
        notes.append(
            f"Only {fewest} images: intervals, p values and detectable differences are rough below "
            f"{_FEW}."
        )
    for figure in heads:
        if figure.difference is not None and figure.interval is None:
            notes.append(f"{figure.column}: no interval; too few images, or often undefined.")
    return tuple(notes)


def _estimate(column: Metric, units: Sequence[Unit], settings: Mapping[str, Any]) -> stats.Estimate:
    own = {**settings, "draws": min(int(settings["draws"]), _DRAWS)}
    span = column.high - column.low
    return stats.estimate(*arrays_of(units), column.value, plain_mean=column.mean, span=span, **own)


def _names(sample: Sample) -> list[tuple[str, str]]:
    return [
        (key, part.strip())
        for key, value in sample.groups.items()
        for part in value.split(",")
        if part.strip()
    ]


def _mean(values: Sequence[int]) -> float | None:
    return rounded(sum(values) / len(values)) if values else None


def worst_case(
    column: Metric, trained: Sequence[Sequence[Unit]], difference: float | None
) -> tuple[float, float] | None:
    """Return the lowest and the highest difference that any scores of the missing rows could give.

    ``difference`` is over the units that both arms have in every training.

    These are Manski's bounds (1989, "Anatomy of the selection problem"): nothing is assumed of
    missing scores but the column's range. In a plain mean the score that the other arm has is used;
    of other figures the missing share may move by the whole range.

    Returns:
        ``None`` where nothing is missing, or nothing was measured.
    """
    units = list(zip(*trained, strict=True))
    lost = [one for one in units if any(u.lacks("before") or u.lacks("after") for u in one)]
    if difference is None or not lost:
        return None
    kept = sum(all(unit.paired for unit in one) for one in units)
    total = kept + len(lost)
    span = column.high - column.low
    if not column.mean:
        moved = len(lost) * span
        return (kept * difference - moved) / total, (kept * difference + moved) / total
    each = [[_range(column, unit) for unit in one] for one in lost]
    low, high = (sum(sum(ends[side] for ends in one) / len(one) for one in each) for side in (0, 1))
    return (kept * difference + low) / total, (kept * difference + high) / total


def unread_of(trained: Sequence[Joined]) -> tuple[float, float]:
    """Return the share of answered rows, before and after, whose answer says nothing readable.

    An answer says nothing where it is empty, or where the benchmark's strict reading found none
    (the score ``unparsed``).
    """
    before, after = (
        [row for joined in trained for row in getattr(joined, arm)] for arm in ("before", "after")
    )
    return _share(before), _share(after)


def lost_and_kept(column: Metric, units: Sequence[Unit], arm: str) -> tuple[float, float] | None:
    """Return the other arm's mean over the units that ``arm`` lacks, and over those it has."""
    if not column.mean or not any(unit.lacks(arm) for unit in units):
        return None
    other = "after" if arm == "before" else "before"
    lost, kept = (
        [
            _own(column, getattr(unit, other))
            for unit in units
            if (unit.lacks(arm) if gone else unit.paired) and getattr(unit, other) is not None
        ]
        for gone in (True, False)
    )
    if not lost or not kept:
        return None
    return sum(lost) / len(lost), sum(kept) / len(kept)


def _range(column: Metric, unit: Unit) -> tuple[float, float]:
    """Return how far a unit may have moved, given the arms that were measured."""
    before = [column.low, column.high]
    after = [column.low, column.high]
    if unit.before is not None:
        before = [_own(column, unit.before)] * 2
    if unit.after is not None:
        after = [_own(column, unit.after)] * 2
    return after[0] - before[1], after[1] - before[0]


def _own(column: Metric, counters: tuple[float, ...]) -> float:
    import numpy as np

    own: NDArray[float64] = np.array(counters, dtype=np.float64)
    return float(column.value(own))


def _share(rows: Sequence[Sample]) -> float:
    said = [
        bool((row.answer or "").strip()) and not row.scores.get("unparsed")
        for row in rows
        if row.answer is not None
    ]
    return round(said.count(False) / len(said), 10) if said else 0.0
