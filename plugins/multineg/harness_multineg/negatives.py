"""One clean answer and several corrupted ones: made, told apart, chosen from, rearranged."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from harness_seva.corruptions import Chain, Corruption, parse

from harness.model import ask_each
from harness.pairs import thoughts_of, word_distance
from harness.records import Answer, Drop, Pair, Prompt, Request, Side, distinct, seed_of

if TYPE_CHECKING:
    from harness.model import Model
    from harness_multineg import Options

HARD = ("none", "similar", "likely")
CHUNK = 32
"""Prompts whose answers are made together; the engine batches within a chunk."""


def labels(texts: Sequence[str]) -> dict[str, Corruption | Chain]:
    """Return corruptions by their name in the journal; one that comes again is numbered."""
    found: dict[str, Corruption | Chain] = {}
    for text in texts:
        corruption = parse(text)
        number = 1 + sum(other == corruption for other in found.values())
        found[str(corruption) + (f"#{number}" if number > 1 else "")] = corruption
    return found


def lists_of(
    prompts: Iterable[Prompt],
    model: Model,
    corruptions: Mapping[str, Corruption | Chain],
    options: Options,
    seed: int,
) -> Iterator[Pair | Drop]:
    """Yield one list or drop for each prompt, in order, reading one chunk ahead.

    Every step of the noise ladder uses the same noise, more of it; a corruption that stands in the
    list twice is drawn anew each time.
    """
    stream = iter(prompts)
    while chunk := list(islice(stream, CHUNK)):
        asked = partial(_requests, corruptions=corruptions, options=options, seed=seed)
        found = [
            _listed(prompt, answers, list(corruptions))
            for prompt, answers in ask_each(model, chunk, asked)
        ]
        yield from found if options.hard == "none" else _hardest(found, model, options)


def _requests(
    prompt: Prompt, corruptions: Mapping[str, Corruption | Chain], options: Options, seed: int
) -> Iterator[Request]:
    image, limit = prompt.open_image(), options.max_new_tokens
    yield Request(prompt.question, (image,), max_new_tokens=limit)
    for label, corruption in corruptions.items():
        worse, view = corruption.apply(image, drawn(seed, prompt, label, corruption))
        yield Request(prompt.question, (worse,), max_new_tokens=limit, view=view)


def drawn(seed: int, prompt: Prompt, label: str, corruption: Corruption | Chain) -> int:
    """Return the seed of one corruption of one prompt; ``#2`` and on draw anew."""
    again = label.partition("#")[2]
    return seed_of(seed, prompt.id, corruption.name, *filter(None, [again]))


def _listed(prompt: Prompt, answers: Sequence[Answer], names: list[str]) -> Pair | Drop:
    """Return the list, answers equal to the chosen one or to a weaker one's taken out."""
    texts = [answer.text for answer in answers if answer.text is not None]
    if len(texts) < len(answers):
        error = next(answer.error for answer in answers if answer.text is None)
        return Drop(prompt, "missing", {"error": error})
    chosen, worse = texts[0], texts[1:]
    distances = {n: word_distance(chosen, text) for n, text in zip(names, worse, strict=True)}
    different = distinct(text for text in worse if text and text != chosen)
    named = dict(zip(["clean", *names], answers, strict=True))
    meta = {"changes": distances, **thoughts_of(named)}
    return Pair(prompt, chosen, different, meta) if different else Drop(prompt, "equal", meta)


def _hardest(found: Sequence[Pair | Drop], model: Model, options: Options) -> Iterator[Pair | Drop]:
    """Keep the hardest negatives of each list, in their old order."""
    long = [item for item in found if _too_long(item, options)]
    scored = model.answer(
        Request(pair.prompt.question, (pair.prompt.open_image(),), 1, choices=pair.rejected)
        for pair in (long if options.hard == "likely" else [])
        if isinstance(pair, Pair)
    )
    for item in found:
        if not isinstance(item, Pair) or not _too_long(item, options):
            yield item
            continue
        ease = {text: word_distance(item.chosen, text) for text in item.rejected}
        if options.hard == "likely":
            answer = next(scored)
            if len(answer.choices) != len(item.rejected):
                yield Drop(item.prompt, "missing", {**item.meta, "error": answer.error})
                continue
            values = zip(item.rejected, answer.choices, strict=True)
            ease = {text: -value / max(1, len(text.split())) for text, value in values}
        kept = sorted(item.rejected, key=ease.__getitem__)[: options.keep]
        yield replace(item, rejected=tuple(text for text in item.rejected if text in kept))


def _too_long(item: Pair | Drop, options: Options) -> bool:
    return isinstance(item, Pair) and len(item.rejected) > options.keep


def with_others(pairs: Sequence[Pair], count: int, seed: int) -> Sequence[Pair]:
    """Add chosen answers of other prompts to each pair's rejected ones, drawn by seed and prompt.

    An answer that a prompt chose or rejected itself is never added.
    """
    if not count:
        return pairs
    every = distinct(pair.chosen for pair in pairs)
    made = []
    for pair in pairs:
        own = {pair.chosen, *pair.rejected}
        enough = min(len(every), count + len(own))
        draw = random.Random(seed_of(seed, "other", pair.prompt.id)).sample(every, enough)
        added = [text for text in draw if text not in own][:count]
        sides = (*pair.sides, *(Side() for _ in added)) if pair.sides else ()
        made.append(replace(pair, rejected=(*pair.rejected, *added), sides=sides))
    return made


def expanded(pairs: Sequence[Pair]) -> list[Pair]:
    """Return one pair of one negative for each rejected answer."""
    return [pair.arranged((0, at)) for pair in pairs for at in range(1, 1 + len(pair.rejected))]


def single(pairs: Sequence[Pair], seed: int) -> list[Pair]:
    """Return each pair with one of its rejected answers, drawn by seed and prompt alone."""
    return [
        pair.arranged((0, 1 + seed_of(seed, "one", pair.prompt.id) % len(pair.rejected)))
        for pair in pairs
    ]
