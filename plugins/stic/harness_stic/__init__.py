"""STIC (arXiv 2405.19716): a description asked for carefully is better than one that was misled.

The model describes each image twice: once asked to look carefully, once asked with a misleading
question or shown a corrupted image. Training is on a plain question that was asked neither time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from harness_seva.corruptions import edits_of, parse

from harness import dpo
from harness.hookspecs import hookimpl
from harness.model import ask_each
from harness.pairs import thoughts_of, word_distance
from harness.records import Bounds, Drop, Pair, Prompt, Request, seed_of

if TYPE_CHECKING:
    from harness.model import Model


@dataclass(frozen=True)
class Options(dpo.Training):
    """STIC's knobs; those of the training are the released script's.

    https://github.com/yihedeng9/STIC, scripts/dpo_finetune.sh at 9511f1e, its two processes' pairs
    taken together. The prompts are our own words.

    Attributes:
        question: what is trained on.
        careful: how the preferred description is asked for.
        misleading: how the dispreferred one is asked for; one of them is drawn for each prompt.
        corruption: what is done to the image instead, for half of the prompts.
        max_new_tokens: where a description is cut, in tokens.
    """

    question: str = "Describe the image."
    careful: str = (
        "Describe the image. Look at it part by part first: name what is really there, then "
        "colours, places and relations, and leave out whatever you cannot see."
    )
    misleading: tuple[str, ...] = (
        "Describe the image, and name what usually goes with such a scene as if it were there.",
        "Describe the image, and add people and animals that you can imagine in it.",
        "Describe the image with colours and numbers that would make it more exciting.",
    )
    corruption: str = "jitter:brightness=0.8,contrast=0.8,saturation=0.8,hue=0.4"
    max_new_tokens: Annotated[int, Bounds(least=1, most=65_536)] = 512
    loss: str = "dpo+sft"
    learning_rate: float = 1e-7
    beta: float = 0.1
    batch_size: int = 1
    accumulation: int = 4

    def __post_init__(self) -> None:
        """Refuse what could only fail later."""
        super().__post_init__()
        parse(self.corruption)
        if not self.misleading or not all(text.strip() for text in (self.question, self.careful)):
            raise ValueError("question, careful and misleading must hold at least one text each")


PRESETS = {
    "paper": Options(),
    "small": Options(  # the questions that the built-in demo's model was taught
        question="What can you see in the image?",
        careful="What can you see in the image?",
        misleading=("What is the color of the cat?", "How many dogs are there?"),
        max_new_tokens=128,
        cut="keep",  # a description is long, and harness check asks for short ones
        **dpo.SMALL,
    ),
}


def uses(options: Options) -> tuple[str, ...]:
    """Return what else decides the result: SeVa's corruptions, and edits of other packages."""
    return ("seva", *edits_of((options.corruption,)))


@hookimpl
def make_pairs(
    prompts: Iterable[Prompt], model: Model, options: Options, seed: int
) -> Iterator[Pair | Drop]:
    """Describe each image well and badly; the prompt's own question is not asked."""

    def requests(prompt: Prompt) -> Iterator[Request]:
        image, limit = prompt.open_image(), options.max_new_tokens
        yield Request(options.careful, (image,), limit)
        drawn = seed_of(seed, prompt.id, "stic")
        if drawn % 2:
            worse, view = parse(options.corruption).apply(image, drawn)
            yield Request(options.question, (worse,), limit, view=view)
        else:
            yield Request(options.misleading[drawn // 2 % len(options.misleading)], (image,), limit)

    for prompt, (good, bad) in ask_each(model, prompts, requests):
        if not good.text or not bad.text:
            yield Drop(prompt, "missing", {"error": good.error or bad.error})
            continue
        how = options.corruption if seed_of(seed, prompt.id, "stic") % 2 else "misleading question"
        meta = {"changes": {how: word_distance(good.text, bad.text)}}
        meta |= thoughts_of({"careful": good, how: bad})
        if good.text == bad.text:
            yield Drop(prompt, "equal", meta)
        else:
            yield Pair(prompt, good.text, (bad.text,), meta, question=options.question)


@hookimpl
def train(pairs: Sequence[Pair], model: Model, options: Options, out: Path, seed: int) -> Path:
    """Train with DPO and imitation of the chosen description, and return the adapter."""
    return dpo.train(pairs, model, out, seed=seed, training=options)
