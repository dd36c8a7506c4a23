"""Pairs that exist: the answers stand in a file, and the model is only trained.

``harness run --method given --pairs FILE`` reads the file's images and questions as prompts and
gives each of them the pair of its row. The forms are those of ``docs/pairs.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from harness import dpo
from harness.errors import UsageError
from harness.hookspecs import hookimpl
from harness.records import Bounds, Drop, Pair, Prompt
from harness_given.preferences import Preferred, from_file, preferences, weighted

if TYPE_CHECKING:
    from harness.model import Model


__all__ = ["Options", "Preferred", "make_pairs", "preferences", "train", "weighted"]


@dataclass(frozen=True)
class Options(dpo.Training):
    """The knobs of the training, and where the pairs are.

    Attributes:
        pairs: file or folder of the pairs; ``--pairs`` sets it.
        segments: weight of the words in which two answers differ, for ``loss=ddpo``; RLHF-V's
            paper uses 5. With 1 all words weigh the same.
    """

    pairs: str = ""
    segments: Annotated[float, Bounds(least=0, most=1000)] = 1.0


PRESETS = {"small": Options(lora_rank=32, lora_alpha=64, learning_rate=1e-4, accumulation=1)}


@hookimpl
def make_pairs(prompts: Iterable[Prompt], options: Options) -> Iterator[Pair | Drop]:
    """Give each prompt the pair of its row, found by the row's id."""
    if not options.pairs:
        raise UsageError(
            "The method 'given' trains on pairs that exist: name their file with --pairs FILE. "
            "docs/pairs.md lists the forms it may have."
        )
    for item in from_file(prompts, options.pairs):
        yield item if isinstance(item, Drop) else weighted(item, options.segments)


@hookimpl
def train(pairs: Sequence[Pair], model: Model, options: Options, out: Path, seed: int) -> Path:
    """Train with DPO, or what ``--set loss`` names, and return the adapter's folder."""
    return dpo.train(pairs, model, out, seed=seed, training=options)
