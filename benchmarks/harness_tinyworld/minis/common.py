"""What several miniatures share: scenes of their own, and questions drawn on them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

from harness_tinyworld.questions import Asker, Question
from harness_tinyworld.scenes import Scene, make_scene
from harness_tinyworld.vocabulary import COLOURS, SHAPES

# Each miniature has ten million seeds of its own, above those that scenes.py gives away: no image
# of a benchmark is one that the model or a method was trained on.
_FIRST = 5_000_000_000
_EACH = 10_000_000
_ORDER = (
    *("amber", "chair", "gqa", "hallusion", "llavabench", "mementos", "mmbench", "mmbench_cn"),
    *("mme", "mmhal", "scienceqa", "seedbench", "shr", "textvqa", "vizwiz", "vqav2"),
    *("naturalbench", "mmstar", "mmvp"),
    *("amber_all", "hallusion_all", "mmmu", "cvbench", "realworldqa", "crpe", "ocrbench"),
    *("mathvista", "mmvet_v2", "blink"),
)
_moved = 0
KINDS = tuple(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES)
"""Everything that can be drawn, as one speaks of it."""


def move(sets: int) -> None:
    """Draw all miniatures from other scenes from now on.

    What is chosen by looking at scores, such as a method's knobs, is chosen on other scenes than
    those whose scores are reported.

    Args:
        sets: 0 for the scenes of the shipped miniatures, 1 to 3 for others.
    """
    global _moved
    if not 0 <= sets <= 3:
        raise ValueError(f"there are sets 0 to 3 of scenes, not {sets}")
    _moved = sets * _EACH // 4


def first_of(start: int) -> int:
    """Return the first seed of a miniature whose seeds start somewhere, as `move` has it."""
    return start + _moved


def scenes(name: str) -> Iterator[Scene]:
    """Yield the scenes of a miniature, without end."""
    seed = first_of(_FIRST + _ORDER.index(name) * _EACH)
    while True:
        yield make_scene(seed)
        seed += 1


def asked(
    name: str,
    askers: Sequence[Asker],
    count: int,
    fits: Callable[[Question], bool] = lambda question: True,
) -> list[tuple[Scene, Question]]:
    """Draw questions, the askers taking turns, each on a scene of its own."""
    found: list[tuple[Scene, Question]] = []
    for scene in scenes(name):
        asker = askers[len(found) % len(askers)]
        question = asker(scene, random.Random(f"{name} {scene.seed}"))
        if question is not None and fits(question):
            found.append((scene, question))
            if len(found) == count:
                break
    return found


def four_options(question: Question) -> bool:
    """Say whether a question has three different wrong answers beside the right one."""
    return len({answer.short for answer in question.wrong}) >= 3


def options_of(question: Question, rng: random.Random) -> tuple[list[str], int]:
    """Mix the right answer with three wrong ones; return them and the place of the right one."""
    wrong = list(dict.fromkeys(answer.short for answer in question.wrong))[:3]
    options = [question.right.short, *wrong]
    rng.shuffle(options)
    return options, options.index(question.right.short)


def ten(right: str, wrong: str, rng: random.Random) -> list[str]:
    """Give ten people's answers: eight agree, two say something else."""
    answers = [right] * 8 + [wrong] * 2
    rng.shuffle(answers)
    return answers


def synonyms() -> str:
    """Return the list of things that can be drawn, one per line, in the form of synonyms.txt."""
    return "".join(f"{kind}\n" for kind in KINDS)
