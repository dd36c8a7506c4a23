"""SEED-Bench in miniature: multiple choice with four options; images only, no video.

A row: {"answer": "A", "choice_a": "red", "choice_b": "blue", "choice_c": "pink", "choice_d":
"gray", "data_id": "s0", "data_type": "image", "question": "What color is the star?",
"question_id": "0", "question_type_id": 1, "image": [...], "segment": []}
"""

from __future__ import annotations

import random

from harness_tinyworld import questions, reading
from harness_tinyworld.minis.common import asked, four_options, options_of
from harness_tinyworld.minis.table import Mini, Row, Table
from harness_tinyworld.scenes import render

COUNT = 400
ASKERS = (
    *(questions.colour, questions.count, questions.position),
    *(questions.shape, reading.word),
)


def rows() -> list[Row]:
    """Make all rows."""
    made = []
    for n, (scene, question) in enumerate(asked("seedbench", ASKERS, COUNT, four_options)):
        options, right = options_of(question, random.Random(f"seedbench {n}"))
        made.append(
            {
                "answer": "ABCD"[right],
                **{f"choice_{x}": text for x, text in zip("abcd", options, strict=True)},
                "data_id": f"s{n}",
                "data_type": "image",
                "question": question.text,
                "question_id": str(n),
                "question_type_id": n % len(ASKERS) + 1,
                "image": [render(scene)],
                "segment": [],
            }
        )
    return made


COLUMNS = {
    "answer": "string",
    **{f"choice_{x}": "string" for x in "abcd"},
    "data_id": "string",
    "data_type": "string",
    "question": "string",
    "question_id": "string",
    "question_type_id": "int16",
    "image": ["image"],
    "segment": ["int64"],
}
MINI = Mini(
    "SEED-Bench",
    f"{COUNT} multiple-choice questions about as many drawn images.",
    (Table(COLUMNS, rows),),
)
