"""The two hooks of a method. This file is their documentation; see docs/write-a-method.md.

A method is a module with one or both hooks and, when it has knobs, a frozen dataclass named
``Options``. A hook may take fewer arguments than are listed here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from harness.records import Drop, Pair, Prompt

if TYPE_CHECKING:
    from harness.model import Model

PROJECT = "harness"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec(firstresult=True)
def make_pairs(
    prompts: Iterable[Prompt], model: Model, options: Any, seed: int
) -> Iterator[Pair | Drop]:
    """Turn prompts into preference pairs, lazily and in the order of the prompts.

    Args:
        prompts: what to ask; after a resume only the prompts that are not done yet.
        model: the model being aligned, before training; ask it with ``model.answer``.
        options: an instance of the module's ``Options``, or ``None`` when it has none.
        seed: derive each prompt's randomness with ``seed_of(seed, prompt.id)``.

    Yields:
        A :class:`Pair`, or a :class:`Drop` with the reason, for each prompt.
    """
    raise AssertionError("a specification is not called")


@hookspec(firstresult=True)
def train(pairs: Sequence[Pair], model: Model, options: Any, out: Path, seed: int) -> Path:
    """Train on the pairs and return the checkpoint folder (an adapter or a full model).

    Args:
        pairs: all pairs that passed the stage's checks.
        model: the model being aligned.
        options: as in :func:`make_pairs`.
        out: an existing folder for the checkpoint; whatever is written there is kept.
        seed: seed of the training.
    """
    raise AssertionError("a specification is not called")
