"""The optimiser: Muon for the matrices inside the layers, AdamW for everything else.

Steps are dear on a CPU and matrices are small, so a step that makes more of its gradient pays.
torch has a Muon, but it orthogonalises in bfloat16, which plain CPUs do very slowly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

QUINTIC = (3.4445, -4.7750, 2.0315)  # Muon's published iteration: fast rather than exact


def orthogonal(matrices: torch.Tensor, rounds: int = 5) -> torch.Tensor:
    """Bring the singular values of a stack of matrices (n, a, b) near to one."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    first, third, fifth = QUINTIC
    for _ in range(rounds):
        square = x @ x.mT
        x = first * x + (third * square + fifth * square @ square) @ x
    return x.mT if tall else x


class Muon:
    """Momentum whose updates are orthogonalised, scaled to the usual size of AdamW's."""

    def __init__(
        self, matrices: Iterable[nn.Parameter], momentum: float = 0.95, decay: float = 0.03
    ) -> None:
        """Group the matrices by shape, so that each shape is one batched computation."""
        groups: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
        for matrix in matrices:
            groups[matrix.shape].append(matrix)
        self.groups = list(groups.values())
        self.speeds = [torch.zeros(len(g), *g[0].shape) for g in self.groups]
        self.momentum, self.decay = momentum, decay

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Move all matrices by one update."""
        for group, speed in zip(self.groups, self.speeds, strict=True):
            grads = torch.stack([p.grad for p in group if p.grad is not None])
            speed.lerp_(grads, 1 - self.momentum)
            update = orthogonal(grads.lerp(speed, self.momentum))
            scale = rate * 0.2 * max(group[0].shape) ** 0.5
            for parameter, part in zip(group, update, strict=True):
                parameter.mul_(1 - rate * self.decay).add_(part, alpha=-scale)


class Optimiser:
    """Both together; `matrix_rate` is how much faster Muon moves than AdamW."""

    def __init__(self, modules: Iterable[nn.Module], matrix_rate: float = 2.0) -> None:
        """Sort the modules' parameters."""
        named: list[tuple[str, nn.Parameter]] = []
        for module in modules:
            named += [(name, p) for name, p in module.named_parameters()]
        inner = [p for name, p in named if p.ndim == 2 and "layers." in name]
        known = {id(p) for p in inner}
        self.parameters = [p for _, p in named]
        self.others = [p for p in self.parameters if id(p) not in known]
        self.matrix_rate = matrix_rate
        self.muon = Muon(inner)
        self.adam: Any = torch.optim.AdamW(self.others, betas=(0.9, 0.98), weight_decay=0.03)

    def step(self, loss: torch.Tensor, rate: float) -> float:
        """Follow the gradient of a loss once; return the loss."""
        for parameter in self.parameters:
            parameter.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for group in self.adam.param_groups:
            group["lr"] = rate
        self.adam.step()
        self.muon.step(rate * self.matrix_rate)
        return loss.item()

    def state(self) -> dict[str, torch.Tensor]:
        """Return everything that decides the next step beside weights, gradient and rate."""
        found = {f"muon.{n}": speed for n, speed in enumerate(self.muon.speeds)}
        for n, parameter in enumerate(self.others):
            for name, value in self.adam.state[parameter].items():
                found[f"adam.{n}.{name}"] = value
        return found

    def load(self, saved: dict[str, torch.Tensor]) -> None:
        """Go on from what `state` returned."""
        for n, speed in enumerate(self.muon.speeds):
            speed.copy_(saved[f"muon.{n}"])
        for key, value in saved.items():
            kind, n, name = [*key.split("."), ""][:3]
            if kind == "adam":
                self.adam.state[self.others[int(n)]][name] = value.clone()
