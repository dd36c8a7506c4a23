"""The conversation of a pair, and whether a model's chat template can hold it."""

from __future__ import annotations

from collections.abc import Callable

from harness.dpo.unfit import DROP, UNHELD, Unfit, name_of
from harness.protocol import Message, messages, texts_of
from harness.records import Pair

Write = Callable[[list[Message]], str]


def turns_of(pair: Pair) -> list[Message]:
    """Return the conversation up to the question that is trained on."""
    prompt = pair.prompt
    return messages(pair.asked, len(prompt.images), prompt.history)


def refuse_unheld(pair: Pair, write: Write, *, blind: bool) -> None:
    """Refuse a pair of several images, several turns or no image that a template cannot hold.

    Args:
        pair: a checked one.
        write: the chat template.
        blind: whether the family is trained on prompts without an image.

    Raises:
        Unfit: says what the template leaves out.
    """
    who, turns, images = name_of(pair), turns_of(pair), len(pair.prompt.images)
    if not images and not blind:
        raise Unfit(
            UNHELD, f"There is no image in {who}, and this family is not trained without. {DROP}"
        )
    try:
        told = write(turns)
        fewer = write(_without_last_image(turns)) if images > 1 else ""
    except Exception as error:  # a template's own code raises what it likes
        raise Unfit(
            UNHELD,
            f"The chat template refuses the prompt of {who} with {images} images and "
            f"{len(turns)} turns: {error}. {DROP}",
        ) from error
    if len(told) <= len(fewer):
        raise Unfit(UNHELD, f"The chat template has no place for all images of {who}. {DROP}")
    at = 0
    for text in texts_of(turns):
        found = told.find(text.strip(), at)
        if found < 0:
            raise Unfit(
                UNHELD, f"The chat template leaves out {text[:50]!r} of the prompt of {who}. {DROP}"
            )
        at = found + len(text.strip())


def _without_last_image(turns: list[Message]) -> list[Message]:
    at = max(n for n, turn in enumerate(turns) if {"type": "image"} in turn["content"])
    content = list(turns[at]["content"])
    last = max(n for n, part in enumerate(content) if part["type"] == "image")
    return [
        *turns[:at],
        {**turns[at], "content": content[:last] + content[last + 1 :]},
        *turns[at + 1 :],
    ]
