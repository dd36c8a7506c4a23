"""Many answers behind one prefix: layout of a batch, its attention, and its log-probabilities.

All rows of a batch lie in one sequence without padding::

    prefix_1 | answer_11 | answer_12 | ... | prefix_2 | answer_21 | ...

A row has one prefix, and one more for each further image or view that an answer of it is read
under. An answer attends to its own prefix and to itself, and its positions continue that prefix, as
if it were alone. Its last token is not fed, since nothing is predicted from it. Prefixes are plain
causal attention; the answers of a block are a small batch of queries against prefix and own keys.

Nothing is predicted from a prompt token but the last one, so in the last decoder layer the others
are needed as keys and values only: no query, no output projection, no MLP, forward or backward. The
result is the same. A layer's share of the saving is one over the number of layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from harness.dpo.rows import EncodedPair
from harness.errors import HarnessError

TRIMMED_LAYERS = ("LlamaDecoderLayer", "MistralDecoderLayer", "Qwen2DecoderLayer")
"""Layers whose keys are ``rope(k_proj(input_layernorm(x)))``; others run on all tokens."""


def trim_last_layer(network: Any) -> bool:
    """Hook the last layer of a private copy's language model; say whether it could be."""
    layers = getattr(network.get_decoder(), "layers", None)
    if layers is None or type(layers[-1]).__name__ not in TRIMMED_LAYERS:
        return False
    layers[-1].register_forward_pre_hook(_trim, with_kwargs=True)
    return True


def _trim(
    layer: Any, args: tuple[Tensor, ...], known: dict[str, Any]
) -> tuple[tuple[Tensor, ...], dict[str, Any]] | None:
    """Let the layer see the kept tokens, and the others only as ready keys and values."""
    layout = known.get("layout")
    if layout is None:
        return None
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    hidden, (cos, sin) = args[0], known["position_embeddings"]
    kept, rest = layout.kept, layout.rest
    normed = layer.input_layernorm(hidden.index_select(1, rest))
    shape = (*normed.shape[:2], -1, layer.self_attn.head_dim)
    key, value = (
        project(normed).view(shape).transpose(1, 2)
        for project in (layer.self_attn.k_proj, layer.self_attn.v_proj)
    )
    _, key = apply_rotary_pos_emb(key, key, cos.index_select(1, rest), sin.index_select(1, rest))
    changed = {
        **known,
        "position_embeddings": (cos.index_select(1, kept), sin.index_select(1, kept)),
        "ready": (key, value),
    }
    return (hidden.index_select(1, kept), *args[1:]), changed


def whole(layout: Any, query: Tensor, key: Tensor, value: Tensor, ready: Any) -> list[Tensor]:
    """Put kept and other tokens back into the order of the sequence; other queries are zero."""
    order = torch.cat([layout.rest, layout.kept]).argsort()
    empty = query.new_zeros(1, query.shape[1], len(layout.rest), query.shape[3])
    pieces = ((empty, query), (ready[0], key), (ready[1], value))
    return [torch.cat(piece, dim=2).index_select(2, order) for piece in pieces]


ATTENTION = "harness_packed"
"""Name under which the attention is registered with ``transformers``."""


@dataclass(frozen=True)
class Block:
    """Where one prefix with its answers lies in the packed sequence.

    Attributes:
        start: first position of the prefix.
        prefix: its length in tokens.
        fed: how many tokens of each answer are fed; zero for an answer of one token.
        gather: ``(K * R)`` positions of the answers' tokens, padded to the longest, R.
        scatter: ``(sum(fed))`` where each fed token is in ``gather``; ``None`` when unpadded.
        mask: ``(R, prefix + R)`` bool, what a token of an answer may attend to.
    """

    start: int
    prefix: int
    fed: tuple[int, ...]
    gather: Tensor
    scatter: Tensor | None
    mask: Tensor

    @property
    def end(self) -> int:
        """First position after the block."""
        return self.start + self.prefix + sum(self.fed)


