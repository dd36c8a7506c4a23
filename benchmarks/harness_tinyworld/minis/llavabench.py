"""LLaVA-Bench in miniature: conversation, detailed description and reasoning, equally many.

A row: {"question_id": 0, "question": "What color is the star?", "caption": "A red star.",
"gpt_answer": "The star is red.", "category": "conv", "image_id": "000", "image": ...}
"""

from __future__ import annotations

import random

from harness_tinyworld import describe, questions, relations
from harness_tinyworld.minis.common import scenes
from harness_tinyworld.minis.table import Mini, Row, Table
from harness_tinyworld.questions import Asker
from harness_tinyworld.scenes import render

EACH = 160
CATEGORIES: dict[str, Asker] = {
    "conv": questions.colour,
    "detail": describe.description,
    "complex": relations.together,
}


def rows() -> list[Row]:
    """Make all rows, each on a scene of its own."""
    made: list[Row] = []
    stream = scenes("llavabench")
    for category, asker in CATEGORIES.items():
        wanted = len(made) + EACH
        while len(made) < wanted:
            scene = next(stream)
            question = asker(scene, random.Random(f"llavabench {scene.seed}"))
            if question is None:
                continue
            made.append(
                {
                    "question_id": len(made),
                    "question": question.text,
                    "caption": describe.caption(scene),
                    "gpt_answer": question.right.sentence,
                    "category": category,
                    "image_id": f"{len(made):03d}",
                    "image": render(scene),
                }
            )
    return made


COLUMNS = {
    "question_id": "int64",
    "question": "string",
    "caption": "string",
    "gpt_answer": "string",
    "category": "string",
    "image_id": "string",
    "image": "image",
}
MINI = Mini(
    "llava-bench-in-the-wild",
    f"{EACH * len(CATEGORIES)} open questions of three kinds about as many drawn images.",
    (Table(COLUMNS, rows, split="train"),),
)
