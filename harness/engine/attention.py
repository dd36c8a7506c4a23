"""Attention of many rows over shared prefixes, as a drop-in for a decoder's own. Needs torch.

All rows of one pass lie behind each other in one packed sequence, so the linear layers see no
padding. Only the attention unpacks it: every row looks at the keys of its group's prefix, which
are held and read once per group, and at its own keys. The two results are joined exactly by their
log-sum-exp weights (the merge step of FlashAttention, Dao et al. 2022, section 3.1).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

NAME = "harness_shared"
_SCORES_AT_ONCE = 1 << 25
_STEP = 32
LONG = 64
"""Tokens of a row in one pass from which a CPU attends by its kernel, which keeps no scores."""
ALIGNED = 16
"""Columns of a mask come in multiples of this, where one kernel attends."""


class Layout(Protocol):
    """How the tokens of the current pass attend to each other and to earlier keys."""

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """Take packed ``(T, heads, d)``, ``(T, kv heads, d)`` twice; return ``(T, heads, d)``."""
        ...


_ACTIVE: ContextVar[Layout | None] = ContextVar("layout", default=None)


def _attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **unused: Any,
) -> tuple[torch.Tensor, None]:
    layout = _ACTIVE.get()
    if layout is None:
        raise RuntimeError("shared attention was called outside an engine pass")
    scale = scaling if scaling is not None else float(query.shape[-1] ** -0.5)
    q, k, v = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
    return layout.attend(module.layer_idx, q, k, v, scale)[None], None


@contextmanager
def attending(config: Any, layout: Layout) -> Iterator[None]:
    """Let the decoder with this text config attend by ``layout`` inside the ``with`` block."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, _attention)
    before, token = config._attn_implementation, _ACTIVE.set(layout)
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before
        _ACTIVE.reset(token)


class Fresh:
    """Rows that begin at nothing: plain causal attention; keys and values are kept per row.

    Attributes:
        keys, values: for each layer and row ``(kv heads, length, d)``, after the pass.
    """

    def __init__(self, lengths: Sequence[int]) -> None:
        """Rows lie behind each other with these lengths."""
        self._lengths = list(lengths)
        self.keys: list[list[torch.Tensor]] = []
        self.values: list[list[torch.Tensor]] = []

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """See :class:`Layout`."""
        import torch

        parts = [
            torch.split(tensor.transpose(0, 1), self._lengths, 1) for tensor in (query, key, value)
        ]
        self.keys.append([part.contiguous() for part in parts[1]])
        self.values.append([part.contiguous() for part in parts[2]])
        grouped = query.shape[1] != key.shape[1]
        outputs = [
            torch.nn.functional.scaled_dot_product_attention(
                q[None], k[None], v[None], is_causal=True, scale=scale, enable_gqa=grouped
            )[0]
            for q, k, v in zip(*parts, strict=True)
        ]
        return torch.cat(outputs, 1).transpose(0, 1)


