"""NaturalBench: two questions about two images, each answer right for one image only (2410.14669).

A row of the hub's data set, cut short; four in a row belong together:

    {"Index": 0, "Image": ..., "Question": "Is the dog asleep?", "Question_Type": "yes_no"}

Rows come as question 0 on image 0 and 1, then question 1 on image 0 and 1, and the right answers
are yes, no, no, yes (or A, B, B, A). ``Acc``: rows that are right; ``Q_Acc``: questions that are
right on both images; ``I_Acc``: images about which both questions are right; ``G_Acc``, the paper's
first figure: groups of which all four are right. What an answer says is read by lmms-eval's own
function; one that says neither is wrong. lmms-eval's aggregation takes all 7,600 rows in their
order or none, and leaves out ``Acc``, as the name that it gives rows is not the one that its file
lists.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from typing import Any

from harness.benchmark import (
    Benchmark,
    Choices,
    Row,
    Task,
    all_of,
    mean_of,
    together,
)
from harness.records import Scored

_YES = {"yes_no": ("Yes", "No"), "multiple_choice": ("A", "B")}


def _place(doc: Mapping[str, Any]) -> tuple[int, int, int]:
    """Return group, question and image of a row."""
    group, place = divmod(int(doc["Index"]), 4)
    return group, place // 2, place % 2


def score(task: Task, row: Row, answer: str) -> Scored:
    """Say whether an answer is right; yes (or A) is right where question and image are alike."""
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it cannot read
        said = task.helper("extract_answer")(answer, task_type=str(row.doc["Question_Type"]))
    _, question, image = _place(row.doc)
    right = int(question == image)
    return Scored(
        {"right": float(said == right), "says_yes": float(said == 1), "unread": float(said == -1)}
    )


def _units(doc: Mapping[str, Any]) -> Mapping[str, str]:
    group, question, image = _place(doc)
    return {
        "group": f"group {group}",
        "question": f"group {group} question {question}",
        "image": f"group {group} image {image}",
    }


def _choices(row: Row) -> Choices:
    _, question, image = _place(row.doc)
    return Choices(_YES[str(row.doc["Question_Type"])], int(question != image))


BENCHMARK = Benchmark(
    name="naturalbench",
    title="NaturalBench",
    task="naturalbench/naturalbench.yaml",
    score=score,
    columns=(
        all_of("right", group=together("group"), name="G_Acc", primary=True),
        all_of("right", group=together("question"), name="Q_Acc"),
        all_of("right", group=together("image"), name="I_Acc"),
        mean_of("right", name="Acc"),
        mean_of("logit", name="logit Acc"),
        mean_of("says_yes", name="says yes", higher_is_better=None),
        mean_of("unread", name="unparsed", higher_is_better=False),
    ),
    groups=lambda doc: {"question type": str(doc["Question_Type"])},
    units=_units,
    choices=_choices,
    licence="Apache-2.0 (images: Flickr30K and DOCCI, under their own licences)",
    source="arXiv 2410.14669; hub: BaiqiL/NaturalBench-lmms-eval, split test, 7600 rows",
)
