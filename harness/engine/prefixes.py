"""Which tokens of a window are computed once for several requests. No torch in here.

A prompt is a tuple of *symbols*: token ids, and a negative number for each token that stands for a
part of an image, the same number for the same image content. Equal beginnings of two symbol tuples
therefore have equal keys and values in every layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

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
    """Cut jobs into batches that fit, whose own parts are about equally long.

    Args:
        jobs: in the order of :func:`plan`.
        fits: whether these jobs may be computed together. One job alone is always tried.

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
