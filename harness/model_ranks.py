"""Many processes, one result: who computes which requests, and how answers come together.

Started by ``accelerate launch`` (or torchrun), every process asks the same requests. A window's
work is divided by image, so that sharing survives, and every process gets all answers back.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from harness.errors import HarnessError

T = TypeVar("T")
_JOIN = timedelta(minutes=10)
_COMPUTE = timedelta(days=1)


class Ranks:
    """The processes of this run; a single one needs no torch and no communication.

    Attributes:
        rank: this process's number, from 0.
        size: how many there are.
    """

    def __init__(self, device: str = "cpu") -> None:
        """Read the launcher's environment; connections are made when first needed."""
        self.rank = int(os.environ.get("RANK", "0"))
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self._device = device
        self._group: Any = None

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
            HarnessError: if another process has died.
        """
        if self.size == 1:
            return dict(part)
        parts: list[Any] = [None] * self.size
        self._together(lambda dist, group: dist.all_gather_object(parts, dict(part), group))
        return {key: value for one in parts for key, value in one.items()}

    def from_first(self, value: T) -> T:
        """Return what process 0 has, in every process.

        Raises:
            HarnessError: if another process has died.
        """
        if self.size == 1:
            return value
        box = [value]
        self._together(lambda dist, group: dist.broadcast_object_list(box, 0, group))
        return box[0]

    def _together(self, act: Any) -> None:
        import torch.distributed as dist

        try:
            if self._group is None:
                from accelerate import PartialState

                PartialState(cpu=self._device == "cpu", timeout=_JOIN)
                # Objects travel over gloo also where tensors use NCCL. A process may compute for
                # long before it has something to say; one that dies is noticed at once.
                self._group = dist.new_group(backend="gloo", timeout=_COMPUTE)
            act(dist, self._group)
        except (RuntimeError, ValueError, ConnectionError) as error:
            raise HarnessError(
                f"Process {self.rank} of {self.size} lost the others: one of them has ended "
                f"({type(error).__name__}). Look for its own message above, then run the same "
                "command again; finished answers are reused."
            ) from error
