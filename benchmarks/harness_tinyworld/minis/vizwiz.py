"""VizWiz in miniature: short questions, a quarter of which cannot be answered.

A row: {"question_id": "v_0.jpg", "question": "What color is the star?", "answers":
["red", ...], "category": "other", "image": ...}
"""

from __future__ import annotations

import random

from harness_tinyworld import questions, reading
from harness_tinyworld.minis.common import asked, ten
from harness_tinyworld.minis.table import Mini, Row, Table
from harness_tinyworld.scenes import render

COUNT = 400


def rows() -> list[Row]:
    """Make all rows."""
    askers = (questions.colour, questions.shape, questions.count, reading.unanswerable)
    made = []
    for n, (scene, question) in enumerate(asked("vizwiz", askers, COUNT)):
        right = question.right.short.lower()
        made.append(
            {
                "question_id": f"v_{n}.jpg",
                "question": question.text,
                "answers": ten(right, question.wrong[0].short.lower(), random.Random(n)),
                "category": "number"
                if right.isdigit()
                else right
                if right == "unanswerable"
                else "other",
                "image": render(scene),
            }
        )
    return made


COLUMNS = {
    "question_id": "string",
    "question": "string",
    "answers": ["string"],
    "category": "string",
    "image": "image",
}
MINI = Mini(
    "VizWiz-VQA",
    f"{COUNT} short questions about drawn images, ten answers each; some cannot be answered.",
    (Table(COLUMNS, rows, split="val"),),
)
