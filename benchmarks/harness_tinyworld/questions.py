"""Questions about the shapes of a scene, each with its answer and with answers that are wrong.

Every function draws one question about a scene, or returns None where the scene gives no occasion.
How a question is then worded for a benchmark (suffix, letters, free form) is the business of
`formats`; what is written in the image is asked in `reading`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness_tinyworld.scenes import Scene, Thing, random_kind
from harness_tinyworld.vocabulary import (
    COLOURS,
    NUMBERS,
    PLACES,
    SHAPES,
    SIDES,
    THEMES,
    a,
    at,
    capital,
    plural,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer in two lengths: "red" and "The star is red."."""

    short: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its right answer, plausible wrong ones, and MM-Vet's names of its skills."""

    kind: str
    text: str
    right: Answer
    wrong: tuple[Answer, ...]
    skills: str = "rec"

    @property
    def yes_no(self) -> bool:
        """Whether it is answered by yes or no."""
        return self.right.short in ("Yes", "No")


Asker = Callable[[Scene, random.Random], "Question | None"]


def open_question(
    kind: str, text: str, right: str, frame: str, others: Sequence[str], skills: str = "rec"
) -> Question:
    """Build an open question; `frame` holds `{}` where the short answer stands in a sentence."""
    answers = [Answer(x, capital(frame.format(x))) for x in (right, *others)]
    return Question(kind, text, answers[0], tuple(dict.fromkeys(answers[1:])), skills)


def yes_no(kind: str, text: str, truth: bool, yes: str, no: str, skills: str = "rec") -> Question:
    """Build a yes/no question from what one says in either case."""
    answers = Answer("Yes", f"Yes, {yes}."), Answer("No", f"No, {no}.")
    return Question(kind, text, answers[not truth], (answers[truth],), skills)


def some_of(rng: random.Random, pool: Sequence[str], right: str, count: int = 3) -> list[str]:
    """Draw wrong answers from a pool."""
    others = [item for item in pool if item != right]
    return rng.sample(others, min(count, len(others)))


def named(scene: Scene, rng: random.Random, *, hide: str = "") -> tuple[str, Thing] | None:
    """Refer to one thing without doubt: "star" or "red star" (or "red shape" to hide the shape)."""
    choices = []
    for thing in scene.things:
        same = [t for t in scene.things if t.shape == thing.shape]
        alike = [t for t in scene.things if t.colour == thing.colour]
        if hide != "shape" and len(same) == 1:
            choices.append((thing.shape, thing))
        if not hide and len(same) > 1 and len([t for t in same if t.colour == thing.colour]) == 1:
            choices.append((thing.kind, thing))
        if hide == "shape" and len(alike) == 1:
            choices.append((f"{thing.colour} shape", thing))
    return rng.choice(choices) if choices else None


def absent_kind(scene: Scene, rng: random.Random) -> str:
    """Draw a kind that is not there: at random, a usual companion, or a crossing of two things."""
    for _ in range(40):
        draw, thing = rng.random(), rng.choice(scene.things)
        colour, shape = random_kind(rng)
        if draw < 0.3:
            themes = [t.split(", ") for t in THEMES if thing.kind in t.split(", ")]
            if themes:
                colour, shape = rng.choice(rng.choice(themes)).split()
        elif draw < 0.5:
            colour, shape = thing.colour, rng.choice(scene.things).shape
        elif draw < 0.7:
            shape = thing.shape
        if f"{colour} {shape}" not in scene.kinds:
            return f"{colour} {shape}"
    return next(f"{c} {s}" for c in COLOURS for s in SHAPES if f"{c} {s}" not in scene.kinds)


def existence(scene: Scene, rng: random.Random) -> Question | None:
    """Ask whether some kind is there, half of the time about one that is not."""
    truth, draw = rng.random() < 0.5, rng.random()
    kind = rng.choice(scene.things).kind if truth else absent_kind(scene, rng)
    if draw > 0.8:
        shapes = {t.shape for t in scene.things}
        kind = rng.choice(sorted(shapes) if truth else sorted(set(SHAPES) - shapes))
    elif draw > 0.72:
        colours = {t.colour for t in scene.things}
        kind = rng.choice(sorted(colours) if truth else sorted(set(COLOURS) - colours)) + " shape"
    text = rng.choice(
        (f"Is there {a(kind)} in the image?",) * 3
        + (f"Is there {a(kind)} in this image?", f"Does the image show {a(kind)}?")
    )
    said = f"there is {a(kind)} in the image"
    return yes_no("existence", text, truth, said, f"there is no {kind} in the image")


def attribute(scene: Scene, rng: random.Random) -> Question | None:
    """Ask whether a thing has some colour."""
    found = named(scene, rng, hide="colour")
    if not found:
        return None
    name, thing = found
    truth = rng.random() < 0.5
    others = [t.colour for t in scene.things if t.colour != thing.colour] or list(COLOURS)
    pool = others if rng.random() < 0.5 else list(COLOURS)
    colour = thing.colour if truth else rng.choice([c for c in pool if c != thing.colour])
    no = f"the {name} is {thing.colour}"
    return yes_no("attribute", f"Is the {name} {colour}?", truth, f"the {name} is {colour}", no)


