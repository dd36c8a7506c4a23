"""MathVista in miniature: whole numbers to be found, and options.

A row: {"pid": "1", "question": "What is the sum of the two numbers?", "choices": [], "unit": None,
"precision": None, "answer": "12", "question_type": "free_form", "answer_type": "integer",
"metadata": {"category": "general-vqa", ...}, "query": "...", "decoded_image": ...}
"""

from __future__ import annotations

import random

from harness_tinyworld import questions, reading, relations
from harness_tinyworld.formats import LETTER, SHORT, lettered
from harness_tinyworld.minis.common import asked, four_options, options_of
from harness_tinyworld.minis.table import Mini, Row, Table
from harness_tinyworld.scenes import render

COUNT = 80
TASKS = {
    "figure question answering": reading.arithmetic,
    "geometry problem solving": questions.sides,
    "math word problem": relations.together,
    "visual question answering": questions.count,
}


def rows() -> list[Row]:
    """Make all rows; every other round of tasks has options."""
    made: list[Row] = []
    drawn = asked("mathvista", list(TASKS.values()), COUNT, four_options)
    for n, (scene, question) in enumerate(drawn):
        options, _ = options_of(question, random.Random(f"mathvista {n}"))
        listed = f"\n{lettered(options)}{LETTER}"
        free = n // len(TASKS) % 2 == 0
        about = {
            "category": "general-vqa",
            "context": "synthetic scene",
            "grade": "elementary school",
            "language": "english",
            "skills": ["arithmetic reasoning"],
            "source": "tinyworld",
            "split": "testmini",
            "task": list(TASKS)[n % len(TASKS)],
        }
        made.append(
            {
                "pid": str(n + 1),
                "question": question.text,
                "decoded_image": render(scene),
                "choices": [] if free else options,
                "unit": None,
                "precision": None,
                "answer": question.right.short,
                "question_type": "free_form" if free else "multi_choice",
                "answer_type": "integer" if free else "text",
                "metadata": about,
                "query": f"{question.text}{SHORT if free else listed}",
            }
        )
    return made


ABOUT = ("category", "context", "grade", "language", "source", "split", "task")
COLUMNS = {
    **dict.fromkeys(("pid", "question", "unit", "answer", "query"), "string"),
    **dict.fromkeys(("question_type", "answer_type"), "string"),
    "precision": "float64",
    "choices": ["string"],
    "metadata": {**dict.fromkeys(ABOUT, "string"), "skills": ["string"]},
    "decoded_image": "image",
}
MINI = Mini(
    "MathVista",
    f"{COUNT} questions about as many drawn images, half of them with options.",
    (Table(COLUMNS, rows, split="testmini"),),
)
