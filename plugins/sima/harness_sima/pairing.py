"""From prompts to judged pairs: two answers each, then one or two verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from harness.model import ask_each
from harness.pairs import thoughts_of, word_distance
from harness.records import Answer, Drop, Pair, Prompt, Request, seed_of
from harness_sima.critic import fill, verdict

if TYPE_CHECKING:
    from harness.model import Model
    from harness_sima import Options

CHUNK = 32
"""Prompts answered before their critic is asked; the engine batches within a chunk."""

SAMPLE, GREEDY = "sample", "greedy"


@dataclass(frozen=True)
class Candidates:
    """The two answers to one prompt, both there and different."""

    prompt: Prompt
    reference: str
    sample: str
    greedy: str
    thoughts: Mapping[str, Any]

    def shown(self, first: str) -> tuple[str, str]:
        """Return both answers, the one labelled ``first`` first."""
        both = (self.sample, self.greedy)
        return both if first == SAMPLE else both[::-1]


def pairs_of(
    prompts: Iterable[Prompt], model: Model, options: Options, template: str, seed: int
) -> Iterator[Pair | Drop]:
    """Yield one pair or drop for each prompt, in order, reading one chunk ahead.

    Drops: ``missing`` (an answer or verdict could not be had), ``equal`` (both answers the same),
    ``no reference``, ``unparsable``, ``inconsistent`` (``order=both`` only).
    """
    stream = iter(prompts)
    while chunk := list(islice(stream, CHUNK)):
        found = list(_candidates(chunk, model, options, seed))
        ready = [item for item in found if isinstance(item, Candidates)]
        firsts = (SAMPLE, GREEDY) if options.order == "both" else (SAMPLE,)
        words = model.answer(
            _critique(item, template, first, options) for item in ready for first in firsts
        )
        for item in found:
            if isinstance(item, Drop):
                yield item
            else:
                said = [(first, next(words)) for first in firsts]
                yield _judged(item, said, options)


def _candidates(
    prompts: list[Prompt], model: Model, options: Options, seed: int
) -> Iterator[Candidates | Drop]:
    def requests(prompt: Prompt) -> Iterator[Request]:
        images, limit = (prompt.open_image(),), options.max_new_tokens
        yield Request(prompt.question, images, max_new_tokens=limit)
        yield Request(
            prompt.question,
            images,
            max_new_tokens=limit,
            temperature=options.temperature,
            top_p=options.top_p,
            seed=seed_of(seed, prompt.id, SAMPLE),
        )

    for prompt, (greedy, sample) in ask_each(model, prompts, requests):
        if greedy.text is None or sample.text is None:
            yield Drop(prompt, "missing", {"error": greedy.error or sample.error})
        elif prompt.reference is None:
            yield Drop(prompt, "no reference")
        elif not greedy.text or not sample.text:
            yield Drop(prompt, "empty")
        elif greedy.text == sample.text:
            yield Drop(prompt, "equal", {"changes": {SAMPLE: 0.0}})
        else:
            thoughts = thoughts_of({GREEDY: greedy, SAMPLE: sample})
            yield Candidates(prompt, prompt.reference, sample.text, greedy.text, thoughts)


def _critique(item: Candidates, template: str, first: str, options: Options) -> Request:
    text = fill(template, item.prompt.question, item.reference, *item.shown(first))
    return Request(text, (item.prompt.open_image(),), max_new_tokens=options.critic_tokens)


def _judged(item: Candidates, said: list[tuple[str, Answer]], options: Options) -> Pair | Drop:
    for _, answer in said:
        if answer.text is None:
            return Drop(item.prompt, "missing", {"error": answer.error})
    verdicts = [(first, verdict(answer.text, bare=options.bare)) for first, answer in said]
    meta: dict[str, Any] = {
        "changes": {SAMPLE: word_distance(item.greedy, item.sample)},
        "critic": [{"first": first, "verdict": number} for first, number in verdicts],
        **item.thoughts,
    }
    winners = {_winner(first, number) for first, number in verdicts}
    if None in winners:
        meta["said"] = [answer.text for _, answer in said]
        return Drop(item.prompt, "unparsable", meta)
    if len(winners) > 1:
        return Drop(item.prompt, "inconsistent", meta)
    meta["winner"] = winners.pop()
    chosen, rejected = item.shown(str(meta["winner"]))
    return Pair(item.prompt, chosen, (rejected,), meta)


def _winner(first: str, number: int | None) -> str | None:
    if number is None:
        return None
    other = GREEDY if first == SAMPLE else SAMPLE
    return first if number == 1 else other
