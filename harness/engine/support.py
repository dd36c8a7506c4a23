"""Which model families the shared path can drive: asked of the config, then proven by a try."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from harness.engine.inputs import Prepared, network_inputs
from harness.engine.loading import Loaded

if TYPE_CHECKING:
    import torch

_ODD_SETTINGS = (
    "no_repeat_ngram_size",
    "bad_words_ids",
    "suppress_tokens",
    "begin_suppress_tokens",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "min_length",
    "min_new_tokens",
    "sequence_bias",
    "exponential_decay_length_penalty",
    "encoder_repetition_penalty",
)
_EXACT, _ROUNDED = 1e-3, 0.1


def can_share(network: Any) -> bool:
    """Tell whether the decoder looks like a plain causal stack over full attention.

    Generation settings that change logits in ways the decode loop does not know, sliding windows
    and recurrent layers lead to the one-by-one path.
    """
    settings = network.generation_config
    if any(getattr(settings, name, None) for name in _ODD_SETTINGS):
        return False
    try:
        decoder, head = network.get_decoder(), network.get_output_embeddings()
        config = decoder.config
    except (AttributeError, NotImplementedError):
        return False
    if head is None or decoder is network or network.config.is_encoder_decoder:
        return False
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    window = getattr(config, "sliding_window", None)
    slides = window is not None and getattr(config, "use_sliding_window", True)
    needed = ("num_hidden_layers", "num_attention_heads", "hidden_size")
    return (
        kinds == {"full_attention"}
        and not slides
        and not getattr(config, "attn_logit_softcapping", None)
        and all(hasattr(config, name) for name in needed)
    )


def same_logits(loaded: Loaded, prompt: Prepared, ours: Callable[[], torch.Tensor]) -> bool | None:
    """Compare the logits after one prompt with those of the network's own forward.

    Args:
        loaded: the network.
        prompt: any prompt of the kind in question.
        ours: computes the logits ``(vocabulary,)`` by the shared path.

    Returns:
        Whether they agree: to rounding in float32, and in 16-bit formats as closely as two
        correct orders of summation do. A family that treats images or positions differently from
        what the shared path assumes is off by far more. ``None`` if the network's own logits are
        not finite: this prompt tells nothing.
    """
    import torch

    theirs = loaded.network(**network_inputs(loaded, prompt)).logits[0, -1].float()
    if not theirs.amax().isfinite():
        return None
    try:
        found = ours().float()
    except (RuntimeError, ValueError, TypeError, AttributeError, KeyError, IndexError):
        return False
    if found.shape != theirs.shape:
        return False
    limit = _EXACT if loaded.dtype == torch.float32 else _ROUNDED
    spread = (theirs - theirs.mean()).norm()
    return bool((found - theirs).norm() <= limit * spread)
