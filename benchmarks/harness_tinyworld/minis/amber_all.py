"""AMBER in miniature: each image is described, and asked about existence, attribute and relation.

A row: {"question_id": 2, "kind": "existence", "question": "Is there a blue star in this image?",
"truth": ["no"], "hallu": [], "image": ...}
"""

from __future__ import annotations

import random

from harness_tinyworld import questions, relations
from harness_tinyworld.minis.amber import MINI as GENERATIVE
from harness_tinyworld.minis.amber import expected
from harness_tinyworld.minis.common import scenes
from harness_tinyworld.minis.mme import pair
from harness_tinyworld.minis.table import Mini, Row, Table
from harness_tinyworld.questions import absent_kind
from harness_tinyworld.scenes import Scene, render
from harness_tinyworld.vocabulary import a

SCENES = 48
PAIRS = {
    "attribute-state": questions.attribute,
    "attribute-number": questions.count_check,
    "relation": relations.relation,
}


def about(scene: Scene) -> list[tuple[str, str, str]]:
    """Ask about a scene: kind, question and answer; existence of two things that are absent."""
    rng = random.Random(f"amber_all {scene.seed}")
    absent = sorted({absent_kind(scene, rng) for _ in range(9)})[:2]
    asked = [("existence", f"Is there {a(kind)} in this image?", "no") for kind in absent]
    for kind, asker in PAIRS.items():
        asked += [(kind, q.text, q.right.short.lower()) for q in pair(asker, scene)]
    return asked


def rows() -> list[Row]:
    """Make all rows, those of an image together."""
    made: list[Row] = []
    drawn = 0
    for scene in scenes("amber_all"):
        asked = about(scene)
        if drawn == SCENES:
            break
        if len(asked) < 8 or not expected(scene):
            continue
        drawn += 1
        image = render(scene)
        described = ("generative", "Describe this image.", sorted(scene.kinds), expected(scene))
        every = [described, *((kind, text, [right], []) for kind, text, right in asked)]
        for kind, text, truth, hallu in every:
            made.append(
                {
                    "question_id": len(made) + 1,
                    "kind": kind,
                    "question": text,
                    "truth": truth,
                    "hallu": hallu,
                    "image": image,
                }
            )
    return made


COLUMNS = {
    "question_id": "int64",
    "kind": "string",
    "question": "string",
    "truth": ["string"],
    "hallu": ["string"],
    "image": "image",
}
MINI = Mini(
    "AMBER",
    f"{SCENES} drawn images, each to be described and with eight yes/no questions.",
    (Table(COLUMNS, rows),),
    extra=GENERATIVE.extra,
)
