"""MMStar: choices that need the image, in six capabilities of 250 rows each (arXiv 2403.20330).

A row of the hub's data set, cut short:

    {"index": 0, "question": "Which ... ? Options: A: red, B: blue, C: green, D: grey", "answer":
     "A", "category": "coarse perception", "l2_category": "image emotion", "image": ...}

``accuracy`` is the share of right rows, which is also the mean of the six capabilities on the whole
data set, as the authors give it. ``average`` is lmms-eval's figure: the mean over the eighteen
narrower categories, which are not of one size. The letter is read by lmms-eval's own function.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.benchmark import Benchmark, Choices, Metric, Row, Task, mean_of
from harness.records import Sample, Scored

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

_CELLS = (
    *("image scene and topic", "image style & quality", "image emotion", "object counting"),
    *("recognition", "localization", "single-instance reasoning"),
    *("cross-instance attribute reasoning", "cross-instance relation reasoning"),
    *("code & sequence reasoning", "diagram reasoning", "common reasoning"),
    *("biology & chemistry & physics", "electronics & energy & mechanical eng."),
    *("geography & earth science & agriculture", "geometry"),
    *("numeric commonsense and calculation", "statistical reasoning"),
)


def score(task: Task, row: Row, answer: str) -> Scored:
    """Take lmms-eval's reading of the letter."""
    return Scored({"right": float(task.score(row, answer)["average"]["score"])})


def _counts(rows: Sequence[Sample]) -> tuple[float, ...] | None:
    counters = [0.0] * (2 * len(_CELLS))
    for row in rows:
        right, cell = row.scores.get("right"), row.groups.get("narrow category", "")
        if right is None or cell not in _CELLS:
            return None
        counters[2 * _CELLS.index(cell)] += right
        counters[2 * _CELLS.index(cell) + 1] += 1.0
    return tuple(counters)


def _average(totals: NDArray[float64]) -> NDArray[float64]:
    """Return 100 times the mean of the means of the categories that have rows."""
    import numpy as np

    right, rows = totals[..., 0::2], totals[..., 1::2]
    there = rows > 0
    means = np.divide(right, rows, out=np.zeros(np.shape(right)), where=there)
    cells = there.sum(axis=-1)
    empty: NDArray[float64] = np.full(np.shape(cells), np.nan)
    return np.divide(100 * means.sum(axis=-1), cells, out=empty, where=cells > 0)


def _choices(row: Row) -> Choices:
    return Choices(tuple("ABCD"), "ABCD".index(str(row.doc["answer"]).strip().upper()))


def _groups(doc: Mapping[str, Any]) -> Mapping[str, str]:
    return {"category": str(doc["category"]), "narrow category": str(doc["l2_category"])}


BENCHMARK = Benchmark(
    name="mmstar",
    title="MMStar",
    task="mmstar/mmstar.yaml",
    score=score,
    columns=(
        mean_of("right", name="accuracy", primary=True),
        Metric("average", _counts, _average),
        mean_of("logit", name="logit accuracy"),
    ),
    groups=_groups,
    choices=_choices,
    licence="see the data set's card",
    source="arXiv 2403.20330; hub: Lin-Chen/MMStar, split val, 1500 rows",
)
