"""Keys and values: of shared beginnings, of groups of them, and of a batch of rows. Needs torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.engine.attention import ALIGNED, Own, Prefixes
from harness.engine.prefixes import Node, Symbols

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Segment:
    """Keys and values of one node's own part: per layer ``(kv heads, length, d)``."""

    keys: list[torch.Tensor]
    values: list[torch.Tensor]

    @property
    def nbytes(self) -> int:
        """Memory it takes."""
        return sum(tensor.nbytes for tensor in [*self.keys, *self.values])


@dataclass(frozen=True, eq=False)
class State:
    """What the network remembers of a batch of rows.

    Attributes:
        prefixes: the shared beginnings of the groups.
        own: what single rows have beyond them.
        groups: each row's group, ascending.
        positions: each row's next position.
    """

    prefixes: Prefixes | None
    own: Own
    groups: list[int]
    positions: list[int]

    def select(self, rows: Sequence[int]) -> State:
        """Return a copy with these rows; a row may be repeated, the order must stay ascending."""
        import torch

        groups = [self.groups[row] for row in rows]
        living = sorted(set(groups))
        prefixes = self.prefixes
        if prefixes is not None and len(living) < len(prefixes.keys[0]):
            prefixes = _groups_of(prefixes, living)
        number = {group: place for place, group in enumerate(living)}
        return State(
            prefixes,
            self.own.select(torch.tensor(list(rows), dtype=torch.long)),
            [number[group] for group in groups],
            [self.positions[row] for row in rows],
        )


def joined(node: Node, held: Mapping[Symbols, Segment]) -> Segment:
    """Return the keys of a whole beginning, from the root to this node."""
    import torch

    chain = [held[part.symbols] for part in node.chain()]
    if len(chain) == 1:
        return chain[0]
    return Segment(
        [torch.cat(layers, 1) for layers in zip(*(part.keys for part in chain), strict=True)],
        [torch.cat(layers, 1) for layers in zip(*(part.values for part in chain), strict=True)],
    )


def stacked(segments: Sequence[Segment]) -> Prefixes | None:
    """Put beginnings side by side, one per group; a single one is not copied."""
    import torch

    if not segments:
        return None
    lengths = [segment.keys[0].shape[1] for segment in segments]
    longest = max(lengths)
    hidden = None
    if min(lengths) < longest:
        longest = -(-longest // ALIGNED) * ALIGNED
        hidden = torch.arange(longest) >= torch.tensor(lengths)[:, None]
        hidden = hidden[:, None, None].to(segments[0].keys[0].device)
    return Prefixes(
        [
            _side_by_side(layers, longest)
            for layers in zip(*(s.keys for s in segments), strict=True)
        ],
        [
            _side_by_side(layers, longest)
            for layers in zip(*(s.values for s in segments), strict=True)
        ],
        hidden,
    )


def _side_by_side(parts: Sequence[torch.Tensor], longest: int) -> torch.Tensor:
    import torch

    if len(parts) == 1:
        return parts[0][None]
    padded = [torch.nn.functional.pad(p, (0, 0, 0, longest - p.shape[1])) for p in parts]
    return torch.stack(padded)


def _groups_of(prefixes: Prefixes, living: Sequence[int]) -> Prefixes:
    """Return only these groups."""
    import torch

    index = torch.tensor(list(living), device=prefixes.keys[0].device)
    return Prefixes(
        [layer.index_select(0, index) for layer in prefixes.keys],
        [layer.index_select(0, index) for layer in prefixes.values],
        None if prefixes.hidden is None else prefixes.hidden.index_select(0, index),
    )
