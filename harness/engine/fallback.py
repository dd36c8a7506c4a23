"""One request alone through ``network.generate``: the reference, and the path of odd families."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.engine.decoding import finite
from harness.engine.inputs import ANSWER_TYPES, Prepared, network_inputs, prepare
from harness.engine.loading import Loaded
from harness.engine.sampling import draw
from harness.engine.stopping import Ending, choice_tokens
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
    """Return :func:`forced_log_prob` of several answers to one request.

    Args:
        loaded: the network, without an adapter.
        request: question and image.
        rendered: the prompt as the model reads it.
        answers: token ids.
    """
    prepared = prepare(loaded, request, rendered)
    return [forced_log_prob(loaded, prepared, tokens) for tokens in answers]
