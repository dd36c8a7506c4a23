"""Pairs that exist: the answers stand in a file, and the model is only trained.

``harness run --method given --pairs FILE`` reads the file's images and questions as prompts and
gives each of them the pair of its row. The forms are those of ``docs/pairs.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness import dpo
from harness.errors import UsageError
from harness.hookspecs import hookimpl
from harness.pairs import given_answers
from harness.records import Drop, Pair, Prompt

if TYPE_CHECKING:
    from harness.model import Model


@dataclass(frozen=True)
class Options(dpo.Training):
    """The knobs of the training, and where the pairs are.

    Attributes:
        pairs: file or folder of the pairs; ``--pairs`` sets it.
    """

    pairs: str = ""


PRESETS = {"small": Options(lora_rank=32, lora_alpha=64, learning_rate=1e-4, accumulation=1)}


@hookimpl
def make_pairs(prompts: Iterable[Prompt], options: Options) -> Iterator[Pair | Drop]:
    """Give each prompt the pair of its row, found by the row's id."""
    if not options.pairs:
        raise UsageError(
            "The method 'given' trains on pairs that exist: name their file with --pairs FILE. "
            "docs/pairs.md lists the forms it may have."
        )
    rows = {id_: (question, item) for id_, question, item in given_answers(Path(options.pairs))}
    for prompt in prompts:
        question, item = rows.get(prompt.id, ("", None))
        if item is None:
            yield Drop(prompt, "no pair", {"detail": f"no row of {options.pairs} has this id"})
        elif question != prompt.question:
            yield Drop(prompt, "another question", {"detail": question[:200]})
        else:
            yield replace(item, prompt=prompt)


@hookimpl
def train(pairs: Sequence[Pair], model: Model, options: Options, out: Path, seed: int) -> Path:
    """Train with DPO, or what ``--set loss`` names, and return the adapter's folder."""
    return dpo.train(pairs, model, out, seed=seed, training=options)
