"""The critic: how the model is asked to judge two responses, and examples to learn it from."""

from __future__ import annotations

import random

from harness_tinyworld import CRITIC
from harness_tinyworld.questions import Answer, Question

REASONS = {
    "existence": "about what is there",
    "attribute": "about a color",
    "colour": "about a color",
    "shape": "about a shape",
    "count": "about a number",
    "count_check": "about a number",
    "position": "about a place",
    "side": "about a place",
    "relation": "about a relation",
    "word": "about the text",
}


def template() -> str:
    """Read the critic's template; its fields are question, reference, response_1, response_2."""
    return CRITIC.read_text(encoding="utf-8").rstrip("\n")


def fill(text: str, question: str, reference: str, first: str, second: str) -> str:
    """Fill the template, safe for any text in the fields."""
    fields = {
        "{question}": question,
        "{reference}": reference,
        "{response_1}": first,
        "{response_2}": second,
    }
    head, _, tail = text.partition("{question}")
    parts = [head, question]
    for name in ("{reference}", "{response_1}", "{response_2}"):
        before, _, tail = tail.partition(name)
        parts += [before, fields[name]]
    return "".join([*parts, tail])


def judged(
    text: str, question: Question, good: Answer, bad: Answer, first_is_better: bool
) -> tuple[str, str]:
    """Make one example for the critic.

    Args:
        text: The critic's template.
        question: The question both responses answer; its right answer is the reference.
        good: The better response.
        bad: The worse response.
        first_is_better: Whether the better one is shown as response 1.

    Returns:
        The filled template and the verdict with its reason.
    """
    shown = (good, bad) if first_is_better else (bad, good)
    about = REASONS.get(question.kind, "about the image")
    verdict = f"Response {2 if first_is_better else 1} is wrong {about}. "
    verdict += "[[1]]" if first_is_better else "[[2]]"
    reference = question.right.sentence
    return fill(text, question.text, reference, shown[0].sentence, shown[1].sentence), verdict


def two_answers(question: Question, rng: random.Random) -> tuple[Answer, Answer]:
    """Draw a better and a worse answer; of descriptions even the better one may have an error.

    The wrong answers of a description stand in the order in which errors were added to them.
    """
    answers = [question.right, *question.wrong]
    if len(question.right.short) > 24 and len(answers) > 2 and rng.random() < 0.3:
        first, last = sorted(rng.sample(range(1, len(answers)), 2))
        return answers[first], answers[last]
    return question.right, rng.choice(question.wrong)


def example(text: str, question: Question, rng: random.Random) -> tuple[str, str]:
    """Make an example with answers and an order drawn at random."""
    good, bad = two_answers(question, rng)
    return judged(text, question, good, bad, rng.random() < 0.5)
