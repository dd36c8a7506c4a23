r"""RealWorldQA in miniature: options in the question, and short answers.

A row: {"question": "What color is the star?\nA. red\nB. blue\nC. pink\nPlease answer directly
with only the letter of the correct option and nothing else.", "answer": "B", "image": ...}
"""

from __future__ import annotations

import random

from harness_tinyworld import questions
from harness_tinyworld.formats import lettered, shuffled
from harness_tinyworld.minis.common import asked, four_options
from harness_tinyworld.minis.table import Mini, Row, Table
from harness_tinyworld.scenes import render

COUNT = 80
ASKERS = (questions.colour, questions.count, questions.position, questions.side)
LETTER = "Please answer directly with only the letter of the correct option and nothing else."
WORD = "Please answer directly with a single word or number."


def rows() -> list[Row]:
    """Make all rows; counts are asked openly, as there."""
    made: list[Row] = []
    fits = asked(
        "realworldqa", ASKERS, COUNT, lambda question: question.yes_no or four_options(question)
    )
    for n, (scene, question) in enumerate(fits):
        text, answer = f"{question.text}\n\n{WORD}", question.right.short
        if question.kind != "count":
            options, answer = shuffled(question, random.Random(f"realworldqa {n}"), 3)
            text = f"{question.text}\n\n{lettered(options)}\n{LETTER}"
        made.append({"question": text, "answer": answer, "image": render(scene)})
    return made


MINI = Mini(
    "RealWorldQA",
    f"{COUNT} questions about as many drawn images, three quarters of them with options.",
    (Table({"question": "string", "answer": "string", "image": "image"}, rows),),
)
