"""Which tokens of a window are computed once for several requests, and their keys and values.

A prompt is a tuple of *symbols*: token ids, and a negative number for each token that stands for a
part of an image, the same number for the same image content. Equal beginnings of two symbol tuples
therefore have equal keys and values in every layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.engine.attention import ALIGNED, Own, Prefixes

if TYPE_CHECKING:
    import torch


Symbols = tuple[int, ...]

SHORTEST = 8
"""A shared piece of text below this many tokens is not worth a pass of its own."""

_SHORT = 128

SAVING = 64
"""Nor is one that saves fewer than this many token computations in all."""


@dataclass(frozen=True, eq=False)
class Node:
    """A shared beginning; computed once, kept, and continued by jobs and deeper nodes.

    Attributes:
        symbols: everything from the start of the prompt to the end of this node.
        start: where the part begins that the parent does not have.
        parent: the shorter shared beginning this one continues.
        example: index of one request that begins like this.
    """

    symbols: Symbols
    start: int
    parent: Node | None
    example: int

    def chain(self) -> list[Node]:
        """Return the nodes from the root to this one."""
        return [*(self.parent.chain() if self.parent else []), self]


@dataclass(eq=False)
class Job:
    """One distinct prompt: computed once, continued by each of its members.

    Attributes:
        symbols: the whole prompt.
        node: the shared beginning it continues, if any.
        members: indices of the requests with this prompt.
        new: most tokens any member may generate.
        choices: most choices any member wants scored.
    """

    symbols: Symbols
    node: Node | None = None
    members: list[int] = field(default_factory=list)
    new: int = 0
    choices: int = 0

    @property
    def shared(self) -> int:
        """How many tokens come from the node."""
        return len(self.node.symbols) if self.node else 0

    @property
    def rest(self) -> int:
        """How many prompt tokens this job computes itself; at least one."""
        return len(self.symbols) - self.shared


def group_prefixes(prompts: Sequence[tuple[Symbols, int]]) -> list[Job]:
    """Group a window's prompts by shared beginnings.

    Args:
        prompts: each request's symbols and the length up to and with its last image token
            (0 without images). That beginning always becomes a node, because later calls often
            ask about the same image again.

    Returns:
        One job per distinct prompt, ordered by their first request; neighbours share nodes.
    """
    jobs: dict[Symbols, Job] = {}
    roots: dict[Symbols, list[Job]] = {}
    for index, (symbols, images) in enumerate(prompts):
        job = jobs.get(symbols)
        if job is None:
            job = jobs[symbols] = Job(symbols)
            roots.setdefault(symbols[: min(images, len(symbols) - 1)], []).append(job)
        job.members.append(index)
    ordered: list[Job] = []
    for beginning, group in roots.items():
        root = Node(beginning, 0, None, group[0].members[0]) if beginning else None
        group.sort(key=lambda job: job.symbols[len(beginning) :])
        _split(group, root)
        by_node: dict[Node | None, list[Job]] = {}
        for job in sorted(group, key=lambda job: job.members[0]):
            by_node.setdefault(job.node, []).append(job)
        ordered.extend(job for part in by_node.values() for job in part)
    return ordered


def _split(jobs: list[Job], parent: Node | None) -> None:
    """Give sorted jobs, which all continue ``parent``, the deepest node worth having."""
    depth = len(parent.symbols) if parent else 0
    if len(jobs) > 1:
        common = _common(jobs[0].symbols, jobs[-1].symbols, depth)
        common = min(common, *(len(job.symbols) - 1 for job in jobs))
        length = common - depth
        if length >= SHORTEST and length * (len(jobs) - 1) >= SAVING:
            parent = Node(jobs[0].symbols[:common], depth, parent, jobs[0].members[0])
        parts: dict[int, list[Job]] = {}
        for job in jobs:
            parts.setdefault(job.symbols[common], []).append(job)
        if len(parts) > 1:
            for part in parts.values():
                _split(part, parent)
            return
    for job in jobs:
        job.node = parent


def _common(first: Symbols, last: Symbols, start: int) -> int:
    """Return how long two prompts are equal, knowing that they are up to ``start``."""
    for place, (left, right) in enumerate(zip(first[start:], last[start:], strict=False), start):
        if left != right:
            return place
    return min(len(first), len(last))


def batches(jobs: Sequence[Job], fits: Callable[[Sequence[Job]], bool]) -> Iterator[list[Job]]:
    """Cut jobs, as :func:`group_prefixes` orders them, into batches that fit.

    One job alone is always tried.

    Yields:
        Batches whose prompts are all short, or differ by less than a factor of two in length,
        and either all have a shared beginning or none has.
    """
    open_batches: dict[tuple[int, bool], list[Job]] = {}
    for job in jobs:
        lane = open_batches.setdefault(((job.rest // _SHORT).bit_length(), job.node is None), [])
        if lane and not fits([*lane, job]):
            yield list(lane)
            lane.clear()
        lane.append(job)
    for lane in open_batches.values():
        if lane:
            yield lane


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
