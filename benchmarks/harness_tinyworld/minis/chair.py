"""CHAIR in miniature: descriptions, and the coloured shapes that are really there.

A row: {"question_id": "0", "gt_object": ["red star", "blue ring"], "image": ...}
"""

from __future__ import annotations

from itertools import islice

from harness_tinyworld.minis.common import scenes, synonyms
from harness_tinyworld.minis.table import Mini, Row, Table
from harness_tinyworld.scenes import render

COUNT = 640


def rows() -> list[Row]:
    """Make all rows, one per scene."""
    return [
        {"question_id": str(n), "gt_object": sorted(scene.kinds), "image": render(scene)}
        for n, scene in enumerate(islice(scenes("chair"), COUNT))
    ]


COLUMNS = {"question_id": "string", "gt_object": ["string"], "image": "image"}
MINI = Mini(
    "mscoco_chair",
    f"{COUNT} drawn images with the kinds of things on them; synonyms.txt lists all kinds.",
    (Table(COLUMNS, rows),),
    extra={"synonyms.txt": synonyms()},
)
