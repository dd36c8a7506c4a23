"""The rule by which a sampled token is drawn: from the row's own logits, seed and step alone.

A token is the arg max of its logit over the temperature plus Gumbel noise, which is a draw from the
softmax (Gumbel 1954; the "Gumbel-max trick"). The noise of a token is a hash of (seed, step,
token), so it is the same in every batch, process and resumed run. The logits are not: a product of
another shape rounds otherwise, by about 1e-6 in float32. Inverting the distribution function over
sorted probabilities turned such a difference into another token whenever two neighbours changed
places; here it matters only where the two best sums are that close.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.records import Request

if TYPE_CHECKING:
    import torch


def draw(logits: torch.Tensor, requests: Sequence[Request], steps: Sequence[int]) -> list[int]:
    """Return one sampled token id for each line of ``logits`` ``(rows, vocabulary)``.

    Args:
        logits: penalties applied, the temperature not.
        requests: whose temperature, nucleus and seed hold for each line.
        steps: how many tokens each of them has made so far.
    """
    if logits.device.type == "cpu":  # line by line, so that what is computed stays in the cache
        lines = zip(logits, requests, steps, strict=True)
        return [_drawn(line[None], [request], [step])[0] for line, request, step in lines]
    return _drawn(logits, requests, steps)


def _drawn(logits: torch.Tensor, requests: Sequence[Request], steps: Sequence[int]) -> list[int]:
    import torch

    heat = torch.tensor([request.temperature for request in requests], dtype=torch.float64)
    warm = logits.double() / heat.to(logits.device)[:, None]
    keys = [_key(request.seed, step) for request, step in zip(requests, steps, strict=True)]
    scores = warm + _gumbel(torch.tensor(keys, device=logits.device), logits.shape[-1])
    if all(request.top_p >= 1 for request in requests):
        return [int(token) for token in scores.argmax(-1).tolist()]
    limit = torch.tensor([request.top_p for request in requests], dtype=torch.float64)
    return _first_inside(scores, warm.softmax(-1), limit.to(logits.device))


def _first_inside(scores: torch.Tensor, chances: torch.Tensor, top_p: torch.Tensor) -> list[int]:
    """Return each line's best token inside its nucleus.

    The nucleus is the smallest set of most likely tokens that holds ``top_p``: a token belongs to
    it when those before it hold less. One outside takes all behind it with it, so that a few
    rounds suffice and nothing is sorted.
    """
    import torch

    place = torch.arange(scores.shape[-1], device=scores.device)
    while True:
        best = scores.argmax(-1, keepdim=True)
        its = chances.gather(-1, best)
        ahead = (chances > its) | ((chances == its) & (place < best))
        outside = (chances * ahead).sum(-1) >= top_p
        outside &= top_p < 1
        if not outside.any():
            return [int(token) for token in best[:, 0].tolist()]
        scores.masked_fill_(outside[:, None] & ~ahead, -torch.inf)


def _key(seed: int, step: int) -> int:
    digest = hashlib.blake2b(f"{seed} {step}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def _gumbel(keys: torch.Tensor, count: int) -> torch.Tensor:
    """Return standard Gumbel noise from the first ``count`` numbers of SplitMix64 of each key.

    SplitMix64 (Steele, Lea and Flood 2014) is integer arithmetic on a counter: the same on every
    device, and any part of it can be computed alone.
    """
    import torch

    counter = torch.arange(1, count + 1, device=keys.device) * _signed(0x9E3779B97F4A7C15)
    state = keys[:, None] + counter
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        state ^= _shifted(state, shift)
        state *= _signed(factor)
    state ^= _shifted(state, 31)
    uniform = _shifted(state, 11).double().add_(0.5).mul_(2.0**-53)
    return uniform.log_().neg_().log_().neg_()


def _shifted(state: torch.Tensor, bits: int) -> torch.Tensor:
    """Shift to the right as an unsigned number; torch has signed ones only."""
    return (state >> bits) & ((1 << (64 - bits)) - 1)


def _signed(number: int) -> int:
    return number - (1 << 64) if number >= 1 << 63 else number
