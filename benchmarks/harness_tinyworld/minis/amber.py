"""AMBER's generative part in miniature: what is there, and what one would expect to be there.

A row: {"question_id": 1, "truth": ["red star"], "hallu": ["blue star"], "task_type":
"generative", "image": ...}
"""

from __future__ import annotations

import json
from itertools import islice

from harness_tinyworld.minis.common import KINDS, scenes
from harness_tinyworld.minis.table import Mini, Row, Table
from harness_tinyworld.scenes import Scene, render
from harness_tinyworld.vocabulary import THEMES

COUNT = 400


def expected(scene: Scene) -> list[str]:
    """Return the kinds that are often drawn together with those of a scene, and are not there."""
    themes = [theme.split(", ") for theme in THEMES]
    usual = {kind for theme in themes if scene.kinds & set(theme) for kind in theme}
    return sorted(usual - scene.kinds)


def rows() -> list[Row]:
    """Make all rows, one per scene that brings something to mind."""
    fitting = (scene for scene in scenes("amber") if expected(scene))
    return [
        {
            "question_id": n,
            "truth": sorted(scene.kinds),
            "hallu": expected(scene),
            "task_type": "generative",
            "image": render(scene),
        }
        for n, scene in enumerate(islice(fitting, COUNT), start=1)
    ]


COLUMNS = {
    "question_id": "int64",
    "truth": ["string"],
    "hallu": ["string"],
    "task_type": "string",
    "image": "image",
}
MINI = Mini(
    "amber_g",
    f"{COUNT} drawn images with what is on them and what usually goes with it.",
    (Table(COLUMNS, rows, split="train"),),
    extra={
        "metadata/relation.json": json.dumps({kind: [] for kind in KINDS}, indent=0) + "\n",
        "metadata/safe_words.txt": "image\n",
    },
)
