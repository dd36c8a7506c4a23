"""The last layer on answer tokens only.

Nothing is predicted from a prompt token but the last one, so in the last decoder layer the others
are needed as keys and values and nothing else: no query, no output projection, no MLP, forward or
backward. The result is the same. A layer's share of the saving is one over the number of layers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

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
