"""HallusionBench: yes/no questions about figures and their altered twins (arXiv 2310.14566).

A row of the hub's data set, cut short:

    {"category": "VD", "subcategory": "illusion", "set_id": "0", "figure_id": "0", "question_id":
     "0", "visual_input": "1", "question": "Is the right orange circle the same size as the left
     orange circle?", "gt_answer": "1", "gt_answer_details": "The right orange circle is the same
     size as the left orange circle.", "image": ...}

``aAcc``: answers that are right; ``qAcc``: questions that are right on every figure they are asked
of; ``fAcc``: figures about which every question is right. Officially GPT-4 calls an answer right,
wrong or unclear. The built-in grader reads yes or no from the answer and compares it with the
label; an answer it cannot read has no verdict and is missing. lmms-eval reuses the judge's
verdicts of whichever model was judged before in the same folder; nothing of that is used here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.benchmark import Benchmark, Choices, Scored
from harness.columns import Column, all_of, mean_of, together
from harness.lmms import Row, Task
from harness.records import Sample
from harness_benchmarks import grader
from harness_benchmarks.parse import yes_no


def score(task: Task, row: Row, answer: str) -> Scored:
    """Compare what the answer says with the label."""
    doc, said = row.doc, yes_no(answer)
    right = "yes" if str(doc["gt_answer"]) == "1" else "no"
    drawn = not (doc["category"] == "VS" and str(doc["figure_id"]) == "0")
    return Scored(
        {
            "right": None if said is None else float(said == right),
            "says_yes": None if said is None else float(said == "yes"),
            "drawn": float(drawn),
        },
        judge=grader.NAME,
        verdict=f"read as {said}" if said else "neither yes nor no can be read",
    )


def _drawn(
    count: Callable[[Sequence[Sample]], tuple[float, ...] | None],
) -> Callable[[Sequence[Sample]], tuple[float, ...] | None]:
    """Leave out questions that are asked without their figure."""

    def counted(rows: Sequence[Sample]) -> tuple[float, ...] | None:
        return count(rows) if rows[0].scores.get("drawn") else (0.0, 0.0)

    return counted


def _figures() -> Column:
    column = all_of("right", group=together("figure"), name="fAcc")
    return Column("fAcc", _drawn(column.count), column.value, group=column.group, mean=False)


def _units(doc: Mapping[str, Any]) -> Mapping[str, str]:
    place = f"{doc['category']} {doc['subcategory']} {doc['set_id']}"
    return {name: f"{place} {name} {doc[f'{name}_id']}" for name in ("question", "figure")}


def _choices(row: Row) -> Choices:
    return Choices(("Yes", "No"), 0 if str(row.doc["gt_answer"]) == "1" else 1)


BENCHMARK = Benchmark(
    name="hallusion",
    title="HallusionBench",
    task="hallusion_bench/hallusion_bench_image.yaml",
    score=score,
    columns=(
        mean_of("right", name="aAcc", primary=True),
        all_of("right", group=together("question"), name="qAcc"),
        _figures(),
        mean_of("logit", name="logit aAcc"),
        mean_of("says_yes", name="says yes", higher_is_better=None),
    ),
    groups=lambda doc: {"subcategory": f"{doc['category']} {doc['subcategory']}"},
    units=_units,
    choices=_choices,
    judge=grader.NAME,
    licence="BSD-3-Clause",
    source="arXiv 2310.14566; hub: lmms-lab-encoder/HallusionBench, split image, 951 rows",
)
