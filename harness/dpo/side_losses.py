"""Losses over what answers have of their own: another image, weights by segment, scores.

Symbols are those of ``harness/dpo/losses.py``; ``r(y|x')`` is the chosen answer's reward under
another image or view.

===========  ======================================================================================
conditional  -log s(r(y_c|x) - r(y_c|x')); mDPO, Wang et al. 2406.11839, equation 4
anchor       -log s(r_c - delta); the same, equation 5
ddpo         dpo of log-ratios summed by weight and divided by the sum of the weights, chosen and
             rejected each by its own; RLHF-V, Yu et al. 2312.00849, equation 3
kto          the mean over a row's answers of 1 - s(beta (h_c - z)) and 1 - s(beta (z - h_j));
             Ethayarajh et al. 2402.01306, equation 8
mm_dpo       dpo with beta (1 + w (1 - exp(-k (score_c - score_j)))); MM-RLHF, Zhang et al.
             2502.10391, section 4
===========  ======================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional

from harness.dpo.loss_terms import BY_IMAGE, needs
from harness.dpo.losses import Knobs, Loss, Scores, mean_rejected


@needs(images=True)
def conditional(scores: Scores, knobs: Knobs) -> Tensor:
    """The chosen answer is likelier under its own image; zero where a row has no other image."""
    rewards, mask = knobs.beta * scores.ratios, torch.zeros_like(scores.mask)
    if scores.sides is not None:
        mask = scores.mask & (scores.sides == BY_IMAGE)
    return mean_rejected(-functional.logsigmoid(rewards[:, :1] - rewards[:, 1:]), mask)


def anchor(scores: Scores, knobs: Knobs, *, delta: float = 0.0) -> Tensor:
    """The chosen answer's reward stays above ``delta``."""
    return -functional.logsigmoid(knobs.beta * scores.ratios[:, 0] - delta)


@needs(weights=True)
def ddpo(scores: Scores, knobs: Knobs, *, mean: float = 1.0) -> Tensor:
    """DPO in which tokens count by their weights; ``mean=0`` does not divide by their sum."""
    tokens = scores.tokens
    assert tokens is not None
    weights = tokens.mask.to(tokens.policy.dtype)
    if tokens.weights is not None:
        weights = weights * tokens.weights.to(weights.dtype)
    ratios = (tokens.ratios * weights).sum(2)
    if mean:
        whole = weights.sum(2)
        ratios = ratios / torch.where(whole > 0, whole, 1.0)
    rewards = knobs.beta * ratios
    return mean_rejected(-functional.logsigmoid(rewards[:, :1] - rewards[:, 1:]), scores.mask)


@needs(detached=True)
def kto(
    scores: Scores, knobs: Knobs, *, desirable: float = 1.0, undesirable: float = 1.0
) -> Tensor:
    """Each answer for itself against a reference point ``z`` that gets no gradient.

    The paper estimates ``z`` from answers to other prompts. Here it is the batch mean of the
    log-ratios of the other side, at least zero, as in the paired form of the authors' report.
    """
    ratios, rejected = scores.ratios, scores.mask[:, 1:]
    count = rejected.sum().clamp(min=1)
    lower = (ratios[:, 1:].masked_fill(~rejected, 0.0).sum() / count).clamp(min=0).detach()
    upper = ratios[:, 0].mean().clamp(min=0).detach()
    better = desirable * (1 - torch.sigmoid(knobs.beta * (ratios[:, 0] - lower)))
    worse = undesirable * (1 - torch.sigmoid(knobs.beta * (upper - ratios[:, 1:])))
    return (better + mean_rejected(worse, scores.mask)) / 2


def mm_dpo(scores: Scores, knobs: Knobs, *, w: float = 0.5, k: float = 0.5) -> Tensor:
    """DPO that goes further where the scores are further apart; without scores it is ``dpo``."""
    ratios = scores.ratios
    beta: float | Tensor = knobs.beta
    if scores.targets is not None:
        gaps = (scores.targets[:, :1] - scores.targets[:, 1:]).clamp(min=0)
        beta = knobs.beta * (1 + w * (1 - torch.exp(-k * gaps)))
    margins = beta * (ratios[:, :1] - ratios[:, 1:])
    return mean_rejected(-functional.logsigmoid(margins), scores.mask)


SIDE_LOSSES: Mapping[str, Loss] = MappingProxyType(
    {function.__name__: function for function in (anchor, conditional, ddpo, kto, mm_dpo)}
)
