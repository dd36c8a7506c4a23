"""How long a training is: which pairs are held out, and the steps that the others make."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from harness.dpo.config import Training
from harness.errors import UsageError
from harness.records import Pair, seed_of


def steps_of(pairs: Sequence[Pair], seed: int, training: Training) -> int:
    """Return how many optimiser steps a training on these pairs makes.

    Raises:
        UsageError: if all of them are held out.
    """
    return steps_for(training, len(split(pairs, training.holdout, seed)[0]) * training.repeats)


def steps_for(training: Training, listed: int) -> int:
    """Return the same where one epoch lists so many rows."""
    together = training.batch_size * training.accumulation
    return training.max_steps or math.ceil(math.ceil(listed / together) * training.epochs)


def split(pairs: Sequence[Pair], share: float, seed: int) -> tuple[list[Pair], list[Pair]]:
    """Return the pairs to train on and those held out: about a share of all, whole images each.

    Pairs that have an image in common are on one side, as are those of one question without any.

    Raises:
        UsageError: if nothing is left on one side.
    """
    if not share:
        return list(pairs), []
    groups = _groups(pairs)
    images = sorted(set(groups))
    drawn = sorted(images, key=lambda image: seed_of(seed, "held out", Path(image).name))
    out = set(drawn[: max(1, round(share * len(images)))])
    kept = [pair for pair, group in zip(pairs, groups, strict=True) if group not in out]
    held = [pair for pair, group in zip(pairs, groups, strict=True) if group in out]
    if not kept:
        raise UsageError(
            f"holdout={share} leaves nothing to train on: all {len(pairs)} pairs show one image. "
            "Give more prompts, or set holdout=0."
        )
    return kept, held


def _groups(pairs: Sequence[Pair]) -> list[str]:
    """Name each pair's group after the first of all images that its pairs have in common."""
    first: dict[str, str] = {}

    def root(name: str) -> str:
        while (above := first.setdefault(name, name)) != name:
            name = above
        return name

    shown = [list(map(str, pair.prompt.images)) or [pair.asked] for pair in pairs]
    for names in shown:
        roots = sorted(map(root, names))
        first.update(dict.fromkeys(roots, roots[0]))
    return [root(names[0]) for names in shown]
