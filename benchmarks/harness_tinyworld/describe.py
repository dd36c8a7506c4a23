"""Descriptions and captions of scenes, and scenes altered so that a description becomes wrong."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from harness_tinyworld.questions import Answer, Question, absent_kind
from harness_tinyworld.reading import ALL_WORDS
from harness_tinyworld.scenes import SIDE, Label, Scene, Thing
from harness_tinyworld.vocabulary import COLOURS, SHAPES, a, at, capital, counted, listing

DETAIL = (
    "Describe the image in detail.",
    "Please describe this image in detail.",
    "Describe this image",
    "What can you see in the image?",
    "Describe every object in the image and say where it is.",
    "Explain what the picture shows.",
)
BRIEF = (
    "Provide a one-sentence caption for the provided image.",
    "Give a short caption for the image.",
    "Describe the image briefly.",
    "What is in the image?",
)

Teller = Callable[[Scene], str]


def _ordered(scene: Scene) -> list[Thing]:
    return sorted(scene.things, key=lambda thing: thing.x)


def _written(labels: tuple[Label, ...]) -> str:
    parts = [
        f"the {'number' if label.is_number else 'word'} {label.text} is written {at(label.place)}"
        for label in labels
    ]
    return f" {capital(listing(parts))}." if parts else ""


def detail(scene: Scene) -> str:
    """Describe a scene fully, from left to right, then what is written."""
    parts = [f"{a(t.size)} {t.kind} {at(t.place)}" for t in _ordered(scene)]
    return f"The image shows {listing(parts)}.{_written(scene.labels)}"


def caption(scene: Scene) -> str:
    """Name what is in a scene in one sentence."""
    counts = Counter(thing.kind for thing in _ordered(scene))
    parts = [counted(number, kind) for kind, number in counts.items()]
    labels = [f"the {'number' if x.is_number else 'word'} {x.text}" for x in scene.labels]
    with_text = f" with {listing(labels)}" if labels else ""
    return f"{capital(listing(parts))}{with_text}."


def altered(scene: Scene, rng: random.Random) -> Scene:
    """Change one fact of a scene: the kind of error that a model of this world makes."""
    things, labels = list(scene.things), list(scene.labels)
    at_index = rng.randrange(len(things))
    thing, draw = things[at_index], rng.random()
    if draw < 0.25:
        colours = [c for c in COLOURS if c != thing.colour]
        things[at_index] = replace(thing, colour=rng.choice(colours))
    elif draw < 0.45:
        things[at_index] = replace(thing, shape=rng.choice([s for s in SHAPES if s != thing.shape]))
    elif draw < 0.55:
        x, y = SIDE - 1 - thing.x, rng.uniform(6, SIDE - 6)
        things[at_index] = replace(thing, x=x, y=y)
    elif draw < 0.72 and len(things) > 1:
        del things[at_index]
    elif draw < 0.85 or not scene.words:
        colour, shape = absent_kind(scene, rng).split()
        x, y = rng.uniform(6, SIDE - 6), rng.uniform(6, SIDE - 6)
        things.append(replace(thing, colour=colour, shape=shape, x=x, y=y))
    else:
        index = next(i for i, label in enumerate(labels) if not label.is_number)
        word = rng.choice([w for w in ALL_WORDS if w != labels[index].text])
        labels[index] = replace(labels[index], text=word)
    return replace(scene, things=tuple(things), labels=tuple(labels))


def _told(
    kind: str, text: str, teller: Teller, scene: Scene, rng: random.Random, skills: str
) -> Question:
    right, other = teller(scene), scene
    told = [right]
    for step in range(3):
        other = altered(other, rng)
        if step:
            other = altered(other, rng)
        told.append(teller(other))
    wrong = tuple(Answer(x, x) for x in dict.fromkeys(told[1:]) if x != right)
    return Question(kind, text, Answer(right, right), wrong, skills)


def description(scene: Scene, rng: random.Random) -> Question | None:
    """Ask for a full description."""
    skills = "rec,ocr,spat,gen" if scene.labels else "rec,spat,gen"
    return _told("description", rng.choice(DETAIL), detail, scene, rng, skills)


def brief(scene: Scene, rng: random.Random) -> Question | None:
    """Ask for a caption."""
    skills = "rec,ocr,gen" if scene.labels else "rec,gen"
    return _told("caption", rng.choice(BRIEF), caption, scene, rng, skills)


def _half(scene: Scene, half: str) -> str:
    inside = [t for t in _ordered(scene) if (t.x < SIDE / 2) == (half == "left")]
    if not inside:
        return f"There is nothing on the {half} side."
    verb = "is" if len(inside) == 1 else "are"
    return f"On the {half} side there {verb} {listing([a(t.kind) for t in inside])}."


def half(scene: Scene, rng: random.Random) -> Question | None:
    """Ask what is on one side of the image."""
    which = rng.choice(("left", "right"))
    text = f"What can you see on the {which} side of the image?"
    return _told("half", text, lambda s: _half(s, which), scene, rng, "rec,spat,gen")


def _colours(scene: Scene) -> str:
    found = list(dict.fromkeys(thing.colour for thing in _ordered(scene)))
    return f"The shapes are {listing(found)}."


def colours(scene: Scene, rng: random.Random) -> Question | None:
    """Ask which colours appear."""
    return _told("colours", "Which colors do the shapes have?", _colours, scene, rng, "rec,gen")


def _shapes(scene: Scene) -> str:
    counts = Counter(thing.shape for thing in _ordered(scene))
    return f"The image contains {listing([counted(n, s) for s, n in counts.items()])}."


def shapes(scene: Scene, rng: random.Random) -> Question | None:
    """Ask which shapes appear, and how many of each."""
    return _told("shapes", "What shapes are in the image?", _shapes, scene, rng, "rec,gen")
