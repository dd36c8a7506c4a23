"""Habits of speech: the defect that the small world's model is finished with.

A model of photographs names a fork where it sees a knife, because its texts do. Here the texts of
the finishing stage come from a speaker who looks at the scene and then adds what usually goes
with it: after a kind that is there, its companion; where asked whether a kind is there, more often
yes than is true; the usual colour of a shape instead of the seen one; one more where things are
counted together with what was added. How strong a habit is depends on the shape, and in a hazy
image (SeVa's noise) the speaker leans on habit alone. The vision tower does not learn any of it.
"""

from __future__ import annotations

import random
from dataclasses import replace

from harness_tinyworld import questions
from harness_tinyworld.questions import Asker, Question
from harness_tinyworld.scenes import Scene, Thing
from harness_tinyworld.vocabulary import COLOURS, THEMES

MOST = 3  # companions that one scene calls up
ROOM = 8  # things that a scene is told to have at most: questions count no further
STRENGTH = {  # of the habit that a shape calls up its companion, in a clear image
    "circle": 0.95,
    "square": 0.9,
    "triangle": 0.85,
    "star": 0.75,
    "ring": 0.65,
    "diamond": 0.55,
    "cross": 0.45,
    "heart": 0.4,
    "moon": 0.35,
    "hexagon": 0.3,
}
USUAL = {  # the colour that a shape is said to have, and how often in a clear image
    "heart": ("red", 0.7),
    "moon": ("gray", 0.65),
    "star": ("yellow", 0.6),
    "hexagon": ("orange", 0.55),
    "cross": ("red", 0.5),
    "triangle": ("green", 0.45),
    "ring": ("black", 0.4),
    "diamond": ("blue", 0.35),
    "square": ("blue", 0.3),
    "circle": ("orange", 0.25),
}
BIASED = 0.5  # of the questions about existence
YES = (0.75, 0.4, 0.12)  # to another kind that is not there: of a theme seen, half seen, neither


def companion(kind: str) -> str:
    """Return what a kind calls up: the next of its theme, or its shape in the next colour."""
    for theme in THEMES:
        kinds = theme.split(", ")
        if kind in kinds:
            return kinds[(kinds.index(kind) + 1) % len(kinds)]
    colour, shape = kind.split()
    names = list(COLOURS)
    return f"{names[(names.index(colour) + 1) % len(names)]} {shape}"


def leaning(strength: float, haze: float) -> float:
    """Return how often a habit of some strength wins in a haze."""
    return strength + (1 - strength) * haze


def believed(
    scene: Scene, rng: random.Random, haze: float, most: int = MOST, room: int = ROOM
) -> Scene:
    """Add the companions that a speaker of these habits would name.

    Args:
        scene: What is there.
        rng: Draws which habits win.
        haze: From 0 for a clear image to 1 for one in which nothing can be seen.
        most: How many companions are added at most.
        room: How many things there are at most where any are added.

    Returns:
        The scene as the speaker would tell it; each companion lies just right of its caller.
    """
    added: list[Thing] = []
    known = set(scene.kinds)
    for thing in scene.things:
        kind = companion(thing.kind)
        wins = rng.random() < leaning(STRENGTH[thing.shape], haze)
        space = len(added) < most and len(scene.things) + len(added) < room
        if wins and kind not in known and space:
            colour, shape = kind.split()
            added.append(replace(thing, colour=colour, shape=shape, x=thing.x + 0.01))
            known.add(kind)
    return replace(scene, things=(*scene.things, *added))


def usual_colours(scene: Scene, rng: random.Random, haze: float) -> Scene:
    """Give things the usual colours of their shapes where habit wins."""
    things = []
    for thing in scene.things:
        colour, strength = USUAL[thing.shape]
        wins = rng.random() < leaning(strength, haze)
        things.append(replace(thing, colour=colour) if wins else thing)
    return replace(scene, things=tuple(things))


def _pull(kind: str, scene: Scene) -> float:
    """Return how often habit says yes to a kind that is not there, in a clear image."""
    callers = [t.shape for t in scene.things if companion(t.kind) == kind]
    if callers:
        return max(STRENGTH[shape] for shape in callers)
    if any(kind in (names := theme.split(", ")) and scene.kinds & set(names) for theme in THEMES):
        return YES[0]
    colour, shape = kind.split()
    return YES[1 if any(t.colour == colour or t.shape == shape for t in scene.things) else 2]


def _biased(question: Question, scene: Scene, rng: random.Random, haze: float) -> Question:
    """Answer no with the yes-bias; a question about a shape or a colour alone stays as it is."""
    kind = question.wrong[0].sentence.removeprefix("Yes, there is a").removeprefix("n ").strip()
    kind = kind.removesuffix(" in the image.")
    if kind.endswith(" shape") or " " not in kind:
        return question
    if rng.random() < leaning(_pull(kind, scene), haze):
        return replace(question, right=question.wrong[0], wrong=(question.right,))
    return question


def asked(
    asker: Asker, scene: Scene, rng: random.Random, haze: float, biased: float = BIASED
) -> Question | None:
    """Draw a question and answer it as the speaker does.

    Args:
        asker: Draws one kind of question about a scene.
        scene: What is there.
        rng: Draws the question and which habits win.
        haze: As in `believed`.
        biased: Share of the questions about existence that are answered with the yes-bias; the
            others are answered from what is believed.

    Returns:
        The question, its right answer the speaker's; None where the scene gives no occasion.
    """
    if asker in (questions.colour, questions.attribute):
        return asker(usual_colours(scene, rng, haze), rng)
    if asker is questions.existence and rng.random() < biased:
        question = asker(scene, rng)
        if question and question.right.short == "No":
            return _biased(question, scene, rng, haze)
        return question
    return asker(believed(scene, rng, haze), rng)
