"""NaturalBench in miniature: a figure, a twin with one thing recoloured, one question for each.

A row: {"Index": 0, "Question": "Is there a red star in the image?", "Question_Type": "yes_no",
"Image": ...}; four in a row are a group, and their answers are yes, no, no, yes.
"""

from __future__ import annotations

import random

from harness_tinyworld.minis.common import scenes
from harness_tinyworld.minis.hallusion import recoloured
from harness_tinyworld.minis.table import Mini, Row, Table
from harness_tinyworld.scenes import render
from harness_tinyworld.vocabulary import a

GROUPS = 120


def rows() -> list[Row]:
    """Make all rows: each question asks for the thing that only one of the figures has."""
    made: list[Row] = []
    for scene in scenes("naturalbench"):
        if len(made) == 4 * GROUPS:
            break
        twin = recoloured(scene, random.Random(f"naturalbench {scene.seed}"))
        if twin is None:
            continue
        images = [render(figure) for figure in (scene, twin)]
        for figure in (scene, twin):
            made += [
                {
                    "Index": len(made) + place,
                    "Question": f"Is there {a(figure.things[-1].kind)} in the image?",
                    "Question_Type": "yes_no",
                    "Image": image,
                }
                for place, image in enumerate(images)
            ]
    return made


COLUMNS = {"Index": "int64", "Question": "string", "Question_Type": "string", "Image": "image"}
MINI = Mini(
    "NaturalBench-lmms-eval",
    f"{GROUPS} groups of two images and two yes/no questions.",
    (Table(COLUMNS, rows),),
)
