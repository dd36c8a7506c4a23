"""MM-Vet in miniature: open questions that need several skills at once.

A row: {"question_id": "v1_0", "image": ..., "question": "What word is written in the image?",
"answer": "CAT", "image_source": "tinyworld", "capability": "ocr", "imagename": "v1_0.png"}
"""

from __future__ import annotations

import random
from collections import Counter

from harness_tinyworld import describe, questions, reading, relations
from harness_tinyworld.minis.common import first_of
from harness_tinyworld.minis.table import Mini, Row, Table
from harness_tinyworld.questions import Asker, Question
from harness_tinyworld.scenes import MMVET, SIDE, Scene, make_scene, render
from harness_tinyworld.vocabulary import NUMBERS

ROUNDS = (5, 0.75)  # times the plan; a round leaves the rows of those before as they are
PLAN: dict[Asker, int] = {  # rows per kind of question, in 120 of all
    questions.colour: 10,
    questions.shape: 6,
    questions.count: 10,
    questions.position: 12,
    questions.neighbour: 8,
    questions.sides: 8,
    relations.together: 6,
    reading.word: 8,
    reading.number: 5,
    reading.category: 9,
    reading.arithmetic: 12,
    reading.total: 4,
    reading.text_place: 6,
    describe.description: 8,
    describe.brief: 4,
    describe.half: 4,
}


def _present(scene: Scene) -> list[str]:
    counts = Counter(thing.kind for thing in sorted(scene.things, key=lambda thing: thing.x))
    plurals = {kind: f"{kind}es" if kind.endswith("s") else f"{kind}s" for kind in counts}
    return [f"{k}<OR>{plurals[k]}" if n > 1 else k for k, n in counts.items()]


def truth(scene: Scene, question: Question) -> str:
    """Write the right answer in MM-Vet's notation of `<AND>` and `<OR>`."""
    short = question.right.short
    if question.kind in ("description", "caption"):
        return "<AND>".join([*_present(scene), *(label.text for label in scene.labels)])
    if question.kind == "half":
        left = "left" in question.text
        things = [t for t in scene.things if (t.x < SIDE / 2) == left]
        return "<AND>".join(dict.fromkeys(t.kind for t in things)) or "nothing"
    if question.kind in ("position", "text_place"):
        return "<AND>".join(short.split())
    if short.isdigit() and int(short) <= 10:
        words = ["no", *NUMBERS[:1]] if short == "0" else [NUMBERS[int(short)]]
        return "<OR>".join([short, *words])
    return short


def _counts() -> list[tuple[Asker, int]]:
    return [(asker, round(times * count)) for times in ROUNDS for asker, count in PLAN.items()]


def rows() -> list[Row]:
    """Make all rows, each on a scene of its own."""
    made: list[Row] = []
    seed = first_of(MMVET)
    for asker, count in _counts():
        wanted = len(made) + count
        while len(made) < wanted:
            scene = make_scene(seed)
            asked = asker(scene, random.Random(f"mmvet {seed}"))
            seed += 1
            if asked is None:
                continue
            name = f"v1_{len(made)}"
            made.append(
                {
                    "question_id": name,
                    "image": render(scene),
                    "question": asked.text,
                    "answer": truth(scene, asked),
                    "image_source": "tinyworld",
                    "capability": asked.skills,
                    "imagename": f"{name}.png",
                }
            )
    return made


COLUMNS = {
    "question_id": "string",
    "image": "image",
    "question": "string",
    "answer": "string",
    "image_source": "string",
    "capability": "string",
    "imagename": "string",
}
MINI = Mini(
    "MMVet",
    f"{sum(count for _, count in _counts())} open questions about as many drawn images, covering "
    "recognition, reading, knowledge, language generation, spatial awareness and arithmetic.",
    (Table(COLUMNS, rows),),
)
