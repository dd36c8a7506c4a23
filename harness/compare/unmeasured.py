"""What rows that were not measured leave possible, and answers that say nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.benchmark import Metric
from harness.compare.joining import Joined, Unit
from harness.records import Sample

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray


def worst_case(
    column: Metric, trained: Sequence[Sequence[Unit]], difference: float | None
) -> tuple[float, float] | None:
    """Return the lowest and the highest difference that any scores of the missing rows could give.

    These are Manski's bounds (1989, "Anatomy of the selection problem"): nothing is assumed of
    missing scores but the column's range. In a plain mean the score that the other arm has is used;
    of other figures the missing share may move by the whole range.

    Args:
        column: the column.
        trained: its units, once for each training.
        difference: over the units that both arms have in every training.

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
        [_unread(row) for joined in trained for row in arm(joined) if row.answer is not None]
        for arm in (_before, _after)
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


def _unread(row: Sample) -> bool:
    return not (row.answer or "").strip() or bool(row.scores.get("unparsed"))


def _before(joined: Joined) -> Sequence[Sample]:
    return joined.before


def _after(joined: Joined) -> Sequence[Sample]:
    return joined.after


def _share(flags: Sequence[bool]) -> float:
    return round(sum(flags) / len(flags), 10) if flags else 0.0
