"""One request alone through ``network.generate``: the reference, and the path of odd families.

Which families the shared path can drive is asked of the configuration, then proven by a try.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from harness.engine.decoding import Ending, choice_tokens, draw, finite
from harness.engine.inputs import ANSWER_TYPES, Prepared, network_inputs, prepare
from harness.engine.loading import Loaded
from harness.records import Answer, Request

if TYPE_CHECKING:
    import torch


class NotFinite(Exception):  # noqa: N818  (a finding about the weights)
    """The network gave logits that are not finite."""


def _checked(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """Stop ``generate`` at logits from which no token can be read."""
    if not all(finite(scores)):
        raise NotFinite
    return scores


def answer_alone(loaded: Loaded, prepared: Prepared, ending: Ending) -> Answer:
    """Answer one request without any sharing.

    Greedy decoding is ``generate`` itself; a sampled token is drawn by the same rule as elsewhere.

    Raises:
        NotFinite: if logits are not finite at any step.
    """
    import torch

    request = prepared.request
    inputs = network_inputs(loaded, prepared)
    start = len(prepared.ids)

    def stopped(ids: torch.Tensor, scores: object) -> torch.Tensor:
        return torch.tensor([ending.stopped(ids[0, start:].tolist(), request)], device=ids.device)

    def drawn(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        token = draw(scores.float(), [request], [ids.shape[1] - start])
        return torch.full_like(scores, -torch.inf).index_fill_(
            1, torch.tensor(token, device=scores.device), 0.0
        )

    more: dict[str, Any] = {"logits_processor": [_checked]}
    if request.stop:  # not generate's own stop_strings: those also end answers without the text
        more["stopping_criteria"] = [stopped]
    if request.temperature > 0:
        more["logits_processor"].append(drawn)
    with torch.inference_mode():
        output = loaded.network.generate(
            **inputs,
            **more,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            max_new_tokens=request.max_new_tokens,
            num_beams=1,
            pad_token_id=ending.pad,
        )
    tokens = output[0, start:].tolist()
    return ending.answer(tokens, request, _score(loaded, prepared, inputs))


def _score(loaded: Loaded, prepared: Prepared, inputs: dict[str, Any]) -> tuple[float, ...]:
    import torch

    scores = []
    length = len(prepared.ids)
    types = ANSWER_TYPES.get(loaded.network.config.model_type, {})
    for choice in prepared.request.choices:
        wanted = torch.tensor([choice_tokens(loaded.tokenizer, prepared.ids, choice)])
        wanted = wanted.to(loaded.device)
        grown = dict(inputs)
        for name, value in inputs.items():
            if value.shape[:2] == (1, length):
                last = value[:, -1:]
                if name in types:
                    last = torch.full_like(last, types[name])
                tail = last.expand(1, wanted.shape[1], *value.shape[2:])
                tail = wanted if name == "input_ids" else tail
                grown[name] = torch.cat([value, tail], dim=1)
        with torch.inference_mode():
            logits = loaded.network(**grown).logits[0, length - 1 : -1].float()
        spread = logits.log_softmax(-1)
        scores.append(float(spread.gather(1, wanted[0][:, None]).sum()))
    return tuple(scores)


def forced_log_prob(loaded: Loaded, prepared: Prepared, tokens: tuple[int, ...]) -> float:
    """Return the log-probability of an answer's tokens, each forced through ``generate``.

    What a network gives while it generates is what its answers mean. A training that sees another
    number for the same tokens trains something else.

    Returns:
        The sum over the tokens, in nats.
    """
    import torch

    start = len(prepared.ids)

    def force(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        forced = torch.full_like(scores, -1e9)
        forced[0, tokens[ids.shape[1] - start]] = 0.0
        return forced

    with torch.inference_mode():
        output = loaded.network.generate(
            **network_inputs(loaded, prepared),
            logits_processor=[force],
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            num_beams=1,
            max_new_tokens=len(tokens),
            eos_token_id=None,
            pad_token_id=0,
            output_logits=True,
            return_dict_in_generate=True,
        )
    spread = torch.cat([step.float().log_softmax(-1) for step in output.logits])
    wanted = torch.tensor(tokens, device=spread.device)
    return float(spread.gather(1, wanted[:, None]).double().sum())


def forced_through_generation(
    loaded: Loaded, request: Request, rendered: str, answers: Sequence[tuple[int, ...]]
) -> list[float]:
    """Return :func:`forced_log_prob` of several answers to one request, without an adapter."""
    prepared = prepare(loaded, request, rendered)
    return [forced_log_prob(loaded, prepared, tokens) for tokens in answers]


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

    Returns:
        Whether they agree: to rounding in float32, and in 16-bit formats as closely as two
        correct orders of summation do. A family that treats images or positions differently from
        what the shared path assumes is off by far more. ``None`` where this prompt decides nothing:
        the network itself refuses it or gives logits that are not finite, or memory ran out.
    """
    import torch

    try:
        theirs = loaded.network(**network_inputs(loaded, prompt)).logits[0, -1].float()
    except Exception:  # such as for a wrong number of image tokens; answered alone, it says why
        return None
    if not theirs.amax().isfinite():
        return None
    try:
        found = ours().float()
    except torch.OutOfMemoryError:
        return None
    except (RuntimeError, ValueError, TypeError, AttributeError, KeyError, IndexError):
        return False
    if found.shape != theirs.shape:
        return False
    limit = _EXACT if loaded.dtype == torch.float32 else _ROUNDED
    spread = (theirs - theirs.mean()).norm()
    return bool((found - theirs).norm() <= limit * spread)
