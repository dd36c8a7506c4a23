"""MME in miniature: two yes/no questions per image, one of each answer, in seven of its subtasks.

A row: {"question_id": "existence/000.png", "image": ..., "question": "Is there a red star in the
image? Please answer yes or no.", "answer": "Yes", "category": "existence"}
"""

from __future__ import annotations

import random

from harness_tinyworld import questions, reading, relations
from harness_tinyworld.formats import YES_NO
from harness_tinyworld.minis.common import scenes
from harness_tinyworld.minis.table import Mini, Row, Table
from harness_tinyworld.questions import Asker, Question
from harness_tinyworld.scenes import Scene, render

IMAGES = 70
SUBTASKS: dict[str, Asker] = {
    "existence": questions.existence,
    "count": questions.count_check,
    "position": questions.side,
    "color": questions.attribute,
    "OCR": reading.word_check,
    "commonsense_reasoning": relations.relation,
    "numerical_calculation": relations.compare,
}


def pair(asker: Asker, scene: Scene) -> list[Question]:
    """Draw a question with the answer yes and one with the answer no; empty if there are none."""
    found: dict[str, Question] = {}
    for draw in range(60):
        question = asker(scene, random.Random(f"mme {scene.seed} {draw}"))
        if question is not None and question.yes_no:
            found.setdefault(question.right.short, question)
    return [found["Yes"], found["No"]] if len(found) == 2 else []


def rows() -> list[Row]:
    """Make all rows, every image in one subtask only."""
    made: list[Row] = []
    stream = scenes("mme")
    for category, asker in SUBTASKS.items():
        number = 0
        while number < IMAGES:
            scene = next(stream)
            both = pair(asker, scene)
            for question in both:
                made.append(
                    {
                        "question_id": f"{category}/{number:03d}.png",
                        "image": render(scene),
                        "question": question.text + YES_NO,
                        "answer": question.right.short,
                        "category": category,
                    }
                )
            number += bool(both)
    return made


COLUMNS = {
    "question_id": "string",
    "image": "image",
    "question": "string",
    "answer": "string",
    "category": "string",
}
MINI = Mini(
    "MME",
    f"{2 * IMAGES * len(SUBTASKS)} yes/no questions in {len(SUBTASKS)} of the 14 subtasks, two "
    "about each drawn image.",
    (Table(COLUMNS, rows),),
)
