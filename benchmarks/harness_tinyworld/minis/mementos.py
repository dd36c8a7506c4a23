"""Mementos in miniature: two frames side by side, of which one thing changes its place.

Nothing acts in the small world, so a thing's "behavior" is where it is; behaviors.txt lists the
nine places. A row: {"question_id": "0", "domain": "robotics", "description": "The image shows ...",
"objects": ["red star"], "behaviors": ["top left", "right"], "image": ...}
"""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np

from harness_tinyworld import describe
from harness_tinyworld.minis.common import scenes, synonyms
from harness_tinyworld.minis.table import Mini, Row, Table
from harness_tinyworld.scenes import SIDE, Scene, render
from harness_tinyworld.vocabulary import PLACES

COUNT = 480
DOMAINS = ("daily-life", "robotics", "comics")


def moved(scene: Scene) -> Scene:
    """Put the thing in front somewhere else, where it still lies wholly inside."""
    rng = random.Random(f"mementos {scene.seed}")
    thing = scene.things[-1]
    inside = thing.radius + 1, SIDE - thing.radius - 1
    x, y = rng.uniform(*inside), rng.uniform(*inside)
    return replace(scene, things=(*scene.things[:-1], replace(thing, x=x, y=y)))


def rows() -> list[Row]:
    """Make all rows."""
    made: list[Row] = []
    for scene in scenes("mementos"):
        if len(made) == COUNT:
            break
        after = moved(scene)
        if scene.labels or after.things[-1].place == scene.things[-1].place:
            continue
        places = dict.fromkeys(thing.place for thing in (*scene.things, *after.things))
        made.append(
            {
                "question_id": str(len(made)),
                "domain": DOMAINS[len(made) % len(DOMAINS)],
                "description": f"{describe.detail(scene)} Then: {describe.detail(after)}",
                "objects": sorted(scene.kinds),
                "behaviors": list(places),
                "image": np.concatenate([render(scene), render(after)], axis=1),
            }
        )
    return made


COLUMNS = {
    "question_id": "string",
    "domain": "string",
    "description": "string",
    "objects": ["string"],
    "behaviors": ["string"],
    "image": "image",
}
MINI = Mini(
    "Mementos",
    f"{COUNT} sequences of two drawn frames, with what is on them and where.",
    (Table(COLUMNS, rows, split="val"),),
    extra={
        "objects.txt": synonyms(),
        "behaviors.txt": "".join(f"{place}\n" for row in PLACES for place in row),
    },
)
