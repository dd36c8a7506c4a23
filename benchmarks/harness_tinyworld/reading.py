"""Questions about what is written in a scene, and about what no look at the scene can answer."""

from __future__ import annotations

import random

from harness_tinyworld.questions import (
    Answer,
    Question,
    open_question,
    some_of,
    yes_no,
)
from harness_tinyworld.scenes import Scene
from harness_tinyworld.vocabulary import COLOURS, SHAPES, WORDS, a, at, category_of, plural

ALL_WORDS = tuple(word for words in WORDS.values() for word in words)


def word(scene: Scene, rng: random.Random) -> Question | None:
    """Ask for the written word."""
    if not scene.words:
        return None
    right = scene.words[0]
    alike = [w for w in ALL_WORDS if len(w) == len(right)]
    text = rng.choice(
        (
            "What word is written in the image?",
            "What does the text in the image say?",
            "Which word can be read in the image?",
        )
    )
    others = some_of(rng, alike, right)
    return open_question("word", text, right, "the word {} is written.", others, "ocr")


def word_check(scene: Scene, rng: random.Random) -> Question | None:
    """Ask whether some word is written."""
    truth = bool(scene.words) and rng.random() < 0.5
    asked = scene.words[0] if truth else rng.choice([w for w in ALL_WORDS if w not in scene.words])
    no = f"the word {scene.words[0]} is written" if scene.words else "no word is written"
    text = f"Is the word {asked} written in the image?"
    return yes_no("word_check", text, truth, f"the word {asked} is written", no, "ocr")


def number(scene: Scene, rng: random.Random) -> Question | None:
    """Ask for the written number."""
    if len(scene.numbers) != 1:
        return None
    right = scene.numbers[0]
    near = [str(n) for n in range(max(1, right - 12), right + 13)]
    text = rng.choice(("What number is written in the image?", "Which number can be read?"))
    others = some_of(rng, near, str(right))
    return open_question("number", text, str(right), "the number {} is written.", others, "ocr")


def text_place(scene: Scene, rng: random.Random) -> Question | None:
    """Ask where the word is written."""
    labels = [label for label in scene.labels if not label.is_number]
    if not labels:
        return None
    label = labels[0]
    places = ("top left", "top", "top right", "left", "center", "right", "bottom left", "bottom")
    answers = [
        Answer(p, f"The word {label.text} is written {at(p)}.")
        for p in [label.place, *some_of(rng, places, label.place)]
    ]
    text = "Where is the word written in the image?"
    return Question("text_place", text, answers[0], tuple(answers[1:]), "ocr,spat")


def category(scene: Scene, rng: random.Random) -> Question | None:
    """Ask what kind of thing the written word names."""
    if not scene.words:
        return None
    right = category_of(scene.words[0])
    text = rng.choice(
        ("What kind of thing does the written word name?", "The written word names what?")
    )
    frame = f"the word {scene.words[0]} names {{}}."
    names = [a(kind) for kind in WORDS]
    built = open_question(
        "category", text, a(right), frame, some_of(rng, names, a(right)), "ocr,know"
    )
    strip = [Answer(x.short.split(" ", 1)[1], x.sentence) for x in (built.right, *built.wrong)]
    return Question("category", text, strip[0], tuple(strip[1:]), "ocr,know")


def arithmetic(scene: Scene, rng: random.Random) -> Question | None:
    """Ask for the sum, the larger or the smaller of the two written numbers."""
    if len(scene.numbers) != 2:
        return None
    one, two = scene.numbers
    text, frame, right, skills = rng.choice(
        (
            ("What is the sum of the two numbers?", "the sum is {}.", one + two, "ocr,math"),
            (
                "What do the two written numbers add up to?",
                "they add up to {}.",
                one + two,
                "ocr,math",
            ),
            (
                "Which of the two numbers is larger?",
                "the larger number is {}.",
                max(one, two),
                "ocr,math",
            ),
            (
                "What number is written nearer to the top?",
                "the upper number is {}.",
                one,
                "ocr,spat",
            ),
            (
                "What is the upper number plus the lower number?",
                "the sum is {}.",
                one + two,
                "ocr,spat,math",
            ),
        )
    )
    near = [str(n) for n in range(max(1, right - 4), right + 5)]
    others = some_of(rng, near, str(right))
    return open_question("arithmetic", text, str(right), frame, others, skills)


def total(scene: Scene, rng: random.Random) -> Question | None:
    """Ask for the written number plus the number of shapes."""
    if len(scene.numbers) != 1 or scene.numbers[0] > 9:
        return None
    right = scene.numbers[0] + len(scene.things)
    text = "What is the written number plus the number of shapes?"
    near = [str(n) for n in range(max(1, right - 3), right + 4)]
    others = some_of(rng, near, str(right))
    return open_question("total", text, str(right), "the result is {}.", others, "rec,ocr,math")


def unanswerable(scene: Scene, rng: random.Random) -> Question | None:
    """Ask about what is not there, so that nothing can be said."""
    missing = sorted(set(SHAPES) - {thing.shape for thing in scene.things})
    name = rng.choice(missing)
    choices = [
        (f"What color is the {name}?", f"There is no {name} in the image."),
        (f"Where is the {name} in the image?", f"There is no {name} in the image."),
        (f"How large are the {plural(name)}?", f"There is no {name} in the image."),
    ]
    if not scene.words:
        choices.append(("What word is written in the image?", "No word is written in the image."))
    if not scene.numbers:
        choices.append(("What number is written in the image?", "No number is written."))
    text, sentence = rng.choice(choices)
    wrong = Answer(rng.choice(list(COLOURS)), f"The {name} is {rng.choice(list(COLOURS))}.")
    return Question("unanswerable", text, Answer("Unanswerable", sentence), (wrong,))