@dataclass(frozen=True)
class Layout:
    """The blocks of a packed sequence, in order.

    Attributes:
        blocks: one for each prefix, row by row.
        kept: ``(S,)`` positions from which something is predicted, ascending: each prefix's last
            token and all tokens of answers.
        rest: ``(T - S,)`` the others, ascending.
    """

    blocks: tuple[Block, ...]
    kept: Tensor
    rest: Tensor

    def to(self, device: Any, **how: Any) -> Layout:
        """Move the index tensors to a device."""
        return Layout(
            tuple(
                replace(
                    block,
                    gather=block.gather.to(device, **how),
                    scatter=None if block.scatter is None else block.scatter.to(device, **how),
                    mask=block.mask.to(device, **how),
                )
                for block in self.blocks
            ),
            self.kept.to(device, **how),
            self.rest.to(device, **how),
        )


def pack(rows: Sequence[EncodedPair]) -> dict[str, Any]:
    """Batch rows into one packed sequence of T tokens with A scored tokens in N answers.

    Returns:
        ``input_ids`` and ``position_ids`` ``(1, T)``; ``keep`` ``(A,)`` the position that predicts
        each scored token, and ``keep_trimmed`` its place in ``layout.kept``; ``labels`` ``(A,)``
        that token; ``owner`` ``(A,)`` its answer, counted over the batch; ``layout``; ``vision``,
        the processor's image tensors of each prefix.
    """
    ids: list[int] = []
    positions: list[int] = []
    keep: list[int] = []
    labels: list[int] = []
    owner: list[int] = []
    blocks = []
    answers = 0
    for row in rows:
        begins: dict[int, tuple[int, int]] = {}  # by answer: the prefix's last token, its own first
        for number, prefix in enumerate(row.prefixes):
            start, length = len(ids), len(prefix.prompt)
            ids.extend(prefix.prompt)
            positions.extend(range(length))
            mine = [at for at, its in enumerate(row.prefix_of) if its == number]
            for at in mine:
                begins[at] = start + length - 1, len(ids)
                fed = row.answers[at][:-1]
                ids.extend(fed)
                positions.extend(range(length, length + len(fed)))
            blocks.append(_block(start, length, tuple(len(row.answers[at]) - 1 for at in mine)))
        for at, answer in enumerate(row.answers):
            last, first = begins[at]
            keep.append(last)
            keep.extend(range(first, first + len(answer) - 1))
            labels.extend(answer)
            owner.extend([answers] * len(answer))
            answers += 1
    predicting = torch.tensor(keep)
    used = torch.zeros(len(ids), dtype=torch.bool)
    used[predicting] = True
    kept = used.nonzero()[:, 0]
    return {
        "input_ids": torch.tensor([ids]),
        "position_ids": torch.tensor([positions]),
        "keep": predicting,
        "keep_trimmed": torch.searchsorted(kept, predicting),
        "labels": torch.tensor(labels),
        "owner": torch.tensor(owner),
        "layout": Layout(tuple(blocks), kept, used.logical_not().nonzero()[:, 0]),
        "vision": [dict(prefix.vision) for row in rows for prefix in row.prefixes],
    }


