"""MMStar in miniature: multiple choice with four options, in three of its capabilities.

A row: {"index": 0, "question": "What color is the star? Options: A: red, B: blue, C: pink, D: ...",
"answer": "A", "category": "fine-grained perception", "l2_category": "recognition", "image": ...}
"""

from __future__ import annotations

import random

from harness_tinyworld import questions, reading
from harness_tinyworld.minis.common import asked, four_options, options_of
from harness_tinyworld.minis.table import Mini, Row, Table
from harness_tinyworld.scenes import render

COUNT = 480
KINDS = (
    (questions.colour, "fine-grained perception", "recognition"),
    (questions.count, "fine-grained perception", "object counting"),
    (questions.position, "fine-grained perception", "localization"),
    (questions.shape, "coarse perception", "image scene and topic"),
    (reading.word, "logical reasoning", "diagram reasoning"),
)


def rows() -> list[Row]:
    """Make all rows."""
    made = []
    askers = [asker for asker, _, _ in KINDS]
    for n, (scene, question) in enumerate(asked("mmstar", askers, COUNT, four_options)):
        options, right = options_of(question, random.Random(f"mmstar {n}"))
        listed = ", ".join(f"{x}: {text}" for x, text in zip("ABCD", options, strict=True))
        _, category, narrow = KINDS[n % len(KINDS)]
        made.append(
            {
                "index": n,
                "question": f"{question.text}\nOptions: {listed}",
                "answer": "ABCD"[right],
                "category": category,
                "l2_category": narrow,
                "image": render(scene),
            }
        )
    return made


TEXTS = ("question", "answer", "category", "l2_category")
COLUMNS = {"index": "int64", **dict.fromkeys(TEXTS, "string"), "image": "image"}
MINI = Mini(
    "MMStar",
    f"{COUNT} multiple-choice questions about as many drawn images.",
    (Table(COLUMNS, rows, split="val"),),
)
