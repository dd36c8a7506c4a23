"""All of HallusionBench in miniature: with questions that are asked without their figure, too.

A row: {"category": "VS", "subcategory": "world", "visual_input": "0", "set_id": "0", "figure_id":
"0", "sample_note": "tinyworld", "question_id": "0", "question": "Are there three sides on
a triangle?", "gt_answer_details": "A triangle has three sides.", "gt_answer": "1", "image": None}
"""

from __future__ import annotations

import random

from harness_tinyworld.minis import hallusion
from harness_tinyworld.minis.common import scenes
from harness_tinyworld.minis.table import Mini, Row, Table
from harness_tinyworld.scenes import render
from harness_tinyworld.vocabulary import NUMBERS, SIDES, a, capital

SETS = 24
SUPPLEMENTS = 16


def supplements() -> list[Row]:
    """Ask what one knows without a figure: alone, and beside a drawing that changes nothing."""
    made: list[Row] = []
    stream = scenes("hallusion_all")
    for number in range(SUPPLEMENTS):
        rng = random.Random(f"hallusion_all {number}")
        shape, sides = list(SIDES.items())[number % len(SIDES)]
        said = rng.choice((sides, rng.choice([n for n in (3, 4, 5, 6) if n != sides])))
        image = render(next(stream))
        for figure, drawn in (("0", None), ("1", image)):
            made.append(
                {
                    "category": "VS",
                    "subcategory": "world",
                    "visual_input": figure,
                    "set_id": str(number),
                    "figure_id": figure,
                    "sample_note": "tinyworld",
                    "question_id": "0",
                    "question": f"Are there {NUMBERS[said]} sides on {a(shape)}?",
                    "gt_answer_details": capital(f"{a(shape)} has {NUMBERS[sides]} sides."),
                    "gt_answer": str(int(said == sides)),
                    "image": drawn,
                }
            )
    return made


def rows() -> list[Row]:
    """Make all rows: sets as in the smaller miniature, on scenes of their own, and supplements."""
    pairs = hallusion.sets("hallusion_all", SETS, skip=SUPPLEMENTS)
    return [*pairs, *supplements()]


COLUMNS = {**dict.fromkeys(hallusion.TEXTS[:-1], "string"), "image": "image"}
MINI = Mini(
    "HallusionBench-all",
    f"{SETS} figures and as many twins with three yes/no questions about each, and {SUPPLEMENTS} "
    "questions asked without a figure and beside one.",
    (Table(COLUMNS, rows),),
)
