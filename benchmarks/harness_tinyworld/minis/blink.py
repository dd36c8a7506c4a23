"""BLINK in miniature: its fourteen tasks as configs, half of them with a second image.

A row: {"idx": "val_Counting_1", "sub_task": "Counting", "question": "How many stars are there?",
"choices": ["1", "2", "3", "4"], "answer": "(B)", "prompt": "How many ...", "image_1": ...,
"image_2": None, ...}
"""

from __future__ import annotations

import random
from functools import cache, partial

from harness_tinyworld import questions
from harness_tinyworld.minis.common import asked, four_options, options_of
from harness_tinyworld.minis.table import Mini, Row, Table
from harness_tinyworld.scenes import render

EACH = 4
ONE = {
    "Counting": questions.count,
    "IQ_Test": questions.sides,
    "Object_Localization": questions.position,
    "Relative_Depth": questions.neighbour,
    "Relative_Reflectance": questions.colour,
    "Spatial_Relation": questions.position,
    "Functional_Correspondence": questions.shape,
}
TWO = {
    "Art_Style": questions.colour,
    "Forensic_Detection": questions.shape,
    "Jigsaw": questions.position,
    "Multi-view_Reasoning": questions.neighbour,
    "Semantic_Correspondence": questions.shape,
    "Visual_Correspondence": questions.position,
    "Visual_Similarity": questions.colour,
}
TASKS = {name: asker for name, asker in sorted({**ONE, **TWO}.items())}


@cache
def _rows() -> tuple[Row, ...]:
    made: list[Row] = []
    drawn = asked("blink", list(TASKS.values()), EACH * len(TASKS), four_options)
    images = [render(scene) for scene, _ in drawn]
    for n, (_, question) in enumerate(drawn):
        task = list(TASKS)[n % len(TASKS)]
        options, right = options_of(question, random.Random(f"blink {n}"))
        listed = "\n".join(f"({x}) {text}" for x, text in zip("ABCD", options, strict=True))
        shown = [images[n]] if task in ONE else [images[n - 1], images[n]]
        text = question.text if task in ONE else f"In the second image: {question.text}"
        made.append(
            {
                "idx": f"val_{task}_{n // len(TASKS) + 1}",
                "sub_task": task,
                "question": text,
                "choices": options,
                "answer": f"({'ABCD'[right]})",
                "prompt": f"{text}\nSelect from the following choices.\n{listed}",
                **{f"image_{place + 1}": dict(enumerate(shown)).get(place) for place in range(4)},
            }
        )
    return tuple(made)


def rows_of(task: str) -> list[Row]:
    """Return the rows of one task."""
    return [row for row in _rows() if row["sub_task"] == task]


COLUMNS = {
    **dict.fromkeys(("idx", "sub_task", "question", "answer", "prompt"), "string"),
    "choices": ["string"],
    **{f"image_{place}": "image" for place in range(1, 5)},
}
MINI = Mini(
    "BLINK",
    f"{EACH} questions in each of the {len(TASKS)} tasks, half of them about the second of two "
    "drawn images.",
    tuple(Table(COLUMNS, partial(rows_of, task), "val", task) for task in TASKS),
)