@dataclass
class Own:
    """The keys and values that belong to single rows, in buffers that grow.

    Attributes:
        keys, values: per layer ``(rows, kv heads, capacity, d)``.
        lengths: how many columns of each row are filled; on the CPU.
    """

    keys: list[torch.Tensor]
    values: list[torch.Tensor]
    lengths: torch.Tensor

    @classmethod
    def empty(cls, layers: int, shape: tuple[int, int, int], like: torch.Tensor) -> Own:
        """Return buffers without columns for ``(rows, kv heads, d)``."""
        import torch

        rows, heads, width = shape
        nothing = [like.new_zeros((rows, heads, 0, width)) for _ in range(layers)]
        return cls(nothing, list(nothing), torch.zeros(rows, dtype=torch.long))

    def reserve(self, capacity: int) -> None:
        """Grow the buffers to rows of this length, in steps, so that decoding rarely copies."""
        import torch

        missing = -(-capacity // _STEP) * _STEP - self.keys[0].shape[2]
        if missing >= _STEP:
            pad = (0, 0, 0, missing)
            self.keys = [torch.nn.functional.pad(old, pad) for old in self.keys]
            self.values = [torch.nn.functional.pad(old, pad) for old in self.values]

    def select(self, rows: torch.Tensor) -> Own:
        """Return copies of these rows, in this order; a row may be asked for several times."""
        there = rows.to(self.keys[0].device)
        return Own(
            [old.index_select(0, there) for old in self.keys],
            [old.index_select(0, there) for old in self.values],
            self.lengths.index_select(0, rows),
        )


@dataclass(frozen=True)
class Prefixes:
    """Shared prefixes, one per group of rows.

    Attributes:
        keys, values: per layer ``(groups, kv heads, longest, d)``.
        hidden: ``(groups, 1, 1, longest)``, true where a group has no key; ``None`` when all
            prefixes are equally long.
    """

    keys: list[torch.Tensor]
    values: list[torch.Tensor]
    hidden: torch.Tensor | None


class Grid:
    """One pass over packed tokens of rows that share prefixes by group and have own keys."""

    def __init__(
        self, prefixes: Prefixes | None, own: Own, groups: Sequence[int], counts: Sequence[int]
    ) -> None:
        """Lay out a pass.

        Args:
            prefixes: the shared prefixes, or ``None`` when no row has one.
            own: the rows' own keys; the pass adds those of its tokens.
            groups: each row's group; rows of one group lie together, in ascending order.
            counts: how many tokens each row has in this pass (at least one).
        """
        import torch

        self._prefixes, self._own = prefixes, own
        device = own.keys[0].device
        rows = torch.tensor(counts)
        row = torch.repeat_interleave(torch.arange(len(counts)), rows)
        offset = torch.arange(len(row)) - torch.repeat_interleave(rows.cumsum(0) - rows, rows)
        group = torch.tensor(groups)[row]
        size = torch.bincount(group)
        place = torch.arange(len(group)) - (size.cumsum(0) - size)[group]
        column = own.lengths[row] + offset
        self._most, self._widest = max(counts), int(size.max())
        self._square = min(counts) == self._most
        self._even = int(size.min()) == self._widest
        self._used = int(column.max()) + 1
        own.reserve(self._used)
        wide = own.keys[0].shape[-1] % 8 == 0
        self._fused = wide if device.type != "cpu" else self._most >= LONG
        self._biases: dict[str, torch.Tensor | None] = {}
        if self._fused:
            self._used = -(-self._used // ALIGNED) * ALIGNED
        reach = own.lengths[:, None] + torch.arange(self._most)
        hidden = torch.arange(self._used) > reach[..., None]
        own.lengths = own.lengths + rows
        _, heads, capacity, _ = own.keys[0].shape
        line = (row[:, None] * heads + torch.arange(heads)) * capacity + column[:, None]
        self._own_lines = line.flatten().to(device)
        self._slot = (row * self._most + offset).to(device)
        self._cell = (group * self._widest + place).to(device)
        self._lines = (len(counts), len(size))
        self._hidden = hidden[:, None].to(device)

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """See :class:`Layout`."""
        import torch

        own = self._own
        for held, new in ((own.keys[layer], key), (own.values[layer], value)):
            width = new.shape[-1]
            held.view(-1, width).index_copy_(0, self._own_lines, new.reshape(-1, width))
        spread = self._unpack(query, self._slot, (self._lines[0], self._most), self._square)
        keys, values = (held[layer][:, :, : self._used] for held in (own.keys, own.values))
        near, near_weight = self._look("near", spread, keys, values, scale, self._hidden)
        near, near_weight = self._repack(near, near_weight, self._slot, self._square)
        if self._prefixes is None:
            return near
        prefix = self._prefixes
        spread = self._unpack(query, self._cell, (self._lines[1], self._widest), self._even)
        far, far_weight = self._look(
            "far", spread, prefix.keys[layer], prefix.values[layer], scale, prefix.hidden
        )
        far, far_weight = self._repack(far, far_weight, self._cell, self._even)
        share = (far_weight - near_weight).sigmoid()[..., None].to(near.dtype)
        return torch.lerp(near, far, share)

    def _look(
        self,
        part: str,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scale: float,
        hidden: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Attend by one kernel where there is one; its mask is made once per pass."""
        if not self._fused:
            return _look(query, key, value, scale, hidden)
        if part not in self._biases:
            shared = query.shape[1] // key.shape[1]
            self._biases[part] = _bias(hidden, shared, query.dtype)
        return _look_fused(query, key, value, scale, self._biases[part])

    def _unpack(
        self, query: torch.Tensor, slot: torch.Tensor, shape: tuple[int, int], full: bool
    ) -> torch.Tensor:
        """Spread packed ``(T, heads, d)`` over ``(lines, heads, width, d)``."""
        if not full:
            grid = query.new_zeros((shape[0] * shape[1], *query.shape[1:]))
            query = grid.index_copy(0, slot, query)
        return query.view(*shape, *query.shape[1:]).transpose(1, 2)

    def _repack(
        self, found: torch.Tensor, weight: torch.Tensor, slot: torch.Tensor, full: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Undo :meth:`_unpack` for results and their weights."""
        found, weight = found.transpose(1, 2).flatten(0, 1), weight.transpose(1, 2).flatten(0, 1)
        if full:
            return found, weight
        return found.index_select(0, slot), weight.index_select(0, slot)


def _look(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    hidden: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attend and also return the log of the softmax denominator.

    The query is ``(lines, heads, tokens, d)``, keys and values ``(lines, kv heads, columns, d)``;
    ``hidden`` is ``(lines or 1, 1, tokens or 1, columns)``, true where a key must not be seen.

    Returns:
        ``(lines, heads, tokens, d)`` and float32 ``(lines, heads, tokens)``.
    """
    import torch

    lines, heads, tokens, width = query.shape
    needed = heads * tokens * key.shape[2]
    step = max(1, _SCORES_AT_ONCE // max(1, needed))
    if step < lines:
        parts = [
            _look(
                query[at : at + step],
                key[at : at + step],
                value[at : at + step],
                scale,
                None if hidden is None else hidden[at : at + step],
            )
            for at in range(0, lines, step)
        ]
        return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
    shared = heads // key.shape[1]
    folded = (query * scale).reshape(lines, key.shape[1], shared * tokens, width)
    scores = (folded @ key.transpose(2, 3)).float()
    if hidden is not None:
        shape = (lines, key.shape[1], shared, tokens, key.shape[2])
        scores = scores.view(shape).masked_fill_(hidden[:, :, None], -torch.inf).flatten(2, 3)
    weight = scores.logsumexp(-1)
    found = (scores - weight[..., None]).exp_().to(value.dtype) @ value
    return found.view(lines, heads, tokens, width), weight.view(lines, heads, tokens)


def _look_fused(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    bias: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Do what :func:`_look` does by torch's kernels, which keep no scores and take few launches.

    A decoding step of a batch is short: on a GPU the host's launches take longer than the work. On
    a CPU they take less than the kernel does to begin, so that only long rows are worth it.
    """
    import torch

    lines, heads, tokens, width = query.shape
    kept = key.shape[1]
    folded = query.reshape(lines, kept, heads // kept * tokens, width)
    if bias is not None:
        bias = bias.expand(lines, kept, folded.shape[2], key.shape[2])
    if query.device.type == "cpu":
        found, weight = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            folded, key, value, attn_mask=bias, scale=scale
        )
    else:
        found, weight, *_ = torch.ops.aten._scaled_dot_product_efficient_attention(
            folded, key, value, bias, True, 0.0, False, scale=scale
        )
        weight = weight[..., : folded.shape[2]]
    return found.reshape(lines, heads, tokens, width), weight.reshape(lines, heads, tokens)


def _bias(hidden: torch.Tensor | None, shared: int, dtype: torch.dtype) -> torch.Tensor | None:
    """Return what is added to the scores: ``(lines, 1, shared * tokens or 1, columns)``."""
    import torch

    if hidden is None:
        return None
    bias = torch.zeros(hidden.shape, dtype=dtype, device=hidden.device)
    bias = bias.masked_fill_(hidden, -torch.inf)
    return bias if bias.shape[2] == 1 else bias.repeat(1, 1, shared, 1)
