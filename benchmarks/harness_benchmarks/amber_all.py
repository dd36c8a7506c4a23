"""All of AMBER: descriptions, and questions on existence, attribute and relation (2311.07397).

A row in the form that ``tasks/amber.yaml`` reads, cut short; descriptions have the kind
"generative", the annotated things in ``truth`` and the imagined ones in ``hallu``:

    {"question_id": 1005, "kind": "attribute-state", "question": "Is the sky sunny in this image?",
     "truth": ["yes"], "hallu": [], "image": ...}

``CHAIR``, ``Cover``, ``Hal`` and ``Cog`` are those of :mod:`harness_benchmarks.amber`. In the other
half the positive class is "no": ``precision`` is the share of right answers among those that say
no, ``recall`` the share of questions to be denied that are. ``AMBER score`` is the mean of 100 -
CHAIR and F1. The authors' script takes an answer only if it is "Yes" or "No" to the letter, and any
other for neither; so does each column here whose name does not begin with "lenient". It rounds
precision and recall before it makes F1 of them, and adds 0.0001 below, which is not done here.
Their query is asked with a request for a single word, as their answer files are to hold Yes or No.
Existence is asked of absent things only, so its precision is always 100.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.benchmark import (
    Benchmark,
    Choices,
    Metric,
    Row,
    Task,
    f1_of,
    mean_of,
    ratio_of,
)
from harness.records import Sample, Scored
from harness_benchmarks import amber
from harness_benchmarks.convert_amber import OFFICIAL_ALL
from harness_benchmarks.means import in_group
from harness_benchmarks.parse import yes_no, yes_no_choices

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

_PARTS = ("existence", "attribute", "relation")
_DESCRIBED = in_group("part", "generative")


def score(task: Task, row: Row, answer: str) -> Scored:
    """Count what a description names, or compare an answer with yes or no."""
    if row.doc["kind"] == "generative":
        return amber.score(task, row, answer)
    (truth,), said = row.doc["truth"], yes_no(answer)
    exact, no = answer.strip(), float(truth == "no")
    return Scored(
        {
            "label": no,
            "said": float(exact == "No"),
            "hit": float(exact == "No") * no,
            "right": float(exact == truth.capitalize()),
            "lenient_said": float(said == "no"),
            "lenient": float(said == truth),
            "unparsed": float(said is None),
        }
    )


def _groups(doc: Mapping[str, Any]) -> Mapping[str, str]:
    kind = str(doc["kind"])
    return {"part": kind.split("-")[0], "kind": kind}


def _four(name: str, *values: str, group: str = "part") -> tuple[Metric, ...]:
    """Return accuracy, precision, recall and F1 of the rows of some parts, or kinds."""
    applies = in_group(group, *values)
    return (
        mean_of("right", name=f"{name}accuracy", applies=applies),
        ratio_of("hit", "said", name=f"{name}precision", applies=applies),
        ratio_of("hit", "label", name=f"{name}recall", applies=applies),
        f1_of("said", "label", name=f"{name}F1", applies=applies),
    )


def _halves(said: str) -> Callable[[Sequence[Sample]], tuple[float, ...] | None]:
    """Count absent and named things, then true and false "no" and what is not denied."""

    def count(rows: Sequence[Sample]) -> tuple[float, ...] | None:
        row = rows[0]
        described = _DESCRIBED(row)
        names = ("absent", "named") if described else (said, "label")
        values = [row.scores.get(name) for name in names]
        if described is None or None in values:
            return None
        one, two = (float(value or 0.0) for value in values)
        if described:
            return (one, two, 0.0, 0.0, 0.0)
        return (0.0, 0.0, one * two, one * (1 - two), (1 - one) * two)

    return count


def _amber(totals: NDArray[float64]) -> NDArray[float64]:
    """Return the mean of 100 - CHAIR and F1; ``nan`` where one of them is not defined."""
    import numpy as np

    absent, named, hits, false, missed = np.moveaxis(totals, -1, 0)
    undefined = np.full(np.shape(absent), np.nan)
    with np.errstate(invalid="ignore"):
        under = 2 * hits + false + missed
        chair = np.divide(100 * absent, named, out=undefined.copy(), where=named != 0)
        f1 = np.divide(200 * hits, under, out=undefined.copy(), where=under != 0)
        score: NDArray[float64] = (100 - chair + f1) / 2
    return score


def _choices(row: Row) -> Choices:
    return Choices((), 0) if row.doc["kind"] == "generative" else yes_no_choices(row)


_QUESTIONS = in_group("part", *_PARTS)
BENCHMARK = Benchmark(
    name="amber_all",
    title="AMBER",
    task=str(Path(__file__).parent / "tasks" / "amber.yaml"),
    score=score,
    columns=(
        Metric("AMBER score", _halves("said"), _amber, primary=True, lenient="lenient AMBER score"),
        *(replace(column, primary=False, applies=_DESCRIBED) for column in amber.BENCHMARK.columns),
        *_four("", *_PARTS),
        *(column for part in _PARTS for column in _four(f"{part} ", part)),
        *(
            column
            for kind in ("state", "number", "action")
            for column in _four(f"{kind} ", f"attribute-{kind}", group="kind")
        ),
        Metric("lenient AMBER score", _halves("lenient_said"), _amber),
        mean_of("lenient", name="lenient accuracy", applies=_QUESTIONS),
        f1_of("lenient_said", "label", name="lenient F1", applies=_QUESTIONS),
        mean_of("logit", name="logit accuracy", applies=_QUESTIONS),
        mean_of("unparsed", higher_is_better=False, applies=_QUESTIONS),
    ),
    groups=_groups,
    choices=_choices,
    source_files=OFFICIAL_ALL,
    licence="Apache-2.0 (images: from the web, for research)",
    source="arXiv 2311.07397; its repository's query_all.json, 15220 rows, 1004 of them generative",
)
