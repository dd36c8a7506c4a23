"""MMStar: choices that need the image, in six capabilities of 250 rows each (arXiv 2403.20330).

A row of the hub's data set, cut short:

    {"index": 0, "question": "Which ... ? Options: A: red, B: blue, C: green, D: grey", "answer":
     "A", "category": "coarse perception", "l2_category": "image emotion", "image": ...}

``accuracy`` is the share of right rows, which is also the mean of the six capabilities on the whole
data set, as the authors give it. ``average`` is lmms-eval's figure: the mean over the eighteen
narrower categories, which are not of one size. The letter is read by lmms-eval's own function.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.benchmark import Benchmark, Choices, Row, Task, mean_of
from harness.records import Scored
from harness_benchmarks.means import mean_over

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
        mean_over("right", "narrow category", [[cell] for cell in _CELLS], name="average"),
        mean_of("logit", name="logit accuracy"),
    ),
    groups=_groups,
    choices=_choices,
    licence="see the data set's card",
    source="arXiv 2403.20330; hub: Lin-Chen/MMStar, split val, 1500 rows",
)
