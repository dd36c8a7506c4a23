"""MMHal-Bench in miniature: its eight kinds of question, equally many.

A row: {"question_id": "0", "question_type": "attribute", "question_topic": "shapes", "question":
"What color is the star?", "gt_answer": "The star is red.", "image_content": ["red star"],
"image_id": "m0", "image": ...}
"""

from __future__ import annotations

import random

from harness_tinyworld import describe, questions, reading, relations
from harness_tinyworld.minis.common import scenes
from harness_tinyworld.minis.table import Mini, Row, Table
from harness_tinyworld.questions import Asker
from harness_tinyworld.scenes import render

EACH = 60
TYPES: dict[str, Asker] = {
    "attribute": questions.colour,
    "adversarial": reading.unanswerable,
    "comparison": relations.size,
    "counting": questions.count,
    "relation": relations.relation,
    "environment": describe.half,
    "holistic": describe.brief,
    "other": reading.word,
}


def rows() -> list[Row]:
    """Make all rows, each on a scene of its own."""
    made: list[Row] = []
    stream = scenes("mmhal")
    for kind, asker in TYPES.items():
        wanted = len(made) + EACH
        while len(made) < wanted:
            scene = next(stream)
            question = asker(scene, random.Random(f"mmhal {scene.seed}"))
            if question is None:
                continue
            made.append(
                {
                    "question_id": str(len(made)),
                    "question_type": kind,
                    "question_topic": "shapes",
                    "question": question.text,
                    "gt_answer": question.right.sentence,
                    "image_content": sorted(scene.kinds),
                    "image_id": f"m{len(made)}",
                    "image": render(scene),
                }
            )
    return made


TEXTS = ("question_id", "question_type", "question_topic", "question", "gt_answer")
COLUMNS = {
    **dict.fromkeys(TEXTS, "string"),
    "image_content": ["string"],
    "image_id": "string",
    "image": "image",
}
MINI = Mini(
    "MMHal-Bench",
    f"{EACH * len(TYPES)} questions of {len(TYPES)} kinds about as many drawn images.",
    (Table(COLUMNS, rows),),
)
