"""MMVP in miniature: pairs of figures that differ in one thing's colour, and a question on it.

A row: {"Index": 1, "Question": "Which of these is in the image?", "Options": "(a) A red star (b) A
blue star", "Correct Answer": "(a)", "image": ...}; rows 1 and 2 are a pair, and so on.
"""

from __future__ import annotations

import random

from harness_tinyworld.minis.common import scenes
from harness_tinyworld.minis.hallusion import recoloured
from harness_tinyworld.minis.table import Mini, Row, Table
from harness_tinyworld.scenes import render
from harness_tinyworld.vocabulary import a, capital

PAIRS = 240


def rows() -> list[Row]:
    """Make all rows."""
    made: list[Row] = []
    for scene in scenes("mmvp"):
        if len(made) == 2 * PAIRS:
            break
        twin = recoloured(scene, random.Random(f"mmvp {scene.seed}"))
        if twin is None:
            continue
        kinds = [capital(a(figure.things[-1].kind)) for figure in (scene, twin)]
        for figure, right in ((scene, "(a)"), (twin, "(b)")):
            made.append(
                {
                    "Index": len(made) + 1,
                    "Question": "Which of these is in the image?",
                    "Options": f"(a) {kinds[0]} (b) {kinds[1]}",
                    "Correct Answer": right,
                    "image": render(figure),
                }
            )
    return made


TEXTS = ("Question", "Options", "Correct Answer")
COLUMNS = {"Index": "int64", **dict.fromkeys(TEXTS, "string"), "image": "image"}
MINI = Mini(
    "MMVP",
    f"{PAIRS} pairs of figures that differ in one thing, with one question a pair.",
    (Table(COLUMNS, rows, split="train"),),
)
