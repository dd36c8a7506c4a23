"""Decoding steps: eager, or of fixed shape and replayed as one CUDA graph. Needs torch.

A step of a 7B model takes a GPU 5 ms and its host some thousand launches, 30 ms. On a GPU all
launches of a step are therefore recorded once and replayed with one call. What a replay may not
change is fixed for up to :data:`SEGMENT` steps: the number of rows and the columns of the buffers.
Rows that ended go on unread until half of them have.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.engine.attention import Grid, Own, Prefixes
from harness.engine.forward import Passes
from harness.engine.prefixes import State

if TYPE_CHECKING:
    import torch

SEGMENT = 64
"""Most steps on one recording: attention reads all columns that these steps will fill."""
WORTH = 8
"""Fewer steps than this are not recorded: recording costs about one and a half of them."""
_logger = logging.getLogger(__name__)


class Live:
    """The rows being decoded, in the form in which the decode loop drives them."""

    def __init__(self, passes: Passes, state: State, most: int) -> None:
        """Take rows of which none makes more than ``most`` tokens."""
        self._passes, self._state, self._left = passes, state, most - 1
        self._step: Step | None = None
        self._lines: list[int] = []

    def advance(self, tokens: list[int]) -> torch.Tensor:
        """Feed one token per active row and return the next logits ``(rows, vocabulary)``."""
        if self._step is None and self._passes.fixed and self._left >= WORTH:
            self._step = Step(self._passes, self._state, min(self._left, SEGMENT))
            self._lines = list(range(len(tokens)))
        self._left -= 1
        if self._step is None:
            self._state, logits = self._passes.advance(self._state, [[token] for token in tokens])
            return logits
        fed = [0] * self._step.rows
        for line, token in zip(self._lines, tokens, strict=True):
            fed[line] = token
        logits = self._step.advance(fed)
        lines = self._lines
        if self._step.left == 0:
            self._leave()
        return logits if len(lines) == len(fed) else logits[lines]

    def keep(self, rows: list[int]) -> None:
        """Keep only these active rows."""
        if not rows:
            return
        if self._step is None:
            self._state = self._state.select(rows)
            return
        self._lines = [self._lines[row] for row in rows]
        if 2 * len(self._lines) <= self._step.rows:
            self._leave()

    def _leave(self) -> None:
        """Go back to a state of the active rows only."""
        assert self._step is not None
        state = self._step.state()
        whole = len(self._lines) == self._step.rows
        self._step = None
        self._state = state if whole else state.select(self._lines)


class Step:
    """One token per row, on tensors that keep their places.

    Attributes:
        rows: how many it feeds.
        left: how often it can still be taken.
    """

    def __init__(self, passes: Passes, state: State, steps: int) -> None:
        """Make room for this many steps."""
        import torch

        self._passes, self._state = passes, state
        self.rows, self.left, self._done = len(state.groups), steps, 0
        state.own.reserve(int(state.own.lengths.max()) + steps)
        self._column = Column(state.prefixes, state.own, state.groups)
        device = self._column.device
        self._ids = torch.zeros(self.rows, dtype=torch.long, device=device)
        self._ahead = torch.zeros((), dtype=torch.long, device=device)
        self._starts = torch.tensor(state.positions, device=device)
        self._graph: Any = None
        self._logits: Any = None

    def advance(self, tokens: Sequence[int]) -> torch.Tensor:
        """Feed one token per row; the logits returned are valid until the next call."""
        import torch

        self._ids.copy_(torch.tensor(tokens))
        if self._graph is None and self._done == 1 and self._ids.device.type == "cuda":
            self._record()  # the first one ran by itself and loaded all kernels
        if self._graph is None:
            logits = self._act()
        else:
            self._graph.replay()
            self._passes.computed += self.rows
            logits = self._logits
        self._done += 1
        self.left -= 1
        return logits

    def state(self) -> State:
        """Return what the network remembers now."""
        own = self._state.own
        moved = Own(own.keys, own.values, own.lengths + self._done)
        positions = [start + self._done for start in self._state.positions]
        return replace(self._state, own=moved, positions=positions)

    def _act(self) -> torch.Tensor:
        self._column.place(self._ahead)
        logits = self._passes.feed(self._column, self._ids, self._starts + self._ahead)
        self._ahead += 1
        return logits

    def _record(self) -> None:
        """Record a step without taking it; where that fails, all further ones are eager."""
        import torch

        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._logits = self._act()
            self._graph = graph
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self._passes.fixed = False
            _logger.warning("Decoding steps are not recorded as CUDA graphs: %s", error)


class Column(Grid):
    """A pass of one token per row whose places are computed on the device, from a counter."""

    def __init__(self, prefixes: Prefixes | None, own: Own, groups: Sequence[int]) -> None:
        """Lay out a pass over buffers that are not to grow."""
        import torch

        reached = own.lengths
        super().__init__(prefixes, own, groups, [1] * len(groups))
        own.lengths = reached
        self._used = own.keys[0].shape[2]
        self.device = own.keys[0].device
        self._reached = reached.to(self.device)
        self._columns = torch.arange(self._used, device=self.device)
        self._first = self._own_lines.view(len(groups), -1) - self._reached[:, None]

    def place(self, ahead: torch.Tensor) -> None:
        """Write and read as after ``ahead`` steps, a number on the device."""
        reached = self._reached + ahead
        self._own_lines = (self._first + reached[:, None]).flatten()
        self._hidden = (self._columns > reached[:, None])[:, None, None]
        self._biases.pop("near", None)
