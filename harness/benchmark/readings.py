"""How the figure of a task that is not ours follows from what the task says of each row.

A task of lmms-eval gives a record for each row and a function that turns all records into one
figure. A comparison needs more: what one row adds to the figure. So, before a model is asked, the
task scores made-up answers to some of its own rows, and the function is compared with the few ways
in which figures are made: the mean of a value, the mean of the means of cells, the share of groups
whose every row is right, one sum over another. A way is taken only if it gives the task's own
figure on every sample of those records; otherwise the metric is refused, and never guessed.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

BELOW = ": below the line"
"""Ends the name of the score that a ratio is divided by."""
BETWEEN = "\n"
"""Stands between the name of a cell and that of the cell it lies in."""
MEAN, CELLS, GROUPS, RATIO = "mean", "cells", "groups", "ratio"
_SAMPLES = 24
_UNREAD = -1.0
_LONGEST = 60  # letters of a name that identifies a cell or group
WORDS = {CELLS: "mean over", GROUPS: "all of a", RATIO: "sum over"}

Path = tuple[str | int, ...]
Record = Any


@dataclass(frozen=True)
class Reading:
    """How one metric is read.

    Attributes:
        metric: its name in the task.
        column: what its column is called here; says how the figure is made and its scale.
        kind: ``"mean"``, ``"cells"``, ``"groups"`` or ``"ratio"``.
        value: where the value of a row stands in its record; ``None``: the task's function is
            asked about the row alone.
        places: where the names of cells or groups stand; of a ratio, the value below the line.
        scale: what a row's value is multiplied with.
        top: the largest value of a row after that.
    """

    metric: str
    column: str
    kind: str
    value: Path | None
    places: tuple[Path, ...] = ()
    scale: float = 1.0
    top: float = 1.0

    def unit_of(self, record: Record) -> str | None:
        """Return the name of the row's cell or group."""
        if self.kind not in (CELLS, GROUPS):
            return None
        return BETWEEN.join(" ".join(str(at(record, p)).split()) for p in self.places)


@dataclass(frozen=True)
class Readings:
    """How each metric of a task is read, why others cannot be, and whether a judge is asked."""

    known: tuple[Reading, ...]
    refused: Mapping[str, str]
    judged: bool = False


def at(record: Record, path: Path) -> Any:
    """Return what stands at a place of a record; ``None`` if nothing does."""
    for key in path:
        try:
            record = record[key]
        except (KeyError, IndexError, TypeError):
            return None
    return record


def numeric(value: Any) -> float | None:
    """Return a finite number, or ``None``."""
    if isinstance(value, bool | int | float) or hasattr(value, "__float__"):
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            return None
        return number if math.isfinite(number) else None
    return None


Whole = Callable[[Sequence[Record]], float | None]


def read_metric(
    metric: str, rows: Sequence[Sequence[Record]], whole: Whole, *, judged: bool = False
) -> Reading | str:
    """Find how a metric's figure follows from the records, or say why that is not known.

    Args:
        metric: its name.
        rows: for each row the records of several answers; all are of this metric.
        whole: the task's own figure.
        judged: a language model is asked. A value of -1 then says that its reply could not be
            read: it is below the scale, so the row is missing, though the task adds it up.
    """
    values = list(_values(rows, whole))
    if not values:
        return "no value of a single row is a number"
    grouped = dict(_places(rows))
    shuffled = list(_samples(rows, None))
    try:
        figures = [whole(sample) for sample in shuffled]
    except Exception as error:
        figures = []
        reason = f"{type(error).__name__}: {error}".rstrip(": ")[:120]
    if sum(figure is not None for figure in figures) < 2:
        if not figures:
            return f"its function gives no figure for a part of the rows ({reason})"
        return "its function gives no number"
    told = [(s, f) for s, f in zip(shuffled, figures, strict=True) if f is not None]
    moves = max(f for _, f in told) - min(f for _, f in told) > 1e-9
    if not moves:
        return (
            "its figure is the same for all answers, so how it is computed is unknown; "
            "see that the rows have the right answers"
        )
    for path, value in values:
        for kind, places in _ways(grouped):
            samples = told
            if kind == GROUPS:
                samples = _figures(_samples(rows, places[0]), whole)
            scale = _fits(kind, samples, value, places)
            if scale is not None:
                return _reading(metric, kind, path, places, scale, rows, value, judged)
    for path, value in values:  # points of a whole data set, such as OCRBench's of a thousand
        sums = [
            (None if one is None else one * len(sample), figure)
            for sample, figure in told
            for one in [figure_of(MEAN, sample, value, ())]
        ]
        if path is not None and _proportional(sums):
            found = _reading(metric, MEAN, path, (), 1.0, rows, value, judged)
            if isinstance(found, str) or found.top > 1:
                return "its figure is a sum over all rows, and the scale of a row is not declared"
            return replace(found, column=f"{metric} (mean of rows)")
    for (path, over), (_, under) in combinations(
        [(path, value) for path, value in values if path is not None], 2
    ):
        below = next(p for p, v in values if v is under)
        for first, second, one, two in ((path, below, over, under), (below, path, under, over)):
            assert first is not None
            assert second is not None
            scale = _ratio_fits(told, one, two)
            if scale is not None:
                return Reading(
                    metric, f"{metric} ({WORDS[RATIO]} {_name(second)})", RATIO, first, (second,)
                )
    several = [path for path, value in _leaves(rows[0][0]) if _numbers(value)]
    if several:
        return (
            f"its figure is made of several numbers of each row ({_name(several[0])}), and how is "
            "known to its own code alone, so it exists for the whole task only"
        )
    return (
        "its figure is no mean of a value of each row, no mean of means, no share of whole groups "
        "and no sum over another, so it exists for the whole task only"
    )


