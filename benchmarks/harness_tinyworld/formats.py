"""The ways in which benchmarks word a question, and the answer each of them expects."""

from __future__ import annotations

import random
from collections.abc import Sequence

from harness_tinyworld.questions import Question

SHORT = "\nAnswer the question using a single word or phrase."
YES_NO = " Please answer yes or no."
VIZWIZ = "\nWhen the provided information is insufficient, respond with 'Unanswerable'."
LETTER = "\nAnswer with the option's letter from the given choices directly."
OPTIONS = " There are several options:"
LETTER_CN = "\n请直接使用所提供的选项字母作为答案回答。"
OPTIONS_CN = " 有如下几个选项："
CONTEXT = "Context: "
STEPS = (
    "First please perform reasoning, and think step by step to provide best answer to the "
    "following question: \n\n"
)
HINTS = ("The image shows a drawing.", "Look at the shapes in the drawing.", "Read the text.")
LETTERS = "ABCDE"


def lettered(options: Sequence[str]) -> str:
    """Write options below each other behind letters."""
    return "\n".join(f"{x}. {option}" for x, option in zip(LETTERS, options, strict=False))


def shuffled(question: Question, rng: random.Random, most: int = 4) -> tuple[list[str], str]:
    """Mix the right answer with wrong ones; return the options and the right letter."""
    wrong = [x.short for x in question.wrong]
    options = [question.right.short, *wrong[: most - 1]]
    rng.shuffle(options)
    return options, LETTERS[options.index(question.right.short)]


def sentence(question: Question, rng: random.Random) -> tuple[str, str]:
    """Ask plainly; the answer is a sentence."""
    return question.text, question.right.sentence


def short(question: Question, rng: random.Random) -> tuple[str, str]:
    """Ask for a word (POPE, MME, GQA, VQAv2, TextVQA)."""
    return question.text + SHORT, question.right.short


def vizwiz(question: Question, rng: random.Random) -> tuple[str, str]:
    """Ask for a word and allow for not knowing."""
    return question.text + VIZWIZ + SHORT, question.right.short


def please(question: Question, rng: random.Random) -> tuple[str, str]:
    """Ask for yes or no in MME's own words."""
    tail = SHORT if rng.random() < 0.3 else ""
    return question.text + YES_NO + tail, question.right.short


def stepwise(question: Question, rng: random.Random) -> tuple[str, str]:
    """Ask as the MM-Vet task does; the answer is a sentence."""
    return STEPS + question.text, question.right.sentence


def choice(question: Question, rng: random.Random) -> tuple[str, str]:
    """Ask for a letter (SEED-Bench, ScienceQA, MMBench)."""
    options, letter = shuffled(question, rng, rng.choice((2, 3, 4, 4)))
    draw = rng.random()
    if draw < 0.25:
        body = f"{question.text}{OPTIONS}\n{lettered(options)}\n"
        body = f"{rng.choice(HINTS)} {body}" if rng.random() < 0.3 else body
    elif draw < 0.5:
        body = f"{CONTEXT}{rng.choice(HINTS)}\n{question.text}\n{lettered(options)}"
    else:
        body = f"{question.text}\n{lettered(options)}"
    return body + LETTER, letter


def choice_chinese(question: Question, rng: random.Random) -> tuple[str, str]:
    """Ask for a letter in Chinese (MMBench CN)."""
    options, letter = shuffled(question, rng, rng.choice((3, 4)))
    return f"{question.text}{OPTIONS_CN}\n{lettered(options)}\n{LETTER_CN}", letter


def some_style(question: Question, rng: random.Random) -> tuple[str, str]:
    """Word a question in one of the styles that suit it, as the training mixture does."""
    draw = rng.random()
    if question.kind == "chinese":
        return short(question, rng) if draw < 0.15 else choice_chinese(question, rng)
    if question.kind == "unanswerable":
        return vizwiz(question, rng) if draw < 0.7 else sentence(question, rng)
    if question.yes_no:
        styles, weights = (short, please, sentence, vizwiz, stepwise), (50, 20, 20, 3, 7)
    elif len(question.right.short) > 24:
        styles, weights = (sentence, stepwise), (85, 15)
    else:
        styles = (short, choice, sentence, vizwiz, stepwise)
        weights = (30, 25, 22, 8, 15)
    return rng.choices(styles, weights)[0](question, rng)