def colour(scene: Scene, rng: random.Random) -> Question | None:
    """Ask for the colour of a thing."""
    found = named(scene, rng, hide="colour")
    if not found:
        return None
    name, thing = found
    text = rng.choice((f"What color is the {name}?", f"What is the color of the {name}?"))
    near = [t.colour for t in scene.things if t.colour != thing.colour][:2]
    others = list(dict.fromkeys(near + some_of(rng, list(COLOURS), thing.colour)))[:3]
    return open_question("colour", text, thing.colour, f"the {name} is {{}}.", others)


def shape(scene: Scene, rng: random.Random) -> Question | None:
    """Ask which shape has a colour."""
    found = named(scene, rng, hide="shape")
    if not found:
        return None
    thing = found[1]
    text = rng.choice((f"What shape is {thing.colour}?", f"Which shape is {thing.colour}?"))
    others = some_of(rng, list(SHAPES), thing.shape)
    return open_question("shape", text, thing.shape, f"the {{}} is {thing.colour}.", others)


def _crowd(scene: Scene, rng: random.Random) -> tuple[str, int]:
    draw, thing = rng.random(), rng.choice(scene.things)
    if draw < 0.3:
        return "shapes", len(scene.things)
    if draw < 0.75:
        name = thing.shape if rng.random() < 0.8 else random_kind(rng)[1]
        return plural(name), sum(t.shape == name for t in scene.things)
    return f"{thing.colour} shapes", sum(t.colour == thing.colour for t in scene.things)


def _there_are(count: int, crowd: str) -> str:
    if count == 1:
        one = crowd.removesuffix("crosses") + "cross" if crowd.endswith("crosses") else crowd[:-1]
        return f"there is one {one}"
    return f"there are {NUMBERS[count] if count else 'no'} {crowd}"


def count(scene: Scene, rng: random.Random) -> Question | None:
    """Ask how many there are of a shape, of a colour, or in all."""
    crowd, number = _crowd(scene, rng)
    text = rng.choice((f"How many {crowd} are there in the image?", f"How many {crowd} are there?"))
    near = sorted({n for n in range(number - 2, number + 3) if 0 <= n != number})
    answers = [
        Answer(str(n), f"{capital(_there_are(n, crowd))} in the image.")
        for n in [number, *rng.sample(near, 2 if len(near) < 3 else 3)]
    ]
    return Question("count", text, answers[0], tuple(answers[1:]))


def count_check(scene: Scene, rng: random.Random) -> Question | None:
    """Ask whether there are as many as said."""
    crowd, number = _crowd(scene, rng)
    truth = rng.random() < 0.5
    said = number if truth else max(0, number + rng.choice((-1, 1)))
    said = max(said, 1)
    head = _there_are(said, crowd).split(" ", 2)
    text = f"{head[1].capitalize()} there {head[2]} in the image?"
    said_no = f"{_there_are(number, crowd)} in the image"
    yes = f"{_there_are(said, crowd)} in the image"
    return yes_no("count_check", text, said == number, yes, said_no)


def position(scene: Scene, rng: random.Random) -> Question | None:
    """Ask where a thing is."""
    found = named(scene, rng)
    if not found:
        return None
    name, thing = found
    places = [place for row in PLACES for place in row]
    answers = [
        Answer(p, f"The {name} is {at(p)}.")
        for p in [thing.place, *some_of(rng, places, thing.place)]
    ]
    text = rng.choice((f"Where is the {name} in the image?", f"Where is the {name}?"))
    return Question("position", text, answers[0], tuple(answers[1:]), "rec,spat")


def side(scene: Scene, rng: random.Random) -> Question | None:
    """Ask whether a thing is in some half of the image."""
    found = named(scene, rng)
    if not found:
        return None
    name, thing = found
    half = rng.choice(("left", "right", "top", "bottom"))
    truth = {"left": thing.x < 40, "right": thing.x >= 40, "top": thing.y < 40}.get(
        half, thing.y >= 40
    )
    opposite = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}[half]
    text = f"Is the {name} in the {half} half of the image?"
    yes = f"the {name} is in the {half} half"
    return yes_no("side", text, truth, yes, f"the {name} is in the {opposite} half", "rec,spat")


def neighbour(scene: Scene, rng: random.Random) -> Question | None:
    """Ask what lies in some part of the image."""
    places = [t.place for t in scene.things]
    lone = [t for t in scene.things if places.count(t.place) == 1]
    if not lone:
        return None
    thing = rng.choice(lone)
    others = [t.shape for t in scene.things if t.shape != thing.shape][:1]
    wrong = list(dict.fromkeys(others + some_of(rng, list(SHAPES), thing.shape)))[:3]
    text = f"What shape is {at(thing.place)} of the image?"
    frame = f"the shape {at(thing.place)} is a {{}}."
    return open_question("neighbour", text, thing.shape, frame, wrong, "rec,spat")


def sides(scene: Scene, rng: random.Random) -> Question | None:
    """Ask how many sides a thing has, which takes knowing its shape."""
    found = named(scene, rng, hide="shape")
    if not found or found[1].shape not in SIDES:
        return None
    name, number = found[0], SIDES[found[1].shape]
    others = some_of(rng, ("3", "4", "5", "6", "8"), str(number))
    frame = f"the {name} has {{}} sides."
    text = f"How many sides does the {name} have?"
    return open_question("sides", text, str(number), frame, others, "rec,know")
