"""Preferences for methods that are about something else: from a file, or reference over answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from harness import dpo
from harness.model import ask_each
from harness.pairs import bound, differing, given_answers, thoughts_of, word_distance
from harness.records import Bounds, Drop, Pair, Prompt, Request

if TYPE_CHECKING:
    from harness.model import Model


@dataclass(frozen=True)
class Preferred(dpo.Training):
    """Where preferences come from, next to every knob of the training.

    Attributes:
        pairs: file or folder of the pairs; ``--pairs`` sets it. Without one, each prompt's
            reference is preferred to the model's greedy answer.
        max_new_tokens: where an answer is cut, in tokens.
    """

    pairs: str = ""
    max_new_tokens: Annotated[int, Bounds(least=1, most=65_536)] = 512


def preferences(
    prompts: Iterable[Prompt], model: Model, options: Preferred
) -> Iterator[Pair | Drop]:
    """Yield what the options say for each prompt."""
    if options.pairs:
        yield from from_file(prompts, options.pairs)
    else:
        yield from from_references(prompts, model, options.max_new_tokens)


def from_file(prompts: Iterable[Prompt], pairs: str) -> Iterator[Pair | Drop]:
    """Give each prompt the pair of its row, found by the row's id."""
    rows = {id_: (question, item) for id_, question, item in given_answers(Path(pairs))}
    for prompt in prompts:
        question, item = rows.get(prompt.id, ("", None))
        if item is None:
            yield Drop(prompt, "no pair", {"detail": f"no row of {pairs} has this id"})
        elif question != prompt.question:
            yield Drop(prompt, "another question", {"detail": question[:200]})
        else:
            yield bound(item, prompt)


def from_references(prompts: Iterable[Prompt], model: Model, limit: int) -> Iterator[Pair | Drop]:
    """Prefer each prompt's reference to the model's greedy answer."""

    def requests(prompt: Prompt) -> Iterator[Request]:
        if prompt.reference is not None:
            yield Request(prompt.question, (prompt.open_image(),), max_new_tokens=limit)

    for prompt, answers in ask_each(model, prompts, requests):
        reference = prompt.reference
        if reference is None:
            yield Drop(prompt, "no reference")
        elif answers[0].text is None:
            yield Drop(prompt, "missing", {"error": answers[0].error})
        elif answers[0].text == reference:
            yield Drop(prompt, "equal", {"changes": {"reference": 0.0}})
        else:
            meta = {"changes": {"reference": word_distance(reference, answers[0].text)}}
            meta |= thoughts_of({"answer": answers[0]})
            yield Pair(prompt, reference, (answers[0].text,), meta)


def weighted(pair: Pair, weight: float) -> Pair:
    """Give a pair of two answers a weight for the segments in which they differ."""
    if weight == 1 or len(pair.rejected) > 1 or any(side.weights for side in pair.sides):
        return pair
    texts = ((pair.chosen, pair.rejected[0]), (pair.rejected[0], pair.chosen))
    sides = tuple(
        replace(side, weights=tuple((begin, end, weight) for begin, end in differing(*two)))
        for (_, side), two in zip(pair.answers, texts, strict=True)
    )
    return replace(pair, sides=sides)
