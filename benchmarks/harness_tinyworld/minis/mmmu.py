"""MMMU in miniature: options in four subjects, and open questions.

A row: {"id": "validation_Math_1", "question": "<image 1> What is the sum of the two numbers?",
"options": "['7', '9', '4', '8']", "answer": "B", "question_type": "multiple-choice", "subfield":
"tinyworld", "image_1": ..., "image_2": None, ...}
"""

from __future__ import annotations

import random

from harness_tinyworld import questions, reading
from harness_tinyworld.minis.common import asked, four_options, options_of
from harness_tinyworld.minis.table import Mini, Row, Table
from harness_tinyworld.scenes import render

COUNT = 80
SUBJECTS = {
    "Design": questions.colour,
    "Art": questions.shape,
    "Math": questions.sides,
    "Literature": reading.word,
    "Economics": reading.arithmetic,
}
OPEN = 5  # every fifth question of a subject is open


def rows() -> list[Row]:
    """Make all rows."""
    made: list[Row] = []
    drawn = asked("mmmu", list(SUBJECTS.values()), COUNT, four_options)
    for n, (scene, question) in enumerate(drawn):
        options, right = options_of(question, random.Random(f"mmmu {n}"))
        turn, subject = n // len(SUBJECTS), list(SUBJECTS)[n % len(SUBJECTS)]
        is_open = turn % OPEN == OPEN - 1
        made.append(
            {
                "id": f"validation_{subject}_{turn + 1}",
                "question": f"<image 1> {question.text}",
                "options": "[]" if is_open else str(options),
                "explanation": "",
                "image_1": render(scene),
                **{f"image_{place}": None for place in range(2, 8)},
                "answer": question.right.short if is_open else "ABCD"[right],
                "question_type": "open" if is_open else "multiple-choice",
                "subfield": "tinyworld",
            }
        )
    return made


TEXTS = ("id", "question", "options", "explanation", "answer", "question_type", "subfield")
COLUMNS = {
    **dict.fromkeys(TEXTS, "string"),
    **{f"image_{place}": "image" for place in range(1, 8)},
}
MINI = Mini(
    "MMMU",
    f"{COUNT} questions in {len(SUBJECTS)} of the thirty subjects, a fifth of them open.",
    (Table(COLUMNS, rows, split="validation"),),
)
