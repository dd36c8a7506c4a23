r"""CRPE's relations in miniature: each question in the four rotations of its options.

A row: {"question_id": 0, "category": "object", "text": "What color is the star?\nA. red\nB.
blue\nC. pink\nD. gray\nAnswer with the option's letter from the given choices directly.",
"correct_option": "A", "image": ...}
"""

from __future__ import annotations

import random

from harness_tinyworld import questions
from harness_tinyworld.formats import LETTER, lettered
from harness_tinyworld.minis.common import asked, four_options, options_of
from harness_tinyworld.minis.table import Mini, Row, Table
from harness_tinyworld.scenes import render

QUESTIONS = 30
CATEGORIES = {
    "subject": questions.neighbour,
    "predicate": questions.position,
    "object": questions.shape,
}


def rows() -> list[Row]:
    """Make all rows, the rotations of a question one after another."""
    made: list[Row] = []
    drawn = asked("crpe", list(CATEGORIES.values()), QUESTIONS, four_options)
    for n, (scene, question) in enumerate(drawn):
        options, right = options_of(question, random.Random(f"crpe {n}"))
        image = render(scene)
        for turn in range(4):
            turned = options[turn:] + options[:turn]
            made.append(
                {
                    "question_id": len(made),
                    "category": list(CATEGORIES)[n % len(CATEGORIES)],
                    "text": f"{question.text}\n{lettered(turned)}{LETTER}",
                    "correct_option": "ABCD"[(right - turn) % 4],
                    "image": image,
                }
            )
    return made


COLUMNS = {
    "question_id": "int64",
    **dict.fromkeys(("category", "text", "correct_option"), "string"),
    "image": "image",
}
MINI = Mini(
    "CRPE",
    f"{QUESTIONS} questions about as many drawn images, in every rotation of their options.",
    (Table(COLUMNS, rows),),
)
