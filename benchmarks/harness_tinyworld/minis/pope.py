"""POPE in miniature: is some object there? Three ways to choose the absent ones.

A row: {"id": "0", "question_id": "1", "question": "Is there a red star in the image?",
"answer": "yes", "image_source": "tinyworld_3000000000", "image": ..., "category": "random"}
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from functools import cache, partial
from itertools import combinations

from harness_tinyworld.minis.common import first_of
from harness_tinyworld.minis.table import Mini, Row, Table
from harness_tinyworld.scenes import POPE, TRAIN, Scene, make_scene, render
from harness_tinyworld.vocabulary import COLOURS, SHAPES, a

SCENES = 160
EACH = 3  # present, and absent, kinds asked about per image and category


@cache
def _habits() -> tuple[Counter[str], Counter[tuple[str, str]]]:
    single: Counter[str] = Counter()
    double: Counter[tuple[str, str]] = Counter()
    for seed in range(TRAIN, TRAIN + 3000):
        kinds = sorted(make_scene(seed).kinds)
        single.update(kinds)
        double.update(combinations(kinds, 2))
    return single, double


def absent(scene: Scene, category: str, rng: random.Random) -> list[str]:
    """Choose kinds that are not in a scene, in the way that a category does.

    Random draws from all; popular takes the ones most often drawn anywhere; adversarial takes
    those most often drawn together with what is there.
    """
    single, double = _habits()
    everything = [f"{c} {s}" for c in COLOURS for s in SHAPES]
    others = [kind for kind in everything if kind not in scene.kinds]
    if category == "random":
        return rng.sample(others, EACH)
    if category == "popular":
        return sorted(others, key=lambda kind: (-single[kind], kind))[:EACH]

    def company(kind: str) -> int:
        return sum(double[min(kind, other), max(kind, other)] for other in scene.kinds)

    return sorted(others, key=lambda kind: (-company(kind), kind))[:EACH]


def scenes() -> Iterator[Scene]:
    """Yield the scenes, each with enough different kinds to ask about."""
    found, seed = 0, first_of(POPE)
    while found < SCENES:
        scene = make_scene(seed)
        if len(scene.kinds) >= EACH:
            found += 1
            yield scene
        seed += 1


def rows() -> list[Row]:
    """Make all rows: per image three categories with three present and three absent kinds each."""
    made: list[Row] = []
    drawn = [(scene, render(scene)) for scene in scenes()]
    for category in ("random", "popular", "adversarial"):
        number = 0
        for scene, image in drawn:
            present = random.Random(f"pope {scene.seed}").sample(sorted(scene.kinds), EACH)
            missing = absent(scene, category, random.Random(f"pope {category} {scene.seed}"))
            for yes, no in zip(present, missing, strict=True):
                for kind, answer in ((yes, "yes"), (no, "no")):
                    number += 1
                    made.append(
                        {
                            "id": str(len(made)),
                            "question_id": str(number),
                            "question": f"Is there {a(kind)} in the image?",
                            "answer": answer,
                            "image_source": f"tinyworld_{scene.seed}",
                            "image": image,
                            "category": category,
                        }
                    )
    return made


def rows_of(category: str) -> list[Row]:
    """Return the rows of one category, as the config of all three has them."""
    return [row for row in rows() if row["category"] == category]


COLUMNS = {
    "id": "string",
    "question_id": "string",
    "question": "string",
    "answer": "string",
    "image_source": "string",
    "image": "image",
    "category": "string",
}
MINI = Mini(
    "POPE",
    f"{SCENES * EACH * 6} yes/no questions about {SCENES} drawn images, half of them about kinds "
    "that are not there.",
    (
        Table(COLUMNS, rows),
        *(
            Table(COLUMNS, partial(rows_of, split), split, "Full")
            for split in ("random", "popular", "adversarial")
        ),
    ),
)
