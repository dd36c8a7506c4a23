"""OCRBench in miniature: written words and numbers, in four of its five parts.

A row: {"dataset": "tinyworld", "question": "What word is written in the image?", "question_type":
"Regular Text Recognition", "answer": ["CAT"], "image": ...}
"""

from __future__ import annotations

from harness_tinyworld import reading
from harness_tinyworld.minis.common import asked
from harness_tinyworld.minis.table import Mini, Row, Table
from harness_tinyworld.scenes import render

COUNT = 80
TYPES = {
    "Regular Text Recognition": reading.word,
    "Digit String Recognition": reading.number,
    "Scene Text-centric VQA": reading.text_place,
    "Doc-oriented VQA": reading.arithmetic,
    "Key Information Extraction": reading.category,
}


def rows() -> list[Row]:
    """Make all rows."""
    return [
        {
            "dataset": "tinyworld",
            "question": question.text,
            "question_type": list(TYPES)[n % len(TYPES)],
            "answer": [question.right.short],
            "image": render(scene),
        }
        for n, (scene, question) in enumerate(asked("ocrbench", list(TYPES.values()), COUNT))
    ]


COLUMNS = {
    **dict.fromkeys(("dataset", "question", "question_type"), "string"),
    "answer": ["string"],
    "image": "image",
}
MINI = Mini(
    "OCRBench",
    f"{COUNT} questions about what is written in as many drawn images.",
    (Table(COLUMNS, rows),),
)
