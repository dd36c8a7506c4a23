"""GQA in miniature: questions in one table, images in another.

A row of the questions: {"id": "0", "imageId": "g0", "question": "Is there a red star in the
image?", "isBalanced": true, "answer": "yes", "fullAnswer": "Yes, there is a red star."}
"""

from __future__ import annotations

import random
from itertools import islice

from harness_tinyworld import questions
from harness_tinyworld.minis.common import scenes
from harness_tinyworld.minis.table import Mini, Row, Table
from harness_tinyworld.questions import Asker
from harness_tinyworld.scenes import Scene, render

IMAGES = 160
ASKERS: tuple[Asker, ...] = (questions.existence, questions.attribute, questions.neighbour)


def _drawn() -> list[Scene]:
    def fits(scene: Scene) -> bool:
        return all(asker(scene, random.Random(scene.seed)) for asker in ASKERS)

    return list(islice(filter(fits, scenes("gqa")), IMAGES))


def rows() -> list[Row]:
    """Make the questions, three about each image."""
    made: list[Row] = []
    for n, scene in enumerate(_drawn()):
        for asker in ASKERS:
            question = asker(scene, random.Random(scene.seed))
            assert question is not None
            made.append(
                {
                    "id": str(len(made)),
                    "imageId": f"g{n}",
                    "question": question.text,
                    "isBalanced": True,
                    "answer": question.right.short.lower(),
                    "fullAnswer": question.right.sentence,
                }
            )
    return made


def images() -> list[Row]:
    """Make the images."""
    return [{"id": f"g{n}", "image": render(scene)} for n, scene in enumerate(_drawn())]


COLUMNS = {
    "id": "string",
    "imageId": "string",
    "question": "string",
    "isBalanced": "bool",
    "answer": "string",
    "fullAnswer": "string",
}
MINI = Mini(
    "GQA",
    f"{IMAGES * len(ASKERS)} questions about {IMAGES} drawn images, which lie in a second table.",
    (
        Table(COLUMNS, rows, split="testdev", config="testdev_balanced_instructions"),
        Table(
            {"id": "string", "image": "image"},
            images,
            split="testdev",
            config="testdev_balanced_images",
        ),
    ),
)
