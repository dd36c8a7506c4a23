"""SimPO (arXiv 2405.14734): log-probability per token with a target margin, no reference model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness_given import Preferred, preferences

from harness import dpo
from harness.hookspecs import hookimpl
from harness.records import Drop, Pair, Prompt

if TYPE_CHECKING:
    from harness.model import Model


USES = ("given",)


@dataclass(frozen=True)
class Options(Preferred):
    """SimPO's knobs; the defaults are the released configuration's for Llama-3-8B-Instruct.

    https://github.com/princeton-nlp/SimPO, training_configs/llama-3-8b-instruct-simpo.yaml at
    15c4ff8: ``gamma_beta_ratio`` 0.55; 128 pairs a step as the paper says.

    ``gamma`` is a knob of the loss: ``loss=simpo:gamma=1.375``.
    """

    loss: str = "simpo:gamma=1.375"
    beta: float = 2.5
    learning_rate: float = 1e-6
    batch_size: int = 16
    accumulation: int = 8
    warmup_ratio: float = 0.1


PRESETS = {
    "paper": Options(),
    "small": Options(max_new_tokens=128, **dpo.SMALL),
}


@hookimpl
def make_pairs(
    prompts: Iterable[Prompt], model: Model, options: Options, seed: int
) -> Iterator[Pair | Drop]:
    """Take the preferences as they are."""
    yield from preferences(prompts, model, options)


@hookimpl
def train(pairs: Sequence[Pair], model: Model, options: Options, out: Path, seed: int) -> Path:
    """Train with SimPO and return the adapter."""
    return dpo.train(pairs, model, out, seed=seed, training=options)
