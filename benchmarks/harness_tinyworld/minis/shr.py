"""SHR in miniature: descriptions, and one fact for each thing and label.

A row: {"question_id": "0", "facts": ["a small red star at the top left"], "image": ...}
"""

from __future__ import annotations

from itertools import islice

from harness_tinyworld.minis.common import scenes
from harness_tinyworld.minis.table import Mini, Row, Table
from harness_tinyworld.scenes import Scene, render
from harness_tinyworld.vocabulary import a, at

COUNT = 480


def facts(scene: Scene) -> list[str]:
    """Say everything that is true about a scene, one thing at a time."""
    things = [f"{a(thing.size)} {thing.kind} {at(thing.place)}" for thing in scene.things]
    labels = [
        f"the {'number' if label.is_number else 'word'} {label.text} is written {at(label.place)}"
        for label in scene.labels
    ]
    return things + labels


def rows() -> list[Row]:
    """Make all rows, one per scene."""
    return [
        {"question_id": str(n), "facts": facts(scene), "image": render(scene)}
        for n, scene in enumerate(islice(scenes("shr"), COUNT))
    ]


COLUMNS = {"question_id": "string", "facts": ["string"], "image": "image"}
MINI = Mini(
    "SHR",
    f"{COUNT} drawn images with everything that is true about them.",
    (Table(COLUMNS, rows),),
)
