"""Which rows changed sides, why, and whether answers grew longer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from harness.benchmark import Metric, flip_column
from harness.compare.joining import Joined, Unit
from harness.compare.records import Comparison, Example, Flip
from harness.records import Sample

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

_REFUSAL = re.compile(
    r"^\W*(?:i(?:['’]m| am) (?:very |so )?sorry|sorry[,.]|i apologi[sz]e|as an ai\b"
    r"|i(?: cannot| can['’]t|['’]m unable to| am unable to|['’]m not able to| am not able to)"
    r" (?:assist|help|answer|provide|comply|discuss|identify|fulfil))",
    re.IGNORECASE,
)


def sides(column: Metric, units: Sequence[Unit]) -> tuple[list[float | None], list[float | None]]:
    """Return every unit's own figure before and after, turned so that more is better."""
    return (
        _figures(column, [unit.before for unit in units]),
        _figures(column, [unit.after for unit in units]),
    )


def flips_of(
    columns: Sequence[Metric], units: Mapping[str, Sequence[Unit]], joined: Joined
) -> tuple[Flip, ...]:
    """Return what changed sides: half of the column's range parts right from wrong.

    Units scored in one arm only are listed as lost or found; they are no part of any difference.
    """
    column = flip_column(columns)
    if column is None:
        return ()
    own = units[column.name]
    before, after = sides(column, own)
    middle = (column.low + column.high) / 2
    half = middle if column.higher_is_better else -middle
    lenient = _lenient(column, columns, units)
    flips = []
    for unit, one, two in zip(own, before, after, strict=True):
        ids = tuple(joined.before[index].id for index in unit.rows)
        rows = () if ids == (unit.key,) else ids
        if one is None or two is None:
            if (one is None) != (two is None):
                direction = "found" if one is None else "lost"
                flips.append(Flip(unit.key, direction, "missing", rows))
        elif (one >= half) != (two >= half):
            direction = "fixed" if two > one else "broken"
            worse, better = (joined.before, joined.after)[:: 1 if direction == "fixed" else -1]
            same = unit.key in lenient
            label = _label([worse[i] for i in unit.rows], [better[i] for i in unit.rows], same)
            flips.append(Flip(unit.key, direction, label, rows))
    return tuple(sorted(flips, key=lambda flip: flip.id))


def examples_of(
    comparison: Comparison,
    before: Mapping[str, Sequence[Sample]],
    after: Mapping[str, Sequence[Sample]],
    *,
    each: int = 3,
) -> tuple[Example, ...]:
    """Return the texts of the first flips of each benchmark and direction, ``each`` at most."""
    examples = []
    for benchmark in comparison.benchmarks:
        old = {sample.id: sample for sample in before[benchmark.name]}
        new = {sample.id: sample for sample in after[benchmark.name]}
        for direction in ("fixed", "broken", "lost", "found"):
            chosen = [flip for flip in benchmark.flips if flip.direction == direction][:each]
            for flip in chosen:
                one, two = _telling(flip, old, new)
                examples.append(
                    Example(
                        benchmark=benchmark.name,
                        id=one.id,
                        direction=direction,
                        label=flip.label,
                        question=one.prompt,
                        target=one.target,
                        before=one.answer,
                        after=two.answer,
                    )
                )
    return tuple(examples)


def alike_in_length(one: Sample, two: Sample) -> bool:
    """Whether two answers differ by at most 2 tokens or a tenth of the longer one."""
    return abs(one.tokens - two.tokens) <= max(2.0, 0.1 * max(one.tokens, two.tokens))


def _telling(
    flip: Flip, old: Mapping[str, Sample], new: Mapping[str, Sample]
) -> tuple[Sample, Sample]:
    rows = flip.rows or (flip.id,)
    changed = [key for key in rows if old[key].said != new[key].said]
    key = (changed or list(rows))[0]
    return old[key], new[key]


def _figures(column: Metric, counters: Sequence[tuple[float, ...] | None]) -> list[float | None]:
    import numpy as np

    known = [row for row in counters if row is not None]
    if not known:
        return [None] * len(counters)
    table: NDArray[float64] = np.array(known, dtype=np.float64)
    with np.errstate(all="ignore"):
        values = iter((column.value(table) * (1 if column.higher_is_better else -1)).tolist())
    return [None if row is None else next(values) for row in counters]


def _lenient(
    column: Metric, columns: Sequence[Metric], units: Mapping[str, Sequence[Unit]]
) -> frozenset[str]:
    """Return the units whose content was judged the same in both arms."""
    other = next((other for other in columns if other.name == column.lenient), None)
    if other is None:
        return frozenset()
    return frozenset(u.key for u in units[other.name] if u.paired and u.before == u.after)


def _label(worse: Sequence[Sample], better: Sequence[Sample], same_content: bool) -> str:
    if same_content:
        return "format break"
    if _any_cut(worse) and not _any_cut(better):
        return "cut off"
    if _any_refusal(worse) and not _any_refusal(better):
        return "refusal"
    return "true change"


def _any_cut(samples: Sequence[Sample]) -> bool:
    return any(sample.finish == "length" for sample in samples)


def _any_refusal(samples: Sequence[Sample]) -> bool:
    return any(_REFUSAL.match(sample.answer or "") is not None for sample in samples)