def _numbers(value: Any) -> bool:
    several = isinstance(value, list | tuple) and len(value) > 1
    return several and all(numeric(one) is not None for one in value)


def _figures(samples: Iterator[list[Record]], whole: Whole) -> list[tuple[list[Record], float]]:
    found = []
    for sample in samples:
        try:
            figure = whole(sample)
        except Exception:
            return []
        if figure is not None:
            found.append((sample, figure))
    return found


def _values(
    rows: Sequence[Sequence[Record]], whole: Whole
) -> Iterator[tuple[Path | None, Callable[[Record], float | None]]]:
    """Yield where numbers stand in the records, and last what the task says of a row alone."""
    paths: dict[Path, int] = {}
    total = sum(map(len, rows))
    for record in (record for answers in rows for record in answers):
        for path, value in _leaves(record):
            if numeric(value) is not None:
                paths[path] = paths.get(path, 0) + 1
    whole_of = {path for path, count in paths.items() if count == total}
    first = ("score", "is_correct", "correct", "acc", "accuracy")
    for path in sorted(whole_of, key=lambda p: (str(p[-1:][0] if p else "") not in first, str(p))):
        yield path, functools.partial(_number_at, path)
    known: dict[int, float | None] = {}

    def alone(record: Record) -> float | None:
        if id(record) not in known:
            try:
                known[id(record)] = numeric(whole([record]))
            except Exception:
                known[id(record)] = None
        return known[id(record)]

    if any(alone(record) is not None for answers in rows for record in answers):
        yield None, alone


def _number_at(path: Path, record: Record) -> float | None:
    return numeric(at(record, path))


def _places(rows: Sequence[Sequence[Record]]) -> Iterator[tuple[Path, int]]:
    """Yield where names stand that several rows share, whatever is answered."""
    names: dict[Path, list[str]] = {}
    for answers in rows:
        each: dict[Path, set[str]] = {}
        for record in answers:
            for path, value in _leaves(record):
                if isinstance(value, str | int) and not isinstance(value, bool):
                    each.setdefault(path, set()).add(str(value))
        for path, said in each.items():
            if len(said) == 1:
                names.setdefault(path, []).append(min(said))
    for path, found in names.items():
        distinct = len(set(found))
        if len(found) == len(rows) and 1 < distinct < len(rows) and max(map(len, found)) < _LONGEST:
            yield path, distinct


def _leaves(record: Record, path: Path = (), deep: int = 3) -> Iterator[tuple[Path, Any]]:
    if isinstance(record, Mapping) and deep:
        for key, value in record.items():
            yield from _leaves(value, (*path, str(key)), deep - 1)
    elif isinstance(record, list | tuple) and len(record) == 1 and deep:
        yield from _leaves(record[0], (*path, 0), deep - 1)
    else:
        yield path, record


def _ways(grouped: Mapping[Path, int]) -> Iterator[tuple[str, tuple[Path, ...]]]:
    yield MEAN, ()
    for path in grouped:
        yield CELLS, (path,)
    for path in grouped:
        yield GROUPS, (path,)
    ordered = sorted(grouped, key=lambda path: grouped[path])
    for wide, narrow in combinations(ordered, 2):
        yield CELLS, (wide, narrow)


