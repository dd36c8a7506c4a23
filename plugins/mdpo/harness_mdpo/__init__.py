"""mDPO (arXiv 2406.11839): the chosen answer is also preferred to itself under a cropped image.

To each preference comes a third answer, the chosen text under a random crop that keeps at most a
fifth of the image. The loss is DPO between the texts, DPO between the images, and an anchor that
keeps the chosen answer's reward above zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from harness_given import Preferred, preferences

from harness import dpo
from harness.hookspecs import hookimpl
from harness.records import Bounds, Drop, Pair, Prompt, Side, seed_of

if TYPE_CHECKING:
    from harness.model import Model


USES = ("given", "seva")


@dataclass(frozen=True)
class Options(Preferred):
    """mDPO's knobs; those of the training are the released configuration's (for Bunny-3B).

    https://github.com/luka-group/mDPO, bunny/config.yaml at ec316ce, for one process.

    Attributes:
        keep: largest share of the image that the crop keeps.
        size: side of the crop in pixels, before the model's own processor.
    """

    keep: Annotated[float, Bounds(above=0.01, most=1)] = 0.2
    size: Annotated[int, Bounds(least=8, most=4096)] = 224
    loss: str = "dpo+conditional+anchor"
    learning_rate: float = 1e-5
    beta: float = 0.1
    epochs: float = 3.0
    batch_size: int = 8
    accumulation: int = 4
    warmup_ratio: float = 0.1
    weight_decay: float = 0.05
    lora_rank: int = 64
    lora_alpha: int = 128


PRESETS = {
    "paper": Options(),
    "small": Options(max_new_tokens=128, **dpo.SMALL),
}


@hookimpl
def make_pairs(
    prompts: Iterable[Prompt], model: Model, options: Options, seed: int
) -> Iterator[Pair | Drop]:
    """Add the chosen answer under a crop of the image to each preference."""
    for item in preferences(prompts, model, options):
        yield item if isinstance(item, Drop) else with_crop(item, options, seed)


def with_crop(pair: Pair, options: Options, seed: int) -> Pair:
    """Return a pair whose last answer is the chosen one under a crop, drawn by the prompt's id."""
    view = f"resized_crop:size={options.size},scale=0.01..{options.keep:g}"
    crop = Side(view=view, seed=seed_of(seed, pair.prompt.id, "mdpo"))
    sides = (*(side for _, side in pair.answers), crop)
    return replace(pair, rejected=(*pair.rejected, pair.chosen), sides=sides)


@hookimpl
def train(pairs: Sequence[Pair], model: Model, options: Options, out: Path, seed: int) -> Path:
    """Train with DPO, the conditional term and the anchor, and return the adapter."""
    return dpo.train(pairs, model, out, seed=seed, training=options)
