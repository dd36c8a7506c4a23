"""Scores of the answers of a list, for losses that look at them (``infonca``, ``nca``)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.model import ask_each
from harness.pairs import word_distance
from harness.records import Drop, Pair, Request, Side

if TYPE_CHECKING:
    from harness.model import Model

SCORES = ("none", "distance", "likelihood")


def scored(items: Iterable[Pair | Drop], model: Model, kind: str) -> Iterator[Pair | Drop]:
    """Give each answer of a list a score.

    Args:
        items: lists and drops.
        model: before training.
        kind: ``distance``: the part of the words that an answer shares with the chosen one, so
            that the chosen one has 1; ``likelihood``: its log-probability per word under the
            clean image, in nats; ``none``.
    """
    if kind == "likelihood":
        yield from _likely(items, model)
        return
    for item in items:
        if kind == "none" or isinstance(item, Drop):
            yield item
        else:
            texts = (item.chosen, *item.rejected)
            yield with_scores(item, [1 - word_distance(item.chosen, text) for text in texts])


def _likely(items: Iterable[Pair | Drop], model: Model) -> Iterator[Pair | Drop]:
    def requests(item: Pair | Drop) -> Iterator[Request]:
        if isinstance(item, Pair):
            image, texts = item.prompt.open_image(), (item.chosen, *item.rejected)
            yield Request(item.prompt.question, (image,), 1, choices=texts)

    for item, answers in ask_each(model, items, requests):
        if isinstance(item, Drop):
            yield item
        elif len(answers[0].choices) != 1 + len(item.rejected):
            yield Drop(item.prompt, "missing", {**item.meta, "error": answers[0].error})
        else:
            values = zip((item.chosen, *item.rejected), answers[0].choices, strict=True)
            yield with_scores(item, [value / max(1, len(text.split())) for text, value in values])


def with_scores(pair: Pair, scores: list[float]) -> Pair:
    """Return the pair with a score for each answer, the chosen one first."""
    return replace(pair, sides=tuple(Side(score=score) for score in scores))