def _samples(rows: Sequence[Sequence[Record]], group: Path | None) -> Iterator[list[Record]]:
    """Yield records of one random answer to each row: of all rows, and of random halves of them."""
    draw = random.Random(0)
    names = [str(at(answers[0], group)) if group else str(i) for i, answers in enumerate(rows)]
    for turn in range(_SAMPLES):
        kept = set(names)
        if turn % 3:
            kept = set(draw.sample(sorted(kept), max(1, (len(kept) + 1) // 2)))
        lazy = draw.random()  # now mostly the first answer, which is right, now any
        yield [
            answers[0] if draw.random() < lazy else draw.choice(answers)
            for name, answers in zip(names, rows, strict=True)
            if name in kept
        ]


def figure_of(
    kind: str,
    sample: Sequence[Record],
    value: Callable[[Record], float | None],
    places: tuple[Path, ...],
) -> float | None:
    """Return the figure that one way of making it gives."""
    values = [value(record) for record in sample]
    known = [one for one in values if one is not None]
    if len(known) < len(values) or not known:
        return None
    if kind == MEAN:
        return sum(known) / len(known)
    cells: dict[tuple[str, ...], list[float]] = {}
    for record, one in zip(sample, known, strict=True):
        cells.setdefault(tuple(str(at(record, place)) for place in places), []).append(one)
    if kind == GROUPS:
        return sum(float(all(each)) for each in cells.values()) / len(cells)
    return mean_of_means({name: sum(each) / len(each) for name, each in cells.items()})


def mean_of_means(cells: Mapping[tuple[str, ...], float]) -> float:
    """Return the mean over the first names of the means over the second ones, and so on."""
    while True:
        above: dict[tuple[str, ...], list[float]] = {}
        for name, mean in cells.items():
            above.setdefault(name[:-1], []).append(mean)
        cells = {name: sum(each) / len(each) for name, each in above.items()}
        if () in cells:
            return cells[()]


def _fits(
    kind: str,
    samples: Sequence[tuple[Sequence[Record], float]],
    value: Callable[[Record], float | None],
    places: tuple[Path, ...],
) -> float | None:
    """Return the scale with which a way gives every figure; ``None`` if there is none."""
    pairs = [(figure_of(kind, sample, value, places), figure) for sample, figure in samples]
    return _scale(pairs)


def _scale(pairs: Sequence[tuple[float | None, float]]) -> float | None:
    ours = [one for one, _ in pairs if one is not None]
    if len(ours) < len(pairs) or len(pairs) < 2 or max(ours) - min(ours) < 1e-9:
        return None
    for scale in (1.0, 100.0):
        allowed = 5.1e-5 if scale == 1 else 5.1e-3  # figures are often rounded
        if all(
            abs(scale * one - figure) <= allowed * max(1.0, abs(figure) / 100)
            for one, figure in pairs
            if one is not None
        ):
            return scale
    return None


def _proportional(pairs: Sequence[tuple[float | None, float]]) -> bool:
    """Say whether figures are some constant times what is ours."""
    known = [(one, figure) for one, figure in pairs if one is not None]
    if len(known) < len(pairs) or not any(one and figure for one, figure in known):
        return False
    times = next(figure / one for one, figure in known if one and figure)
    return all(abs(times * one - figure) <= 1e-6 * max(1, abs(figure)) for one, figure in known)


def _ratio_fits(
    samples: Sequence[tuple[Sequence[Record], float]],
    over: Callable[[Record], float | None],
    under: Callable[[Record], float | None],
) -> float | None:
    pairs: list[tuple[float | None, float]] = []
    for sample, figure in samples:
        above = [over(record) for record in sample]
        below = [under(record) for record in sample]
        if None in above or None in below:
            return None
        total = sum(one for one in below if one is not None)
        pairs.append((sum(o for o in above if o is not None) / total if total else None, figure))
    return _scale([pair for pair in pairs if pair[0] is not None])


def _reading(
    metric: str,
    kind: str,
    path: Path | None,
    places: tuple[Path, ...],
    scale: float,
    rows: Sequence[Sequence[Record]],
    value: Callable[[Record], float | None],
    judged: bool,
) -> Reading | str:
    known = [value(record) for answers in rows for record in answers]
    numbers = [one for one in known if one is not None and not (judged and one == _UNREAD)]
    if not numbers:
        return "no generated reply of a language model gives it a number"
    if min(numbers) < 0:
        return f"its values fall to {min(numbers):g}, and no scale is declared"
    top, told = max(numbers), []
    if kind in WORDS:
        told.append(f"{WORDS[kind]} {', '.join(map(_name, places))}")
    if top <= 1:  # in hundredths, as ours are
        scale, top = 1.0, 1.0
    elif kind == GROUPS:
        return f"its values rise to {top:g}, where a group needs right or wrong"
    else:
        top = 10.0 ** math.ceil(math.log10(top * scale) - 1e-9)
        told.append(f"0 to {top:g}")
    column = metric + (f" ({'; '.join(told)})" if told else "")
    return Reading(metric, column, kind, path, places, scale, top)


def _name(path: Path) -> str:
    words = [str(key) for key in path if isinstance(key, str)]
    return words[-1] if words else "value"
