"""HallusionBench in miniature: a figure, a twin with one thing recoloured, three questions on both.

A row: {"category": "VD", "subcategory": "colour", "visual_input": "1", "set_id": "0", "figure_id":
"0", "sample_note": "tinyworld", "question_id": "0", "question": "Is there a red star in the
image?", "gt_answer_details": "There is a red star in the image.", "gt_answer": "1",
"filename": "0_0.png", "image": ...}
"""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import islice

from harness_tinyworld.minis.common import KINDS, scenes
from harness_tinyworld.minis.table import Mini, Row, Table
from harness_tinyworld.scenes import Scene, render
from harness_tinyworld.vocabulary import COLOURS, a, capital

SETS = 80


def recoloured(scene: Scene, rng: random.Random) -> Scene | None:
    """Give the thing in front a colour that makes a kind not yet there; None if none was."""
    thing = scene.things[-1]
    free = [c for c in COLOURS if f"{c} {thing.shape}" not in scene.kinds]
    alike = sum(other.kind == thing.kind for other in scene.things)
    if alike > 1 or len(scene.kinds) < 2:
        return None
    colour = rng.choice(free)
    _, *tint = COLOURS[colour]
    twin = replace(thing, colour=colour, tint=tuple(tint))
    return replace(scene, things=(*scene.things[:-1], twin))


def _row(place: tuple[int, int, int], figure: Scene, kind: str) -> Row:
    number, which, question = map(str, place)
    there = kind in figure.kinds
    return {
        "category": "VD",
        "subcategory": "colour",
        "visual_input": "1" if which == "0" else "2",
        "set_id": number,
        "figure_id": which,
        "sample_note": "tinyworld",
        "question_id": question,
        "question": f"Is there {a(kind)} in the image?",
        "gt_answer_details": capital(
            f"there is {a(kind) if there else f'no {kind}'} in the image."
        ),
        "gt_answer": str(int(there)),
        "filename": f"{number}_{which}.png",
        "image": render(figure),
    }


def rows() -> list[Row]:
    """Make all rows."""
    return sets("hallusion", SETS)


def sets(name: str, count: int, skip: int = 0) -> list[Row]:
    """Ask for a kind that only one figure has, one that both have, and one that neither has."""
    made: list[Row] = []
    number = 0
    for scene in islice(scenes(name), skip, None):
        if number == count:
            break
        rng = random.Random(f"hallusion {scene.seed}")
        twin = recoloured(scene, rng)
        if twin is None:
            continue
        both = sorted(scene.kinds & twin.kinds)
        neither = [kind for kind in KINDS if kind not in scene.kinds | twin.kinds]
        kinds = (scene.things[-1].kind, rng.choice(both), rng.choice(neither))
        for which, figure in enumerate((scene, twin)):
            made += [_row((number, which, n), figure, kind) for n, kind in enumerate(kinds)]
        number += 1
    return made


TEXTS = (
    *("category", "subcategory", "visual_input", "set_id", "figure_id", "sample_note"),
    *("question_id", "question", "gt_answer_details", "gt_answer", "filename"),
)
COLUMNS = {**dict.fromkeys(TEXTS, "string"), "image": "image"}
MINI = Mini(
    "HallusionBench",
    f"{SETS} figures and as many twins, with three yes/no questions about each.",
    (Table(COLUMNS, rows, split="image"),),
)
