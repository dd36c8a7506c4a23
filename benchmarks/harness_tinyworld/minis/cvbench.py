"""CV-Bench in miniature: counting and places as 2D; size, as what is near looks, for 3D.

A row: {"idx": 0, "type": "2D", "task": "Count", "source": "ADE20K", "question": "How many stars are
there?", "choices": ["1", "2", "3", "4"], "answer": "(B)", "prompt": "How many ...", "image": ...}
"""

from __future__ import annotations

import random

from harness_tinyworld import questions, relations
from harness_tinyworld.minis.common import asked
from harness_tinyworld.minis.table import Mini, Row, Table
from harness_tinyworld.scenes import render

COUNT = 80
TASKS = (
    ("2D", "Count", "ADE20K", questions.count),
    ("3D", "Depth", "Omni3D", relations.size),
    ("2D", "Relation", "COCO", questions.position),
    ("3D", "Distance", "Omni3D", questions.neighbour),
)


def rows() -> list[Row]:
    """Make all rows, the tasks taking turns."""
    made: list[Row] = []
    for n, (scene, question) in enumerate(asked("cvbench", [task[-1] for task in TASKS], COUNT)):
        kind, task, source, _ = TASKS[n % len(TASKS)]
        wrong = dict.fromkeys(answer.short for answer in question.wrong)
        options = [question.right.short, *list(wrong)[:3]]
        random.Random(f"cvbench {n}").shuffle(options)
        listed = "\n".join(f"({x}) {text}" for x, text in zip("ABCD", options, strict=False))
        made.append(
            {
                "idx": n,
                "type": kind,
                "task": task,
                "source": source,
                "question": question.text,
                "choices": options,
                "answer": f"({'ABCD'[options.index(question.right.short)]})",
                "prompt": f"{question.text} Select from the following choices.\n{listed}",
                "image": render(scene),
            }
        )
    return made


TEXTS = ("type", "task", "source", "question", "answer", "prompt")
COLUMNS = {
    "idx": "int64",
    **dict.fromkeys(TEXTS, "string"),
    "choices": ["string"],
    "image": "image",
}
MINI = Mini(
    "CV-Bench",
    f"{COUNT} questions with options about as many drawn images, in the four tasks.",
    (Table(COLUMNS, rows),),
)
