"""TextVQA in miniature: questions about the word or number that is written.

A row: {"question_id": 0, "question": "What word is written in the image?", "image_id": "t0",
"ocr_tokens": ["CAT"], "answers": ["cat", ...], "image": ...}
"""

from __future__ import annotations

import random

from harness_tinyworld import reading
from harness_tinyworld.minis.common import asked, ten
from harness_tinyworld.minis.table import Mini, Row, Table
from harness_tinyworld.scenes import render

COUNT = 480


def rows() -> list[Row]:
    """Make all rows."""
    askers = (reading.word, reading.number, reading.word, reading.category)
    return [
        {
            "question_id": n,
            "question": question.text,
            "image_id": f"t{n}",
            "ocr_tokens": [label.text for label in scene.labels],
            "answers": ten(
                question.right.short.lower(), question.wrong[0].short.lower(), random.Random(n)
            ),
            "image": render(scene),
        }
        for n, (scene, question) in enumerate(asked("textvqa", askers, COUNT))
    ]


COLUMNS = {
    "question_id": "int64",
    "question": "string",
    "image_id": "string",
    "ocr_tokens": ["string"],
    "answers": ["string"],
    "image": "image",
}
MINI = Mini(
    "textvqa",
    f"{COUNT} questions about what is written in drawn images, ten answers each.",
    (Table(COLUMNS, rows, split="validation"),),
)
