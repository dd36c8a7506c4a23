"""Questions about two things of a scene, or two kinds of them, as in `questions`."""

from __future__ import annotations

import random

from harness_tinyworld.questions import Answer, Question, named, open_question, some_of, yes_no
from harness_tinyworld.scenes import Scene, Thing
from harness_tinyworld.vocabulary import plural


def _two(scene: Scene, rng: random.Random) -> tuple[tuple[str, Thing], tuple[str, Thing]] | None:
    first, second = named(scene, rng), named(scene, rng)
    if not first or not second or first[1] is second[1]:
        return None
    return first, second


def relation(scene: Scene, rng: random.Random) -> Question | None:
    """Ask how two things lie to each other."""
    pair = _two(scene, rng)
    if not pair:
        return None
    (one, first), (two, second) = pair
    across, down = first.x - second.x, first.y - second.y
    if max(abs(across), abs(down)) < 8:
        return None
    if abs(across) > abs(down):
        true, false = ("to the left of", "to the right of")[:: 1 if across < 0 else -1]
    else:
        true, false = ("above", "below")[:: 1 if down < 0 else -1]
    if rng.random() < 0.5:
        truth = rng.random() < 0.5
        asked = true if truth else false
        said = f"the {one} is {true} the {two}"
        return yes_no("relation", f"Is the {one} {asked} the {two}?", truth, said, said, "rec,spat")
    short = {"to the left of": "left", "to the right of": "right"}
    answers = [
        Answer(short.get(way, way), f"The {one} is {way} the {two}.") for way in (true, false)
    ]
    text = f"Where is the {one} relative to the {two}?"
    return Question("relation", text, answers[0], (answers[1],), "rec,spat")


def size(scene: Scene, rng: random.Random) -> Question | None:
    """Ask which of two things is larger."""
    pair = _two(scene, rng)
    if not pair or pair[0][1].size == pair[1][1].size:
        return None
    (one, first), (two, _) = pair
    large, small = (one, two) if first.size == "large" else (two, one)
    text = f"Which is larger, the {one} or the {two}?"
    return open_question("size", text, large, "the {} is larger.", [small])


def compare(scene: Scene, rng: random.Random) -> Question | None:
    """Ask whether there are more of one shape than of another."""
    shapes = sorted({t.shape for t in scene.things})
    if len(shapes) < 2:
        return None
    one, two = rng.sample(shapes, 2)
    first, second = (sum(t.shape == name for t in scene.things) for name in (one, two))
    if first == second and rng.random() < 0.7:
        return None
    text = f"Are there more {plural(one)} than {plural(two)}?"
    yes = f"there are more {plural(one)} than {plural(two)}"
    no = f"there are not more {plural(one)} than {plural(two)}"
    return yes_no("compare", text, first > second, yes, no, "rec,math")


def together(scene: Scene, rng: random.Random) -> Question | None:
    """Ask for the number of two shapes together."""
    shapes = sorted({t.shape for t in scene.things})
    if len(shapes) < 2:
        return None
    one, two = rng.sample(shapes, 2)
    number = sum(t.shape in (one, two) for t in scene.things)
    text = f"How many {plural(one)} and {plural(two)} are there together?"
    others = some_of(rng, [str(n) for n in range(max(2, number - 2), number + 3)], str(number))
    return open_question(
        "together", text, str(number), "there are {} together.", others, "rec,math"
    )
