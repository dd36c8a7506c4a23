"""RLHF-V (arXiv 2312.00849): DPO in which the segments that a correction changed weigh more.

The chosen answer is a correction of the rejected one. The words in which they differ get the weight
``gamma``, all others 1, and each answer's log-ratio is the weighted mean over its tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from harness_given import Preferred, preferences, weighted

from harness import dpo
from harness.hookspecs import hookimpl
from harness.records import Bounds, Drop, Pair, Prompt

if TYPE_CHECKING:
    from harness.model import Model


USES = ("given",)


@dataclass(frozen=True)
class Options(Preferred):
    """RLHF-V's knobs; the defaults are the paper's.

    Attributes:
        gamma: weight of the words in which the two answers differ.
    """

    gamma: Annotated[float, Bounds(least=0, most=1000)] = 5.0
    loss: str = "ddpo"
    learning_rate: float = 5e-7
    beta: float = 0.5
    epochs: float = 7.0
    batch_size: int = 8
    accumulation: int = 4


PRESETS = {
    "paper": Options(),
    "small": Options(max_new_tokens=128, **dpo.SMALL),
}


@hookimpl
def make_pairs(
    prompts: Iterable[Prompt], model: Model, options: Options, seed: int
) -> Iterator[Pair | Drop]:
    """Weigh the segments in which each preference's answers differ."""
    for item in preferences(prompts, model, options):
        yield item if isinstance(item, Drop) else weighted(item, options.gamma)


@hookimpl
def train(pairs: Sequence[Pair], model: Model, options: Options, out: Path, seed: int) -> Path:
    """Train with dense DPO and return the adapter."""
    return dpo.train(pairs, model, out, seed=seed, training=options)
