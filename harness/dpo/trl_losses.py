"""Further preference losses: those of TRL that fit, SimPO, ORPO, cDPO and LD-DPO.

Names and formulas are TRL's (``DPOConfig.loss_type``) where TRL has them. With ``r`` the rewards of
``harness/dpo/losses.py``, ``m = r_c - r_j`` and ``h`` log-ratios; several rejected answers count by
their mean. Keyword arguments are knobs of the loss, set as in ``loss=robust:label_smoothing=0.2``.

============  =====================================================================================
hinge         max(0, 1 - m); SLiC, 2305.10425
robust        (-(1 - e) log s(m) + e log s(-m)) / (1 - 2 e); 2403.00409
cdpo          -(1 - e) log s(m) - e log s(-m); Mitchell's note on noisy preferences
exo_pair      KL of (s(m), s(-m)) from (1 - e, e); EXO, 2402.00856, equation 16
bco_pair      -log s(r_c) - log s(-r_j); BCO without its running mean, 2404.04656
sppo_hard     (h_c - 1/(2 beta))^2 + (h_j + 1/(2 beta))^2; 2405.00675
aot           cdpo of margins sorted over the batch, policy and reference apart; 2406.05882
aot_unpaired  the same of chosen and rejected log-ratios, each sorted
apo_zero      1 - s(r_c) + s(r_j); 2408.06266, equation 7
apo_down      s(r_c) + 1 - s(m); the same, equation 8
discopop      (1 - w) (-log s(m)) + w exp(-m), w = s(m / tau); 2406.08414, equation 5
simpo         -log s(beta (p_c - p_j) - gamma), p log-probability per token; 2405.14734
orpo          sft - beta log s(log odds p_c - log odds p_j); 2403.07691
ld_dpo        dpo, where tokens beyond the shorter answer's length weigh alpha; 2409.06411
============  =====================================================================================
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from harness.dpo.loss_terms import needs
from harness.dpo.losses import Knobs, Scores, mean_rejected, sft


def _margins(scores: Scores, knobs: Knobs) -> Tensor:
    rewards = knobs.beta * scores.ratios
    return rewards[:, :1] - rewards[:, 1:]


def _smoothed(margins: Tensor, smoothing: float) -> Tensor:
    kept = -functional.logsigmoid(margins) * (1 - smoothing)
    return kept - functional.logsigmoid(-margins) * smoothing


def hinge(scores: Scores, knobs: Knobs) -> Tensor:
    """Nothing is learnt from a pair whose margin is above one."""
    return mean_rejected(torch.relu(1 - _margins(scores, knobs)), scores.mask)


def robust(scores: Scores, knobs: Knobs, *, label_smoothing: float = 0.1) -> Tensor:
    """DPO that is unbiased when a share of the preferences is flipped."""
    margins, rate = _margins(scores, knobs), label_smoothing
    clean = -functional.logsigmoid(margins) * (1 - rate)
    flipped = -functional.logsigmoid(-margins) * rate
    return mean_rejected((clean - flipped) / (1 - 2 * rate), scores.mask)


def cdpo(scores: Scores, knobs: Knobs, *, label_smoothing: float = 0.1) -> Tensor:
    """DPO that takes a share of the preferences for flipped."""
    return mean_rejected(_smoothed(_margins(scores, knobs), label_smoothing), scores.mask)


def exo_pair(scores: Scores, knobs: Knobs, *, label_smoothing: float = 1e-3) -> Tensor:
    """Reverse KL between the policy's preference and a smoothed one; of 0 by 1e-3, as TRL."""
    margins, label_smoothing = _margins(scores, knobs), label_smoothing or 1e-3
    won = torch.sigmoid(margins) * (functional.logsigmoid(margins) - math.log1p(-label_smoothing))
    lost = torch.sigmoid(-margins) * (functional.logsigmoid(-margins) - math.log(label_smoothing))
    return mean_rejected(won + lost, scores.mask)


def bco_pair(scores: Scores, knobs: Knobs) -> Tensor:
    """Each answer for itself: the chosen one above the reference, the rejected ones below."""
    rewards = knobs.beta * scores.ratios
    worse = mean_rejected(-functional.logsigmoid(-rewards[:, 1:]), scores.mask)
    return -functional.logsigmoid(rewards[:, 0]) + worse


def sppo_hard(scores: Scores, knobs: Knobs) -> Tensor:
    """Log-ratios toward plus and minus ``1 / (2 beta)``."""
    goal = 0.5 / knobs.beta
    worse = mean_rejected((scores.ratios[:, 1:] + goal) ** 2, scores.mask)
    return (scores.ratios[:, 0] - goal) ** 2 + worse


