"""ScienceQA-IMG in miniature: multiple choice that needs some knowledge or arithmetic.

A row: {"image": ..., "question": "How many sides does the red shape have?", "choices": ["3", "4",
"6"], "answer": 1, "hint": "", "task": "closed choice", "grade": "grade1", "subject": "natural
science", "topic": "sides", "category": "rec,know", "skill": "sides", "lecture": "", "solution": ""}
"""

from __future__ import annotations

import random

from harness_tinyworld import questions, reading
from harness_tinyworld.formats import HINTS
from harness_tinyworld.minis.common import asked, four_options, options_of
from harness_tinyworld.minis.table import Mini, Row, Table
from harness_tinyworld.scenes import render

COUNT = 400


def rows() -> list[Row]:
    """Make all rows."""
    askers = (questions.sides, reading.category, questions.shape, questions.neighbour)
    made = []
    for n, (scene, question) in enumerate(asked("scienceqa", askers, COUNT, four_options)):
        choices, right = options_of(question, random.Random(f"scienceqa {n}"))
        made.append(
            {
                "image": render(scene),
                "question": question.text,
                "choices": choices,
                "answer": right,
                "hint": HINTS[0] if n % 4 == 0 else "",
                "task": "closed choice",
                "grade": "grade1",
                "subject": "language science" if question.kind == "category" else "natural science",
                "topic": question.kind,
                "category": question.skills,
                "skill": question.kind,
                "lecture": "",
                "solution": "",
            }
        )
    return made


TEXTS = ("task", "grade", "subject", "topic", "category", "skill", "lecture", "solution")
COLUMNS = {
    "image": "image",
    "question": "string",
    "choices": ["string"],
    "answer": "int8",
    "hint": "string",
    **dict.fromkeys(TEXTS, "string"),
}
MINI = Mini(
    "ScienceQA",
    f"{COUNT} multiple-choice questions about as many drawn images.",
    (Table(COLUMNS, rows, config="ScienceQA-IMG"),),
)
