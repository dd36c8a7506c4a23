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
_NEEDED = ("num_hidden_layers", "num_attention_heads", "hidden_size")
_EXACT, _ROUNDED = 1e-3, 0.1


def can_share(network: Any) -> bool:
    """Tell whether answers may be decoded by the shared path.

    Besides the decoder, generation settings count: some change logits in ways the decode loop does
    not know and lead to the one-by-one path.
    """
    settings = network.generation_config
    odd = any(getattr(settings, name, None) for name in _ODD_SETTINGS)
    return not odd and why_not_shared(network) is None


def why_not_shared(network: Any) -> str | None:
    """Say why prefixes of this decoder cannot be shared, or ``None`` where they can.

    They can where it is a plain causal stack over full attention: each position sees all before it
    and nothing else. Engine and training both ask here.
    """
    try:
        decoder, head = network.get_decoder(), network.get_output_embeddings()
        config = decoder.config
    except (AttributeError, NotImplementedError):
        return "it does not say which part is its language model"
    if head is None or decoder is network or network.config.is_encoder_decoder:
        return "its language model is not a decoder with a head of its own"
    if getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True):
        return "its attention has a sliding window"
    if set(getattr(config, "layer_types", None) or ["full_attention"]) != {"full_attention"}:
        return "not all of its layers attend to the whole sequence"
    if getattr(config, "attn_logit_softcapping", None):
        return "its attention caps the scores"
    if not all(hasattr(config, name) for name in _NEEDED):
        return f"its configuration lacks one of {', '.join(_NEEDED)}"
    return None


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
        not finite: this prompt decides nothing.
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
