"""Put the two arms side by side: the same rows, checked by content, then as arrays of counters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from harness.benchmark import Metric
from harness.errors import HarnessError, some
from harness.records import Sample

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Joined:
    """The rows that both arms hold, in the order of their ids, and how many were left out."""

    before: tuple[Sample, ...]
    after: tuple[Sample, ...]
    left_out: int


@dataclass(frozen=True)
class Unit:
    """Rows that count together in one column; ``None`` counters are missing.

    One to which the column does not ``apply`` in either arm is neither measured nor missing.
    """

    key: str
    rows: tuple[int, ...]
    cluster: int
    before: tuple[float, ...] | None
    after: tuple[float, ...] | None
    applies: bool = True

    @property
    def paired(self) -> bool:
        """Whether it counts: both arms have counters."""
        return self.before is not None and self.after is not None

    def lacks(self, arm: str) -> bool:
        """Whether an arm, ``"before"`` or ``"after"``, lacks what the column should have."""
        return self.applies and getattr(self, arm) is None


def join(
    name: str, before: Sequence[Sample], after: Sequence[Sample], *, partial: bool = False
) -> Joined:
    """Join two arms on the rows' ids and check that they are the same rows.

    With ``partial``, what both hold is compared, and the rest counts as left out.

    Raises:
        HarnessError: if an id occurs twice, rows differ in content, or one arm lacks rows.
    """
    first, second = _by_id(name, "before", before), _by_id(name, "after", after)
    both = sorted(first.keys() & second.keys())
    changed = [key for key in both if first[key].content != second[key].content]
    alone = sorted(first.keys() ^ second.keys())
    if changed and not partial:
        raise HarnessError(
            f"{name}: {len(changed)} of {len(both)} rows have the same id but another question, "
            f"target or image before and after ({some(changed)}), so they cannot be compared. "
            "Evaluate both arms on the same data and run again."
        )
    if alone and not partial:
        only = [f"{'before' if key in first else 'after'} only: {key}" for key in alone]
        raise HarnessError(
            f"{name}: {len(alone)} of {len(both) + len(alone)} rows are in one arm only "
            f"({some(only)}). Evaluate both arms with the same --limit and data and run again."
        )
    kept = [key for key in both if first[key].content == second[key].content]
    if not kept:
        raise HarnessError(
            f"{name}: the two arms have no row in common ({len(first)} before, {len(second)} "
            "after), so there is nothing to compare. Evaluate both on the same data."
        )
    return Joined(
        tuple(first[key] for key in kept),
        tuple(second[key] for key in kept),
        len(alone) + len(changed),
    )


def units_of(column: Metric, joined: Joined) -> tuple[Unit, ...]:
    """Count every group of rows in both arms.

    Rows that share an image, or a group, are never split between clusters. A unit counts only
    where both arms have it: a score that one arm lacks, or a column that applies in one arm only,
    is missing there.
    """
    keys = [column.group(sample) for sample in joined.before]
    rows: dict[str, list[int]] = {}
    for index, key in enumerate(keys):
        rows.setdefault(key, []).append(index)
    clusters = _clusters(keys, joined, alone=len(rows) == len(keys))
    return tuple(
        Unit(
            key,
            tuple(members),
            clusters[members[0]],
            *_sides(
                column,
                [joined.before[index] for index in members],
                [joined.after[index] for index in members],
            ),
        )
        for key, members in rows.items()
    )


def images_in(joined: Joined) -> int:
    """Return how many images the joined rows show."""
    return len(set(_clusters([row.id for row in joined.before], joined, alone=True)))


def arrays_of(units: Iterable[Unit]) -> tuple[NDArray[float64], NDArray[float64], NDArray[Any]]:
    """Return counters before and after, each (units, k), and cluster numbers, of paired units."""
    import numpy as np

    paired = [unit for unit in units if unit.paired]
    if not paired:
        return np.zeros((0, 1)), np.zeros((0, 1)), np.zeros(0, dtype=np.int64)
    before = np.array([unit.before for unit in paired], dtype=np.float64)
    after = np.array([unit.after for unit in paired], dtype=np.float64)
    labels = np.array([unit.cluster for unit in paired])
    return before, after, np.unique(labels, return_inverse=True)[1].ravel()


def _clusters(keys: Sequence[str], joined: Joined, *, alone: bool) -> list[int]:
    pairs = list(zip(joined.before, joined.after, strict=True))
    if alone and all(one.cluster == two.cluster for one, two in pairs):
        numbers: dict[str, int] = {}
        return [numbers.setdefault(one.cluster, len(numbers)) for one, _ in pairs]
    return cluster_numbers(
        (("unit", key), ("before", one.cluster), ("after", two.cluster))
        for key, (one, two) in zip(keys, pairs, strict=True)
    )


def cluster_numbers(rows: Iterable[tuple[tuple[str, str], ...]]) -> list[int]:
    """Number the connected components of rows that share any of their names, from 0."""
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def root(name: tuple[str, str]) -> tuple[str, str]:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    listed = list(rows)
    for first, *others in listed:
        for other in others:
            parent[root(other)] = root(first)
    numbers: dict[tuple[str, str], int] = {}
    return [numbers.setdefault(root(names[0]), len(numbers)) for names in listed]


def _sides(
    column: Metric, before: Sequence[Sample], after: Sequence[Sample]
) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None, bool]:
    """Return the counters of both arms, and whether the column applies to the unit at all."""
    has = [_applies(column, rows) for rows in (before, after)]
    if True not in has and False in has:
        return None, None, False
    one, two = (
        None if there is False else _counters(column, rows)
        for there, rows in zip(has, (before, after), strict=True)
    )
    return one, two, True


def _applies(column: Metric, rows: Sequence[Sample]) -> bool | None:
    """Return whether a column applies to rows of one arm; a failed row does not decide it."""
    known = [there for row in rows if (there := column.applies(row)) is not None]
    return any(known) if known else None


def _counters(column: Metric, rows: Sequence[Sample]) -> tuple[float, ...] | None:
    if any(row.answer is None for row in rows):
        return None
    counters = column.count(rows)
    if counters is None or not all(map(isfinite, counters)):
        return None
    return tuple(map(float, counters))


def _by_id(name: str, arm: str, samples: Sequence[Sample]) -> Mapping[str, Sample]:
    twice = sorted(key for key, n in Counter(sample.id for sample in samples).items() if n > 1)
    if twice:
        raise HarnessError(
            f"{name}: {len(twice)} ids occur more than once {arm} ({some(twice)}), so rows cannot "
            "be matched. The benchmark must give every row its own id; repair it, or delete "
            f"{arm}/{name}.jsonl in the run folder and run again."
        )
    return {sample.id: sample for sample in samples}
