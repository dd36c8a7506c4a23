"""MMVP: pairs of images that CLIP takes for one another, and a question that tells them apart.

A row of the hub's data set, cut short; two in a row are a pair (arXiv 2401.06209):

    {"Index": 1, "Question": "Are the butterfly's feet visible?", "Options": "(a) Yes (b) No",
     "Correct Answer": "(a)", "image": ...}

``pair accuracy``, the paper's figure: pairs of which both rows are right. ``accuracy``: rows. The
letter is read by lmms-eval's own function, which counts only pairs that are there in full; here a
row whose pair is not asked, as under ``--limit``, counts as a pair of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.benchmark import Benchmark, Choices, Row, Task, all_of, mean_of, together
from harness.records import Scored


def score(task: Task, row: Row, answer: str) -> Scored:
    """Take lmms-eval's reading of the letter."""
    official = task.score(row, answer)["mmvp_accuracy"]
    return Scored(
        {"right": float(official["is_correct"]), "unread": float(not official["pred_letter"])}
    )


def _units(doc: Mapping[str, Any]) -> Mapping[str, str]:
    return {"pair": f"pair {(int(doc['Index']) - 1) // 2}"}


def _choices(row: Row) -> Choices:
    return Choices(("A", "B"), "AB".index(row.target))


BENCHMARK = Benchmark(
    name="mmvp",
    title="MMVP",
    task="mmvp/mmvp.yaml",
    score=score,
    columns=(
        all_of("right", group=together("pair"), name="pair accuracy", primary=True),
        mean_of("right", name="accuracy"),
        mean_of("logit", name="logit accuracy"),
        mean_of("unread", name="unparsed", higher_is_better=False),
    ),
    units=_units,
    choices=_choices,
    licence="MIT",
    source="arXiv 2401.06209; hub: lmms-lab-eval/MMVP, split train, 300 rows",
)
