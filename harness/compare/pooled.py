"""Several trainings of one method, counted as one: the mean over seeds, and how seeds differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness import stats
from harness.benchmark import Metric
from harness.compare.joining import Unit, arrays_of, join, units_of
from harness.errors import HarnessError
from harness.records import Sample

if TYPE_CHECKING:
    from harness.stats import Confidence, Estimate, Value

_FEW = 100  # resamples where nothing but the spread of images is asked for


def estimate(
    column: Metric, trained: Sequence[Sequence[Unit]], **settings: Any
) -> tuple[Estimate, tuple[float | None, ...]]:
    """Compare a column's arms, averaged over trainings, whose units stand in the same order.

    Returns the estimate, and each training's own difference; none with a single training.
    """
    span = column.high - column.low
    if len(trained) == 1:
        arms = arrays_of(trained[0])
        return stats.estimate(
            *arms, column.value, plain_mean=column.mean, span=span, **settings
        ), ()
    before, after, images = arrays_of(_pooled(column, trained))
    value = _mean_over(column.value, len(trained))
    differences = tuple(_difference(column, part) for part in _parts((before, after), len(trained)))
    known = [each for each in differences if each is not None]
    seeds = known if len(known) == len(trained) else []
    found = stats.estimate(before, after, images, value, span=span, seeds=seeds, **settings)
    return found, differences


def confidence_of(
    name: str, column: Metric, trained: Sequence[tuple[Sequence[Sample], Sequence[Sample]]]
) -> Confidence | None:
    """Return what both arms of each training say of a column, of the rows that both hold."""
    units = [units_of(column, join(name, *arms, partial=True)) for arms in trained]
    found, _ = estimate(column, units, draws=_FEW)
    return found.confidence


def _pooled(column: Metric, trained: Sequence[Sequence[Unit]]) -> tuple[Unit, ...]:
    """Put the counters of all trainings side by side; a unit missing in one is missing."""
    keys = [[unit.key for unit in units] for units in trained]
    if any(other != keys[0] for other in keys):
        raise HarnessError(
            f"{column.name}: the trainings with different seeds were not evaluated on the same "
            "rows. Run all seeds with the same --bench, --limit and --data."
        )
    return tuple(
        replace(
            one[0],
            before=_side([unit.before for unit in one]),
            after=_side([unit.after for unit in one]),
            applies=any(unit.applies for unit in one),
        )
        for one in zip(*trained, strict=True)
    )


def _side(parts: Sequence[tuple[float, ...] | None]) -> tuple[float, ...] | None:
    known = [part for part in parts if part is not None]
    return tuple(value for part in known for value in part) if len(known) == len(parts) else None


def _mean_over(value: Value, count: int) -> Value:
    """Return the figure of counters that stand side by side: the mean of each one's figure."""

    def mean(counters: Any) -> Any:
        import numpy as np

        return np.mean([value(part) for part in np.split(counters, count, axis=-1)], axis=0)

    return mean


def _parts(arms: Sequence[Any], count: int) -> list[tuple[Any, Any]]:
    import numpy as np

    before, after = (np.split(arm, count, axis=-1) if len(arm) else [] for arm in arms)
    return list(zip(before, after, strict=True))


def _difference(column: Metric, part: tuple[Any, Any]) -> float | None:
    import numpy as np

    with np.errstate(all="ignore"):
        low, high = (float(column.value(arm.sum(axis=0))) for arm in part)
    return high - low if np.isfinite(high - low) else None
