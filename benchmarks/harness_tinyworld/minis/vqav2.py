"""VQAv2 in miniature: short questions with ten answers each.

A row: {"question_id": 0, "question": "What color is the star?", "question_type": "colour",
"multiple_choice_answer": "red", "answers": [{"answer": "red", "answer_confidence": "yes",
"answer_id": 1}, ...], "image_id": 0, "answer_type": "other", "image": ...}
"""

from __future__ import annotations

import random

from harness_tinyworld import questions
from harness_tinyworld.minis.common import asked, ten
from harness_tinyworld.minis.table import Mini, Row, Table
from harness_tinyworld.scenes import render

COUNT = 400


def rows() -> list[Row]:
    """Make all rows."""
    askers = (questions.existence, questions.colour, questions.count, questions.shape)
    made = []
    for n, (scene, question) in enumerate(asked("vqav2", askers, COUNT)):
        right = question.right.short.lower()
        answers = ten(right, question.wrong[0].short.lower(), random.Random(n))
        kind = "yes/no" if question.yes_no else "number" if right.isdigit() else "other"
        made.append(
            {
                "question_id": n,
                "question": question.text,
                "question_type": question.kind,
                "multiple_choice_answer": right,
                "answers": [
                    {"answer": text, "answer_confidence": "yes", "answer_id": place}
                    for place, text in enumerate(answers, start=1)
                ],
                "image_id": n,
                "answer_type": kind,
                "image": render(scene),
            }
        )
    return made


COLUMNS = {
    "question_id": "int64",
    "question": "string",
    "question_type": "string",
    "multiple_choice_answer": "string",
    "answers": [{"answer": "string", "answer_confidence": "string", "answer_id": "int64"}],
    "image_id": "int64",
    "answer_type": "string",
    "image": "image",
}
MINI = Mini(
    "VQAv2",
    f"{COUNT} short questions about drawn images, ten answers each.",
    (Table(COLUMNS, rows, split="validation"),),
)
