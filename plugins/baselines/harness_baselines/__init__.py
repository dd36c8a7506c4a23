"""What a sceptic asks for beside every method: the same pairs, without the method's idea.

Each baseline wraps another method (``of``): it lets that method make its pairs and trains on them
with that method's own training, but for one thing. ``sft`` imitates the winners instead of
comparing; ``swapped`` exchanges winner and loser; ``random_pairs`` lets a coin decide which answer
wins; ``gt_dpo`` asks the model once and prefers the reference answer to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from harness import dpo
from harness.errors import UsageError
from harness.hookspecs import hookimpl
from harness.model import ask_each
from harness.pairs import thoughts_of, word_distance
from harness.records import Drop, Pair, Prompt, Request, seed_of

if TYPE_CHECKING:
    from harness.model import Model
    from harness.plugins import Method

OWN = ("sft", "swapped", "random_pairs", "gt_dpo")


@dataclass(frozen=True)
class Options:
    """Which method to take, and how it is set.

    Attributes:
        of: name of the method whose pairs and training are used.
        of_preset: its preset; empty for its defaults.
        of_set: its options as ``KEY=VALUE``, joined by ``+`` on the command line, as in
            ``--set of_set=noise_step=800+beta=0.2``.
    """

    of: str = "seva"
    of_preset: str = ""
    of_set: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a baseline of a baseline, and options that the wrapped method refuses."""
        if self.of in OWN:
            raise ValueError(f"of={self.of} is a baseline itself; name a method, such as of=seva")
        # Not for the presets below: nothing is looked up while this module is imported.
        if self.of != "seva" or self.of_set:
            wrapped(self)


@dataclass(frozen=True)
class Baseline:
    """One baseline: a method like any other, whose hooks are its own methods.

    Attributes:
        name: ``sft``, ``swapped``, ``random_pairs`` or ``gt_dpo``.
    """

    name: str
    Options: ClassVar[type] = Options
    PRESETS: ClassVar[dict[str, Options]] = {
        "paper": Options(of_preset="paper"),
        "released": Options(of_preset="released"),
        "small": Options(of_preset="small"),
    }

    def wraps(self, options: Options) -> tuple[Method, Any, dict[str, str]]:
        """Return the method whose code, options and files decide the result too."""
        return wrapped(options)

    @hookimpl
    def make_pairs(
        self, prompts: Iterable[Prompt], model: Model, options: Options, seed: int
    ) -> Iterator[Pair | Drop]:
        """Let the wrapped method make its pairs; ``gt_dpo`` makes its own."""
        method, inner, _ = wrapped(options)
        if self.name == "gt_dpo":
            yield from references(prompts, model, getattr(inner, "max_new_tokens", 512))
        elif self.name in ("swapped", "random_pairs"):
            for item in method.make_pairs(prompts, model, inner, seed):  # type: ignore[arg-type]
                yield relabelled(item, self.name, seed) if isinstance(item, Pair) else item
        else:
            yield from method.make_pairs(prompts, model, inner, seed)  # type: ignore[arg-type]

    @hookimpl
    def train(
        self, pairs: Sequence[Pair], model: Model, options: Options, out: Path, seed: int
    ) -> Path:
        """Train as the wrapped method does; ``sft`` and ``gt_dpo`` set the loss."""
        method, inner, _ = wrapped(options)
        if self.name in ("swapped", "random_pairs"):
            return method.train(pairs, model, inner, out, seed)
        return dpo.train(pairs, model, out, seed=seed, training=self.training(options))

    def training(self, options: Options) -> Any:
        """Say how the pairs are trained on: as the wrapped method does, or with another loss."""
        _, inner, _ = wrapped(options)
        if self.name in ("swapped", "random_pairs"):
            return inner
        return training_of(inner, "sft" if self.name == "sft" else "dpo")


SFT = Baseline("sft")
SWAPPED = Baseline("swapped")
RANDOM_PAIRS = Baseline("random_pairs")
GT_DPO = Baseline("gt_dpo")


def wrapped(options: Options) -> tuple[Method, Any, dict[str, str]]:
    """Return the wrapped method, its options, and the texts of those that were set.

    Raises:
        UsageError: if it is not installed or its options do not fit; the message names it.
    """
    from harness.plugins import load_method

    values: dict[str, str] = {}
    for text in options.of_set:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise UsageError(
                f"of_set holds '{text}', which is not a KEY=VALUE. Write, for example, "
                "--set of_set=noise_step=800+beta=0.2"
            )
        values[key] = value
    method = load_method(options.of)
    return method, method.options(options.of_preset or None, values), values


def training_of(inner: Any, loss: str) -> dpo.Training:
    """Return the training of a method's options, with another loss."""
    known = {field.name: getattr(inner, field.name) for field in fields(dpo.Training)
             if hasattr(inner, field.name)}  # fmt: skip
    return replace(dpo.Training(**known), loss=loss)


def relabelled(pair: Pair, how: str, seed: int) -> Pair:
    """Exchange winner and (first) loser: always, or where the prompt's coin says so.

    Of several rejected answers one becomes the winner and the old winner takes its place, so that
    their number stays. An answer that was the winner's text under another image becomes the new
    winner's, unless there are no others to exchange.
    """
    every = range(1 + len(pair.rejected))
    texts = [at for at in every if not at or pair.rejected[at - 1].strip() != pair.chosen.strip()]
    places = texts if len(texts) > 1 else every
    coin = seed_of(seed, "coin", pair.prompt.id) % len(places)
    place = places[coin if how == "random_pairs" else 1]
    if place == 0:
        return pair
    order = list(every)
    order[0], order[place] = order[place], order[0]
    made = pair.arranged(order)
    if places is texts:
        rejected = (made.chosen if at not in texts else made.rejected[at - 1] for at in every[1:])
        made = replace(made, rejected=tuple(rejected))
    # The scores stay where they are: a loss that goes by them must be taken in too.
    sides = [replace(new, score=old.score) for new, old in zip(made.sides, pair.sides, strict=True)]
    return replace(made, meta=pair.meta, sides=tuple(sides))


def references(prompts: Iterable[Prompt], model: Model, limit: int) -> Iterator[Pair | Drop]:
    """Prefer each prompt's reference to the model's greedy answer."""

    def requests(prompt: Prompt) -> Iterator[Request]:
        if prompt.reference is not None:
            yield Request(prompt.question, (prompt.open_image(),), max_new_tokens=limit)

    for prompt, answers in ask_each(model, prompts, requests):
        reference = prompt.reference
        if reference is None:
            yield Drop(prompt, "no reference")
            continue
        (answer,) = answers
        if answer.text is None:
            yield Drop(prompt, "missing", {"error": answer.error})
        elif answer.text == reference:
            yield Drop(prompt, "equal", {"changes": {"reference": 0.0}})
        else:
            meta = {"changes": {"reference": word_distance(reference, answer.text)}}
            meta |= thoughts_of({"answer": answer})
            yield Pair(prompt, reference, (answer.text,), meta)
