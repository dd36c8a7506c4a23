"""Ask the vision tower alone what is there: a linear probe on what it makes of each patch.

A model whose patch features tell presence, and which names things that are not there all the same,
does so by habit and not for want of sight.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import nn

from harness_tinyworld.minis import pope
from harness_tinyworld.scenes import HELD_OUT, TRAIN, Scene, make_scene, patch_truth, render
from harness_tinyworld.train import pixels
from harness_tinyworld.vocabulary import COLOURS, SHAPES

LEAST = 36  # ninths of a pixel that a thing must cover of a patch to be shown by it
LEARNED, CHOSEN = TRAIN + 950_000_000, TRAIN + 980_000_000
PLACE = {f"{c} {s}": (i, j) for i, c in enumerate(COLOURS) for j, s in enumerate(SHAPES)}


@torch.inference_mode()
def features(model: Any, scenes: list[Scene]) -> torch.Tensor:
    """Return what the tower makes of each patch; shape (n, 100, d)."""
    parts = [scenes[first : first + 64] for first in range(0, len(scenes), 64)]
    drawn = (pixels(np.stack([render(scene) for scene in part])) for part in parts)
    return torch.cat([model.model.vision_tower(x).last_hidden_state[:, 1:] for x in drawn])


def presence(said: torch.Tensor) -> torch.Tensor:
    """Return how surely each kind is somewhere: patches (n, 100, 22) to (n, colours, shapes)."""
    shape = said[..., : len(SHAPES) + 1].log_softmax(-1)[..., None, 1:]
    colour = said[..., len(SHAPES) + 1 :].log_softmax(-1)[..., 1:, None]
    return torch.logsumexp(2 * (shape + colour), dim=1) / 2


def learn(model: Any, count: int, steps: int = 800) -> nn.Linear:
    """Fit a linear head that says which shape and which colour each patch shows."""
    scenes = [make_scene(LEARNED + number) for number in range(count)]
    seen = features(model, scenes).clone()
    truth = torch.from_numpy(np.stack([patch_truth(scene, LEAST)[:2] for scene in scenes]))
    torch.manual_seed(0)
    head = nn.Linear(seen.shape[-1], len(SHAPES) + len(COLOURS) + 2)
    optimiser = torch.optim.AdamW(head.parameters(), lr=3e-3)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 3e-3 * (1 - step / steps)
        drawn = torch.randint(0, count, (48,))
        parts = head(seen[drawn]).split([len(SHAPES) + 1, len(COLOURS) + 1], dim=-1)
        losses = [
            nn.functional.cross_entropy(part.flatten(0, 1), truth[drawn, n].flatten())
            for n, part in enumerate(parts)
        ]
        optimiser.zero_grad()
        torch.stack(losses).sum().backward()
        optimiser.step()
    return head


def asked(first: int) -> Iterator[Scene]:
    """Yield scenes from a seed on that POPE could ask about."""
    seed = first
    while True:
        scene = make_scene(seed)
        if len(scene.kinds) >= pope.EACH:
            yield scene
        seed += 1


def answers(
    model: Any, head: nn.Linear, scenes: list[Scene]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Score POPE's questions about scenes; by category those of present and of absent kinds."""
    with torch.inference_mode():
        scores = presence(head(features(model, scenes))).numpy()
    found = {}
    for category in ("random", "popular", "adversarial"):
        there, missing = [], []
        for scene, own in zip(scenes, scores, strict=True):
            rng = random.Random(f"pope {category} {scene.seed}")
            there += [own[PLACE[kind]] for kind in sorted(scene.kinds)]
            missing += [own[PLACE[kind]] for kind in pope.absent(scene, category, rng)]
        found[category] = (np.array(there), np.array(missing))
    return found


def probe(model: Any, count: int = 3000, asked_about: int = 300) -> dict[str, float]:
    """Return the share of POPE's questions on held-out scenes that patch features answer right.

    Present and absent kinds weigh alike. The threshold is chosen on scenes of its own.
    """
    head = learn(model, count)
    chosen = answers(model, head, list(islice(asked(CHOSEN), asked_about)))
    there = np.concatenate([part for part, _ in chosen.values()])
    missing = np.concatenate([part for _, part in chosen.values()])

    def right(least: float, yes: np.ndarray, no: np.ndarray) -> float:
        return float(((yes > least).mean() + (no <= least).mean()) / 2)

    least = max(np.linspace(-8, 2, 201), key=lambda value: right(value, there, missing))
    held = answers(model, head, list(islice(asked(HELD_OUT + 70_000_000), asked_about)))
    found = {name: round(right(least, *parts), 3) for name, parts in held.items()}
    return {"right": round(sum(found.values()) / len(found), 3), **found, "scenes": asked_about}
