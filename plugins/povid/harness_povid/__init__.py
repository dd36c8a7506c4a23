"""POVID (arXiv 2402.11411): the rejected answer comes from, and is read under, a noised image.

The chosen answer is read under the image itself. With a file of pairs the rejected answers are the
file's; without one the model is asked under the noised image.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from harness_given import Preferred, preferences
from harness_seva.corruptions import parse

from harness import dpo
from harness.hookspecs import hookimpl
from harness.model import ask_each
from harness.pairs import word_distance
from harness.records import Bounds, Drop, Pair, Prompt, Request, Side, seed_of

if TYPE_CHECKING:
    from harness.model import Model


USES = ("given", "seva")


@dataclass(frozen=True)
class Options(Preferred):
    """POVID's knobs; those of the training are the released script's for its second stage.

    https://github.com/YiyangZhou/POVID, scripts/run_povid.sh at 819db15, for one process.

    Attributes:
        noise_step: strength of the diffusion noise, 0 to 999.
    """

    noise_step: Annotated[int, Bounds(least=0, most=999)] = 500
    learning_rate: float = 1e-7
    beta: float = 0.1
    epochs: float = 3.0
    batch_size: int = 1
    accumulation: int = 1
    lora_rank: int = 128
    lora_alpha: int = 256

    @property
    def view(self) -> str:
        """The noise as the view of an answer."""
        return f"noise:step={self.noise_step}"


PRESETS = {
    "paper": Options(),
    "small": Options(max_new_tokens=128, **dpo.SMALL),
}


@hookimpl
def make_pairs(
    prompts: Iterable[Prompt], model: Model, options: Options, seed: int
) -> Iterator[Pair | Drop]:
    """Let the rejected answer of each preference be read under noise."""
    made = (
        preferences(prompts, model, options)
        if options.pairs
        else own(prompts, model, options, seed)
    )
    for item in made:
        yield item if isinstance(item, Drop) else under_noise(item, options, seed)


def own(
    prompts: Iterable[Prompt], model: Model, options: Options, seed: int
) -> Iterator[Pair | Drop]:
    """Prefer each prompt's reference to the model's greedy answer to the noised image."""

    def requests(prompt: Prompt) -> Iterator[Request]:
        if prompt.reference is not None:
            drawn = seed_of(seed, prompt.id, "povid")
            image, view = parse(options.view).apply(prompt.open_image(), drawn)
            yield Request(prompt.question, (image,), options.max_new_tokens, view=view)

    for prompt, answers in ask_each(model, prompts, requests):
        if prompt.reference is None:
            yield Drop(prompt, "no reference")
        elif not answers[0].text:
            yield Drop(prompt, "missing", {"error": answers[0].error})
        else:
            distance = word_distance(prompt.reference, answers[0].text)
            meta = {"changes": {options.view: distance}}
            yield Pair(prompt, prompt.reference, (answers[0].text,), meta)


def under_noise(pair: Pair, options: Options, seed: int) -> Pair:
    """Return a pair whose rejected answers are read under the noise of its prompt."""
    noise = Side(view=options.view, seed=seed_of(seed, pair.prompt.id, "povid"))
    return replace(pair, sides=(Side(), *[noise] * len(pair.rejected)))


@hookimpl
def train(pairs: Sequence[Pair], model: Model, options: Options, out: Path, seed: int) -> Path:
    """Train with DPO and return the adapter."""
    return dpo.train(pairs, model, out, seed=seed, training=options)