def _block(start: int, prefix: int, fed: tuple[int, ...]) -> Block:
    width = max(fed)
    first = torch.tensor([0, *fed[:-1]]).cumsum(0) + start + prefix
    inside = torch.arange(width)[None, :] < torch.tensor(fed)[:, None]
    gather = torch.where(inside, first[:, None] + torch.arange(width), start)
    own = torch.ones(width, width, dtype=torch.bool).tril()
    mask = torch.cat([torch.ones(width, prefix, dtype=torch.bool), own], dim=1)
    scatter = None if bool(inside.all()) else inside.flatten().nonzero()[:, 0]
    return Block(start, prefix, fed, gather.flatten(), scatter, mask)


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    layout: Layout | None = None,
    ready: tuple[Tensor, Tensor] | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention over a packed sequence, in the form ``transformers`` calls it.

    ``query`` is ``(1, H, T, d)``; ``key`` and ``value`` may have fewer heads. The layout says where
    prefixes and answers lie, which replaces a mask. Where the last layer is computed for the
    scored tokens only, ``query``, ``key`` and ``value`` hold those tokens, and ``ready`` holds the
    keys and values of all the others.

    Returns:
        ``(1, T, H, d)``, or ``(1, S, H, d)`` for ``S`` scored tokens; and ``None`` for the weights.

    Raises:
        HarnessError: if called without a layout, which could only give a wrong answer.
    """
    if layout is None or attention_mask is not None or query.shape[0] != 1:
        raise HarnessError("Packed attention was called on a sequence that is not packed.")
    if ready is not None:
        query, key, value = whole(layout, query, key, value, ready)
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    parts = []
    for block in layout.blocks:
        middle = block.start + block.prefix
        first = block.start if ready is None else middle - 1
        q = query[:, :, first:middle]
        k, v = key[:, :, block.start : middle], value[:, :, block.start : middle]
        parts.append(
            functional.scaled_dot_product_attention(
                q, k, v, dropout_p=dropout, is_causal=ready is None, scale=scaling
            )
        )
        if block.end > middle:
            parts.append(_answers(query, key, value, block, dropout, scaling))
    return torch.cat(parts, dim=2).transpose(1, 2), None


def _answers(
    query: Tensor, key: Tensor, value: Tensor, block: Block, dropout: float, scaling: float | None
) -> Tensor:
    """Attention of a block's answers: ``(1, H, sum(fed), d)``."""
    heads, size = query.shape[1], query.shape[3]
    count, middle = len(block.fed), block.start + block.prefix

    def own(x: Tensor) -> Tensor:
        if block.scatter is None:
            x = x[0, :, middle : block.end]
        else:
            x = x[0].index_select(1, block.gather)
        return x.reshape(heads, count, -1, size).transpose(0, 1)

    def with_prefix(x: Tensor) -> Tensor:
        shared = x[:, :, block.start : middle].expand(count, -1, -1, -1)
        return torch.cat([shared, own(x)], dim=2)

    out = functional.scaled_dot_product_attention(
        own(query),
        with_prefix(key),
        with_prefix(value),
        attn_mask=block.mask,
        dropout_p=dropout,
        scale=scaling,
    )
    out = out.transpose(0, 1).reshape(1, heads, -1, size)
    return out if block.scatter is None else out.index_select(2, block.scatter)


def _parts(rows: Tensor) -> list[slice]:
    """Cut many rows into pieces whose wide copies stay small; one empty piece for no rows."""
    return [slice(at, at + 512) for at in range(0, max(len(rows), 1), 512)]


class _TokenLogProb(torch.autograd.Function):
    """Log-softmax at one label per row; the gradient overwrites the logits instead of copying."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> Tensor:
        wide = torch.promote_types(logits.dtype, torch.float32)
        total = torch.cat([torch.logsumexp(logits[part].to(wide), -1) for part in _parts(logits)])
        ctx.save_for_backward(logits, labels, total)
        chosen = logits.gather(1, labels[:, None])[:, 0].to(wide)
        return chosen - total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        logits, labels, total = ctx.saved_tensors
        for part in _parts(logits):
            soft = torch.exp(logits[part].to(total.dtype) - total[part, None])
            logits[part] = soft.mul_(-grad[part, None]).to(logits.dtype)
        logits.scatter_add_(1, labels[:, None], grad[:, None].to(logits.dtype))
        return logits, None


def token_log_probs(logits: Tensor, labels: Tensor) -> Tensor:
    """Return ``log softmax(logits)[label]`` per row, in at least float32.

    The backward pass reuses the memory of ``logits``: they must not be read afterwards.
    """
    result: Tensor = _TokenLogProb.apply(logits, labels)
    return result
