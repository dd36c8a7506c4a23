"""Training batches, made from seeds in a process of their own so that training never waits."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness_tinyworld.architecture import ASSISTANT
from harness_tinyworld.lessons import Syllabus, lessons
from harness_tinyworld.scenes import (
    EASY,
    TRAIN,
    Level,
    make_scene,
    patch_truth,
    render,
)

GROUPS = 6  # of dialogues of similar length, per step
PICTURES = 48  # per step of the vision tower alone
IGNORE = -100


@dataclass(frozen=True, slots=True)
class Group:
    """Dialogues of similar length: which scene each is about, its ids and its labels.

    `scene` has shape (n,), `ids` and `labels` (n, length); labels hold -100 where nothing is
    learned. `weight` (n,) makes a long answer count by the root of its length.
    """

    scene: np.ndarray
    ids: np.ndarray
    labels: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True, slots=True)
class Batch:
    """Images (n, 80, 80, 3) of bytes, what their patches show (n, 3, 100), and the dialogues.

    The three rows of `patches` are shape, colour and written character, as in `patch_truth`.
    `steps` (n,) gives each image's step of diffusion noise where the answers depend on how much of
    it can be seen; None leaves it to be drawn.
    """

    images: np.ndarray
    patches: np.ndarray
    groups: tuple[Group, ...]
    steps: np.ndarray | None = None


def corpus(scenes: int) -> Iterator[str]:
    """Yield texts for the tokenizer, one user or assistant turn at a time."""
    for seed in range(scenes):
        rng = random.Random(f"corpus {seed}")
        for user, answer in lessons(make_scene(TRAIN + seed, EASY), rng, Syllabus(24)):
            yield "\n" + user
            yield " " + answer


def _grouped(rows: list[tuple[int, list[int], int]], pad: int, groups: int) -> tuple[Group, ...]:
    rows = sorted(rows, key=lambda row: len(row[1]))
    total = sum(len(row[1]) for row in rows)
    parts: list[list[tuple[int, list[int], int]]] = [[]]
    done = 0
    for row in rows:
        if done > total * len(parts) / groups:
            parts.append([])
        parts[-1].append(row)
        done += len(row[1])
    made = []
    for part in parts:
        length = len(part[-1][1])
        ids = np.full((len(part), length), pad, dtype=np.int64)
        labels = np.full((len(part), length), IGNORE, dtype=np.int64)
        for index, (_, tokens, start) in enumerate(part):
            ids[index, : len(tokens)] = tokens
            labels[index, start : len(tokens)] = tokens[start:]
        weight = np.array([(len(row[1]) - row[2]) ** -0.5 for row in part], dtype=np.float32)
        made.append(Group(np.array([row[0] for row in part]), ids, labels, weight))
    return tuple(made)


def make_batch(
    tokenizer: Any,
    scenes: int,
    level: Level,
    syllabus: Syllabus,
    least: int,
    seed: int,
    step: int,
    haze: int = 0,
) -> Batch:
    """Make the batch of one step; it depends on its arguments only.

    Args:
        tokenizer: Of the model, see `make_tokenizer`.
        scenes: How many images the batch has.
        level: How hard they are to see.
        syllabus: Which questions are asked about each.
        least: How much a thing must cover of a patch to be shown by it, see `patch_truth`.
        seed: Of the stage of training.
        step: Of that stage.
        haze: Every other image gets a step of diffusion noise below this one, and all answers are
            those of a speaker with habits (see `habits`); 0 for clear images and true answers.

    Returns:
        Images, what their patches show, and the dialogues about them.
    """
    first = TRAIN + (seed * 1_000_000 + step) * scenes % 900_000_000
    drawn = [make_scene(first + index, level) for index in range(scenes)]
    steps = [
        random.Random(f"haze {first + n}").randrange(haze) if haze else 0 for n in range(scenes)
    ]
    steps[::2] = [0] * len(steps[::2])
    owners, heads, tails = [], [], []
    for index, scene in enumerate(drawn):
        rng = random.Random(f"lessons {seed} {step} {index}")
        seen = steps[index] / haze if haze else None
        for user, answer in lessons(scene, rng, syllabus, index, seen):
            owners.append(index)
            heads.append("\n" + user + ASSISTANT)
            tails.append(" " + answer)
    encode = tokenizer.backend_tokenizer.encode_batch
    starts = [item.ids for item in encode(heads, add_special_tokens=False)]
    ends = [[*item.ids, tokenizer.eos_token_id] for item in encode(tails, add_special_tokens=False)]
    rows = [
        (owner, start + end, len(start))
        for owner, start, end in zip(owners, starts, ends, strict=True)
    ]
    return Batch(
        np.stack([render(scene) for scene in drawn]),
        np.stack([patch_truth(scene, least) for scene in drawn]),
        _grouped(rows, tokenizer.pad_token_id, GROUPS),
        np.array(steps) if haze else None,
    )


def make_pictures(level: Level, least: int, seed: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Make 48 images (48, 80, 80, 3) and what their patches show, for the tower alone."""
    first = TRAIN + 900_000_000 + (seed * 10_000 + step) * PICTURES % 90_000_000
    drawn = [make_scene(first + index, level) for index in range(PICTURES)]
    return np.stack([render(s) for s in drawn]), np.stack([patch_truth(s, least) for s in drawn])


def _work(queue: Any, make: Callable[[int, int], Any], seed: int, steps: range) -> None:
    from queue import Full

    parent = multiprocessing.parent_process()
    for step in steps:
        made, waiting = make(seed, step), True
        while waiting and parent is not None and parent.is_alive():
            try:
                queue.put(made, timeout=10)
                waiting = False
            except Full:
                continue


def ahead(make: Callable[[int, int], Any], seed: int, steps: range) -> Iterator[Any]:
    """Yield `make(seed, step)` for some steps, made ahead by another process."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue(maxsize=6)
    worker = context.Process(target=_work, args=(queue, make, seed, steps), daemon=True)
    worker.start()
    try:
        for _ in steps:
            yield queue.get()
    finally:
        worker.terminate()
        worker.join()
