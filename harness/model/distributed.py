"""Many processes, one run: process 0 drives it, the others compute their part of what it asks.

Started by ``harness run --nproc N`` or ``accelerate launch``. Stages and methods run in process 0
alone and know nothing of the others, which wait in :func:`serve`. What is worth sharing goes
through :func:`everywhere`: a window of requests, divided by image so that sharing survives, and
the training. Docs: docs/decisions/0004.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

from harness.errors import HarnessError

T = TypeVar("T")
_JOIN = timedelta(minutes=10)
_COMPUTE = timedelta(days=1)


class LostError(HarnessError):
    """Another process of this run has ended."""


class Ranks:
    """The processes of this run; a single one needs no torch and no communication.

    Attributes:
        rank: this process's number, from 0.
        size: how many there are.
    """

    def __init__(self) -> None:
        """Read the launcher's environment; connections are made when first needed."""
        self.rank = int(os.environ.get("RANK", "0"))
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self._inside = self.rank > 0
        self._group: Any = None

    def call(self, remote: Callable[[], object], here: Callable[[], T]) -> T:
        """Do what :func:`everywhere` promises."""
        if self.size == 1 or self._inside:
            return here()
        self._from_first(remote)
        self._inside = True
        try:
            return here()
        finally:
            self._inside = False

    def agreed(self, value: T) -> T:
        """Return what process 0 found, where all processes run the same lines."""
        return value if self.size == 1 or not self._inside else self._from_first(value)

    def serve(self) -> None:
        """Do what :func:`serve` promises."""
        try:
            while (work := self._from_first(None)) is not None:
                work()
        except LostError as error:
            raise SystemExit(1) from error  # the process that died has said why

    def dismiss(self) -> None:
        """Let the other processes end."""
        if self.size > 1:
            self._from_first(None)

    def divide(self, work: Sequence[tuple[str, tuple[str, ...], int]]) -> list[str]:
        """Return the keys of this process's part of the work.

        Args:
            work: key, image hashes and expected cost of each request. Requests about the same
                first image stay together; each such group goes to the process that has least.
        """
        groups: dict[str, list[tuple[str, int]]] = {}
        for key, images, cost in work:
            groups.setdefault(images[0] if images else key, []).append((key, cost))
        load = [0] * self.size
        mine: list[str] = []
        for members in groups.values():
            taker = load.index(min(load))
            load[taker] += sum(cost for _, cost in members)
            if taker == self.rank:
                mine.extend(key for key, _ in members)
        return mine

    def gather(self, part: Mapping[str, T]) -> dict[str, T]:
        """Return the parts of all processes as one mapping.

        Raises:
            LostError: if another process has died.
        """
        if self.size == 1:
            return dict(part)
        parts: list[Any] = [None] * self.size
        self._together(lambda dist, group: dist.all_gather_object(parts, dict(part), group))
        return {key: value for one in parts for key, value in one.items()}

    def _from_first(self, value: Any) -> Any:
        """Return what process 0 has, in every process."""
        box = [value]
        self._together(lambda dist, group: dist.broadcast_object_list(box, 0, group))
        return box[0]

    def _together(self, act: Callable[[Any, Any], object]) -> None:
        import torch
        import torch.distributed as dist

        try:
            if self._group is None:
                from accelerate import PartialState

                PartialState(cpu=not torch.cuda.is_available(), timeout=_JOIN)
                # Objects travel over gloo also where tensors use NCCL. A process may compute for
                # long before it has something to say; one that dies is noticed at once.
                self._group = dist.new_group(backend="gloo", timeout=_COMPUTE)
            act(dist, self._group)
        except (RuntimeError, ValueError, ConnectionError) as error:
            raise LostError(
                f"Process {self.rank} of {self.size} lost the others: one of them has ended "
                f"({type(error).__name__}). See its own message above, then run the same "
                "command again; finished answers are reused."
            ) from error


@cache
def ranks() -> Ranks:
    """Return the processes of this run, the same object every time."""
    return Ranks()


def processes() -> int:
    """Return how many processes share this run."""
    return ranks().size


def everywhere(remote: Callable[[], object], here: Callable[[], T]) -> T:
    """Run something in every process at once, as under ``accelerate launch``.

    A method that trains with a trainer of its own calls this from its ``train`` hook, so that the
    trainer finds all processes; :func:`harness.dpo.train` does so itself. Within such a call, and
    with one process, it is a plain call of ``here``.

    Args:
        remote: what the other processes run; a function of a module, or ``functools.partial`` of
            one, because it is sent to them by pickle.
        here: what this process runs.

    Returns:
        What ``here`` returned.

    Raises:
        LostError: if another process has died.
    """
    return ranks().call(remote, here)


def serve() -> None:
    """Be one of the others: run what process 0 asks for until it lets go.

    Raises:
        SystemExit: if another process has died.
    """
    ranks().serve()