@needs(one_rejected=True)
def aot(scores: Scores, knobs: Knobs, *, label_smoothing: float = 0.0) -> Tensor:
    """The margins' distribution above the reference's; depends on what shares a batch."""
    pairs = scores.mask[:, 1]
    policy = (scores.policy[:, 0] - scores.policy[:, 1])[pairs].sort().values
    reference = (scores.reference[:, 0] - scores.reference[:, 1])[pairs].sort().values
    return _of_pairs(_smoothed(knobs.beta * (policy - reference), label_smoothing), pairs)


@needs(one_rejected=True)
def aot_unpaired(scores: Scores, knobs: Knobs, *, label_smoothing: float = 0.0) -> Tensor:
    """The chosen answers' distribution above the rejected ones'; depends on the batch too."""
    pairs = scores.mask[:, 1]
    chosen, rejected = (scores.ratios[pairs, at].sort().values for at in (0, 1))
    return _of_pairs(_smoothed(knobs.beta * (chosen - rejected), label_smoothing), pairs)


def _of_pairs(values: Tensor, pairs: Tensor) -> Tensor:
    """Put values of the rows that have a rejected text into all rows; the others have zero."""
    return values.new_zeros(pairs.shape).masked_scatter(pairs, values)


def apo_zero(scores: Scores, knobs: Knobs) -> Tensor:
    """For chosen answers that are better than the model's own: raise them, lower the others."""
    rewards = knobs.beta * scores.ratios
    worse = mean_rejected(torch.sigmoid(rewards[:, 1:]), scores.mask)
    return 1 - torch.sigmoid(rewards[:, 0]) + worse


def apo_down(scores: Scores, knobs: Knobs) -> Tensor:
    """For chosen answers that are worse than the model's own: lower both, the rejected more."""
    rewards = knobs.beta * scores.ratios
    apart = mean_rejected(1 - torch.sigmoid(_margins(scores, knobs)), scores.mask)
    return torch.sigmoid(rewards[:, 0]) + apart


def discopop(scores: Scores, knobs: Knobs, *, tau: float = 0.05) -> Tensor:
    """A loss found by search: logistic where the margin is negative, exponential elsewhere."""
    margins = _margins(scores, knobs)
    blend = torch.sigmoid(margins / tau)
    # exp(-m) s(m / tau) as one power: apart they are infinity times zero for large negative m.
    exponential = torch.exp(functional.logsigmoid(margins / tau) - margins)
    logistic = -functional.logsigmoid(margins) * (1 - blend)
    return mean_rejected(logistic + exponential, scores.mask)


@needs(reference=False)
def simpo(
    scores: Scores, knobs: Knobs, *, gamma: float = 0.5, label_smoothing: float = 0.0
) -> Tensor:
    """Log-probability per token with a target margin; no reference model."""
    policy = scores.policy_per_token
    margins = knobs.beta * (policy[:, :1] - policy[:, 1:]) - gamma
    return mean_rejected(_smoothed(margins, label_smoothing), scores.mask)


@needs(reference=False)
def orpo(scores: Scores, knobs: Knobs) -> Tensor:
    """Imitation of the chosen answer and the odds ratio; ``beta`` is the paper's lambda.

    The imitation is over the answer's tokens, as in the paper; TRL counts the prompt's too.
    """
    policy = scores.policy_per_token
    near = policy.clamp(max=-torch.finfo(policy.dtype).eps)
    odds = policy - torch.log(-torch.expm1(near))
    apart = mean_rejected(-functional.logsigmoid(odds[:, :1] - odds[:, 1:]), scores.mask)
    return sft(scores, knobs) + knobs.beta * apart


@needs(tokens=True)
def ld_dpo(scores: Scores, knobs: Knobs, *, alpha: float = 0.5) -> Tensor:
    """DPO in which a longer answer gains less by being longer."""
    tokens = scores.tokens
    assert tokens is not None
    ratios = tokens.ratios
    running, whole = ratios.cumsum(2), ratios.sum(2)
    counts = tokens.mask.sum(2)
    shared = torch.minimum(counts[:, :1], counts[:, 1:]).clamp(min=1) - 1
    first = running[:, 0].gather(1, shared)
    others = running[:, 1:].gather(2, shared[..., None])[..., 0]
    chosen = (1 - alpha) * first + alpha * whole[:, :1]
    rejected = (1 - alpha) * others + alpha * whole[:, 1:]
    loss = -functional.logsigmoid(knobs.beta * (chosen - rejected))
    return mean_rejected(loss, scores.mask)
