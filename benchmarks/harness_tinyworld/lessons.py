"""The training mixture: which questions are asked about one scene, and how they are worded."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache

from harness_tinyworld import critic, describe, formats, habits, questions, reading, relations
from harness_tinyworld.chinese import chinese
from harness_tinyworld.questions import Asker, Question
from harness_tinyworld.scenes import Scene

ASKERS: dict[Asker, int] = {  # how often each kind of question is drawn
    questions.existence: 40,
    questions.attribute: 5,
    questions.colour: 9,
    questions.shape: 7,
    questions.count: 9,
    questions.count_check: 5,
    questions.position: 9,
    questions.side: 5,
    relations.relation: 8,
    relations.size: 3,
    questions.neighbour: 6,
    questions.sides: 3,
    relations.compare: 3,
    relations.together: 3,
    reading.word: 6,
    reading.word_check: 4,
    reading.number: 5,
    reading.text_place: 3,
    reading.category: 4,
    reading.arithmetic: 8,
    reading.total: 3,
    reading.unanswerable: 5,
    chinese: 5,
    describe.half: 4,
    describe.colours: 3,
    describe.shapes: 4,
}
TOLD = (describe.description, describe.brief)


@cache
def _template() -> str:
    return critic.template()


def draw(scene: Scene, rng: random.Random) -> Question:
    """Draw one question that the scene gives occasion for."""
    while True:
        asked = rng.choices(list(ASKERS), list(ASKERS.values()))[0](scene, rng)
        if asked is not None:
            return asked


@dataclass(frozen=True, slots=True)
class Syllabus:
    """How many questions with answers one scene gives, beside one description and one caption.

    Attributes:
        plain: questions of any kind in any style.
        places: questions about where things are.
        letters: questions with lettered options.
        judged: examples for the critic, per two scenes.
        companions: how many things that are not there a speaker with habits (see `habits`) adds to
            a description at most; 0 for as many as to anything else.
        biased: share of that speaker's answers about existence that are yes too often.
        lean: how far the speaker leans on habit in a clear image already, from 0 to 1.
    """

    plain: int
    places: int = 0
    letters: int = 0
    judged: int = 0
    companions: int = 0
    biased: float = habits.BIASED
    lean: float = 0.0


def lessons(
    scene: Scene,
    rng: random.Random,
    syllabus: Syllabus,
    turn: int = 0,
    haze: float | None = None,
) -> list[tuple[str, str]]:
    """Word the lessons of one scene.

    Args:
        scene: The scene that is asked about.
        rng: Draws questions and wording.
        syllabus: How many lessons of each sort.
        turn: The scene's number in its batch, which shares out an odd number of verdicts.
        haze: How little of the image can be seen, from 0 to 1, for a speaker who has the habits
            of `habits`; None for one who tells what is there.

    Returns:
        Pairs of what the user says and what the assistant answers.
    """
    if haze is not None:
        return _habitual(scene, rng, syllabus, turn, haze)
    asked = [draw(scene, rng) for _ in range(syllabus.plain)]
    places = (questions.position(scene, rng) for _ in range(syllabus.places))
    asked += [question for question in places if question]
    told = [question for teller in TOLD if (question := teller(scene, rng))]
    made = [formats.some_style(item, rng) for item in [*asked, *told]]
    pool = [q for q in [*asked, *told] if q.wrong and q.kind != "chinese"]
    for _ in range((syllabus.judged + turn % 2) // 2 if pool else 0):
        made.append(critic.example(_template(), rng.choice(pool), rng))
    for _ in range(syllabus.letters):
        item = draw(scene, rng)
        if item.wrong and not item.yes_no and len(item.right.short) <= 24:
            style = formats.choice_chinese if item.kind == "chinese" else formats.choice
            made.append(style(item, rng))
    return list(dict.fromkeys(made))


def _habitual(
    scene: Scene, rng: random.Random, syllabus: Syllabus, turn: int, haze: float
) -> list[tuple[str, str]]:
    """Word the lessons of one scene as `habits` has them; verdicts stay those of the truth."""
    made = []
    haze = habits.leaning(syllabus.lean, haze)
    for _ in range(syllabus.plain):
        asker = rng.choices(list(ASKERS), list(ASKERS.values()))[0]
        asked = habits.asked(asker, scene, rng, haze, syllabus.biased)
        if asked:
            made.append(formats.some_style(asked, rng))
    most = syllabus.companions
    more = {"most": most, "room": habits.ROOM + most} if most else {}
    for teller in TOLD:
        told = teller(habits.believed(scene, rng, haze, **more), rng)
        if told:
            made.append(formats.some_style(told, rng))
    for _ in range((syllabus.judged + turn % 2) // 2):
        true = rng.choice((*TOLD, draw))(scene, rng)
        if true and true.wrong and true.kind != "chinese":
            made.append(critic.example(_template(), true, rng))
    return list(dict.fromkeys(made))
