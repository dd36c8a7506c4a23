"""SeVa with K negatives: several corruptions of one image give several rejected answers.

    L_K = -log[ e^{r_c} / (e^{r_c} + sum_j e^{r_j}) ],   r(y) = beta * log(pi(y|I,q) / ref(y|I,q))

With K = 1 this is SeVa's DPO (arXiv 2404.10501), with K > 1 the loss of S-DPO (arXiv 2406.09215).
SeVa's paper calls its loss the one-negative case of a contrastive loss and does not test more; this
plugin does, next to the two controls without which a gain of K > 1 would mean nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from harness_seva.corruptions import edits_of, parse

from harness import dpo
from harness.hookspecs import hookimpl
from harness.records import Bounds, Drop, Pair, Prompt
from harness_multineg.negatives import HARD, drawn, labels, lists_of, with_others
from harness_multineg.negatives import expanded as expanded_pairs
from harness_multineg.negatives import single as single_pairs
from harness_multineg.scores import SCORES, scored

if TYPE_CHECKING:
    import PIL.Image

    from harness.model import Model


@dataclass(frozen=True)
class Options(dpo.Training):
    """The knobs; the training's defaults are those of SeVa's paper.

    Attributes:
        corruptions: one for each negative, weakest first (``plackett_luce`` takes this for the
            order), each as in ``harness_seva.corruptions``; joined by ``+`` on the command line.
        max_new_tokens: where an answer is cut, in tokens.
        hard: which negatives count as hard: ``similar`` ones share most words with the chosen
            answer, ``likely`` ones have the highest log-probability per word under the clean
            image. ``none`` takes them as they come.
        keep: keep so many of the hardest negatives; 0 keeps all. Needs ``hard``.
        others: also reject the chosen answers of so many other prompts, drawn by seed: the
            in-batch negatives of a contrastive loss.
        expand: control: the same pairs as rows of one negative each, trained with DPO. It makes
            more optimiser steps out of the same pairs, unless ``equal_steps``.
        one_negative: control: one negative for each prompt, drawn by seed, trained with DPO. As
            many rows, and so as many optimiser steps, as with all negatives.
        scores: of the answers, for ``loss=infonca`` and ``nca``: ``distance`` is the part of the
            words shared with the chosen answer, ``likelihood`` the log-probability per word under
            the clean image. Without scores ``infonca`` equals ``multi_softmax``.
        equal_steps: with ``expand``: shorten the training to the steps of the listwise one.
    """

    loss: str = "multi_softmax"
    corruptions: tuple[str, ...] = ("noise:step=200", "noise:step=500", "noise:step=800")
    max_new_tokens: Annotated[int, Bounds(least=1, most=65_536)] = 512
    hard: Annotated[str, Bounds(among=HARD)] = "none"
    keep: Annotated[int, Bounds(least=0)] = 0
    others: Annotated[int, Bounds(least=0, most=64)] = 0
    expand: bool = False
    one_negative: bool = False
    scores: Annotated[str, Bounds(among=SCORES)] = "none"
    equal_steps: bool = False
    learning_rate: float = 2e-6
    beta: float = 0.1
    batch_size: int = 16
    accumulation: int = 8
    lora_rank: int = 1024
    lora_alpha: int = 2048
    warmup_ratio: float = 0.03

    def __post_init__(self) -> None:
        """Refuse what could only fail later, or could not mean what it says."""
        super().__post_init__()
        if not self.corruptions:
            raise ValueError("corruptions names none; give at least one, such as noise:step=500")
        for text in self.corruptions:
            parse(text)
        if (self.keep > 0) != (self.hard != "none"):
            raise ValueError("keep and hard belong together, as in hard=similar and keep=2")
        if self.expand and self.one_negative:
            raise ValueError("expand and one_negative are two controls; choose one")
        if self.others and self.scores != "none":
            raise ValueError("others adds answers without a score; set scores=none with it")
        if self.equal_steps and not self.expand:
            raise ValueError("equal_steps changes expand only; one_negative has equal steps")


PRESETS = {
    "paper": Options(),
    "small": Options(max_new_tokens=128, **dpo.SMALL),
}


def uses(options: Options) -> tuple[str, ...]:
    """Return what else decides the result: SeVa's corruptions, and edits of other packages."""
    return ("seva", *edits_of(options.corruptions))


@hookimpl
def make_pairs(
    prompts: Iterable[Prompt], model: Model, options: Options, seed: int
) -> Iterator[Pair | Drop]:
    """Ask each question of the clean image and of every corrupted one."""
    corruptions = labels(options.corruptions)
    return scored(lists_of(prompts, model, corruptions, options, seed), model, options.scores)


def pictures(pair: Pair, options: Options, seed: int) -> Mapping[str, PIL.Image.Image]:
    """Return every corrupted image by its name in the journal, drawn again from the same seed."""
    image = pair.prompt.open_image()
    return {
        label: corruption.picture(image, drawn(seed, pair.prompt, label, corruption))
        for label, corruption in labels(options.corruptions).items()
    }


@hookimpl
def train(pairs: Sequence[Pair], model: Model, options: Options, out: Path, seed: int) -> Path:
    """Train with the listwise loss, or with DPO for one of the controls."""
    how, given = training(options), rows(pairs, options, seed)
    if options.equal_steps:
        how = dataclasses.replace(how, max_steps=dpo.steps_of(pairs, seed, options))
    return dpo.train(given, model, out, seed=seed, training=how)


def rows(pairs: Sequence[Pair], options: Options, seed: int) -> Sequence[Pair]:
    """Return the pairs as they are trained on: with others' answers, or those of a control."""
    pairs = with_others(pairs, options.others, seed)
    if options.expand:
        return expanded_pairs(pairs)
    return single_pairs(pairs, seed) if options.one_negative else pairs


def training(options: Options) -> Options:
    """Say how the pairs are trained on: the controls take DPO, with one negative for each row."""
    alone = options.expand or options.one_negative
    return dataclasses.replace(options, loss="dpo") if alone else options
