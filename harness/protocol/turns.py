"""A conversation as chat templates take it: turns of texts and places of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

IMAGE = "<image>"
"""The place of an image in a text."""

Message = dict[str, Any]
"""``role``, and ``content`` as a list of parts: ``{"type": "text", "text": ...}`` or an image."""


def messages(question: str, images: int, history: Sequence[tuple[str, str]] = ()) -> list[Message]:
    """Return a conversation up to its last question.

    Several images, or those of several turns, stand where the questions mark them. Without any mark
    they stand before the first question, as one image of one question always does.

    Args:
        question: the last one.
        images: how many there are.
        history: question and answer of each turn before.

    Raises:
        ValueError: if there are marks, and not one for each image.
    """
    asked = [*(question for question, _ in history), question]
    marks = sum(text.count(IMAGE) for text in asked)
    single = images == 1 and not history
    if marks and not single and marks != images:
        raise ValueError(f"the texts mark {marks} places for {images} images")
    contents = [[text(each)] if single or not marks else marked(each) for each in asked]
    if single or not marks:
        contents[0] = [{"type": "image"}] * images + contents[0]
    turns: list[Message] = []
    for content, (_, answer) in zip(contents, history, strict=False):
        turns += [{"role": "user", "content": content}, answered(answer)]
    return [*turns, {"role": "user", "content": contents[-1]}]


def answered(answer: str) -> Message:
    """Return the turn in which the model says this."""
    return {"role": "assistant", "content": [text(answer)]}


def text(said: str) -> Message:
    """Return a part of a turn."""
    return {"type": "text", "text": said}


def marked(said: str) -> list[Message]:
    """Split a text at its marks into parts."""
    parts: list[Message] = []
    for number, piece in enumerate(said.split(IMAGE)):
        parts += [{"type": "image"}] * bool(number) + [text(piece)] * bool(piece)
    return parts


def texts_of(turns: Sequence[Message]) -> list[str]:
    """Return all texts of a conversation, in their order."""
    return [part["text"] for turn in turns for part in turn["content"] if part["type"] == "text"]
