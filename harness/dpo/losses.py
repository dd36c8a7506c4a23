"""Preference losses as pure functions of per-answer log-probabilities.

Every loss takes :class:`Scores` (one row per prompt, one column per answer, the chosen answer
first, padding masked) and :class:`Knobs`, and returns one value per row. With
``r = beta * (log pi(y|x) - log ref(y|x))`` an answer's reward, they are, for chosen ``c`` and
rejected ``j``:

=============  ====================================================================================
dpo            -log s(r_c - r_j); Rafailov et al. 2305.18290, equation 7
dpo_norm       the same with each log-ratio divided by its answer's length in tokens
ipo            (h_c - h_j - 1/(2 beta))^2, h = log-ratio per token; Azar et al. 2310.12036, eq. 17
multi_softmax  log(1 + sum_j exp(r_j - r_c)); S-DPO, Chen et al. 2406.09215
multi_mean     mean over j of dpo
plackett_luce  -sum_k [r_k - log sum_{j>=k} exp r_j], best answer first; DPO paper, appendix A.3
infonca        -sum_i p_i log softmax(r)_i, p = softmax(scores / alpha); Chen et al. 2402.05369
nca            -sum_i [p_i log s(r_i) + log s(-r_i) / K], p as above; the same paper
mpo            w0 multi_mean + w1 (-log s(r_c) - mean_j log s(-r_j)) + w2 sft; 2411.10442
sft            negative log-likelihood per token of the chosen answer
sima_released  dpo, where the rejected term scores each token's strongest competitor (see there)
conditional    -log s(r(y_c|x) - r(y_c|x')), x' another image; mDPO, Wang et al. 2406.11839, eq. 4
anchor         -log s(r_c - delta); the same, equation 5
ddpo           dpo of log-ratios summed by weight and divided by the sum of the weights, chosen and
               rejected each by its own; RLHF-V, Yu et al. 2312.00849, equation 3
kto            mean over a row's answers of 1 - s(beta (h_c - z)) and 1 - s(beta (z - h_j));
               Ethayarajh et al. 2402.01306, equation 8
mm_dpo         dpo with beta (1 + w (1 - exp(-k (score_c - score_j)))); MM-RLHF, Zhang et al.
               2502.10391, section 4
=============  ====================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from harness.dpo.loss_terms import BY_IMAGE, needs


@dataclass(frozen=True)
class Tokens:
    """Log-probabilities of every token of a batch's answers.

    Attributes:
        policy: ``(B, K, T)`` in nats under the model in training; anything where masked.
        reference: ``(B, K, T)`` the same under the reference.
        mask: ``(B, K, T)`` bool, ``True`` where there is a token.
        weights: ``(B, K, T)`` of each token, for losses that need them; ``None`` where all are 1.
    """

    policy: Tensor
    reference: Tensor
    mask: Tensor
    weights: Tensor | None = None

    @property
    def ratios(self) -> Tensor:
        """``(B, K, T)`` log-ratios; zero where masked."""
        return (self.policy - self.reference).masked_fill(~self.mask, 0.0)


@dataclass(frozen=True)
class Scores:
    """Log-probabilities of a batch of prompts with up to K answers each.

    Attributes:
        policy: ``(B, K)`` summed log-probabilities in nats under the model in training.
        reference: ``(B, K)`` the same under the reference; no gradient.
        lengths: ``(B, K)`` scored tokens per answer; at least 1 where real.
        mask: ``(B, K)`` bool, ``True`` where there is an answer. Column 0 is always real.
        targets: ``(B, K)`` quality scores of the answers, where every pair of the batch has them,
            else ``None``.
        tokens: the same of every token, for losses that need them; else ``None``.
        meta: what each pair carries (``Pair.meta``).
        sides: ``(B, K)`` what each answer is rejected by: 0 the chosen one, ``BY_TEXT``,
            ``BY_IMAGE``, ``BY_BOTH``; ``None`` where all are rejected by their text.
    """

    policy: Tensor
    reference: Tensor
    lengths: Tensor
    mask: Tensor
    targets: Tensor | None = None
    tokens: Tokens | None = None
    meta: tuple[Mapping[str, Any], ...] = ()
    sides: Tensor | None = None

    def without_images(self) -> Scores:
        """The same, with answers that are rejected by their image alone masked."""
        if self.sides is None:
            return self
        mask, tokens = self.mask & (self.sides != BY_IMAGE), self.tokens
        if tokens is not None:
            tokens = replace(tokens, mask=tokens.mask & mask[..., None])
        return replace(self, mask=mask, tokens=tokens)

    @property
    def ratios(self) -> Tensor:
        """``(B, K)`` log-ratios; zero where masked, so that no gradient flows there."""
        return (self.policy - self.reference).masked_fill(~self.mask, 0.0)

    @property
    def per_token(self) -> Tensor:
        """``(B, K)`` log-ratios divided by the number of tokens."""
        return self.ratios / self.lengths.clamp(min=1)

    @property
    def policy_per_token(self) -> Tensor:
        """``(B, K)`` log-probabilities per token; minus one where masked."""
        mean = self.policy / self.lengths.clamp(min=1)
        return mean.masked_fill(~self.mask, -1.0)


@dataclass(frozen=True)
class Knobs:
    """Numbers of the losses; see ``harness.dpo.Training`` for their meaning."""

    beta: float = 0.1
    weights: tuple[float, float, float] = (0.8, 0.2, 1.0)
    temperature: float = 1.0


def mean_rejected(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over the rejected columns of ``(B, K)`` values that are masked; ``(B,)``."""
    rejected = mask[:, 1:]
    return values.masked_fill(~rejected, 0.0).sum(1) / rejected.sum(1).clamp(min=1)


def multi_mean(scores: Scores, knobs: Knobs) -> Tensor:
    """Mean over the rejected answers of the pairwise DPO loss; log 2 at the start."""
    rewards = knobs.beta * scores.ratios
    return mean_rejected(-functional.logsigmoid(rewards[:, :1] - rewards[:, 1:]), scores.mask)


@needs(one_rejected=True)
def dpo(scores: Scores, knobs: Knobs) -> Tensor:
    """Direct preference optimisation; log 2 at the start. One rejected answer."""
    return multi_mean(scores, knobs)


@needs(one_rejected=True)
def dpo_norm(scores: Scores, knobs: Knobs) -> Tensor:
    """DPO of per-token log-ratios: a long answer weighs no more than a short one."""
    rewards = knobs.beta * scores.per_token
    return mean_rejected(-functional.logsigmoid(rewards[:, :1] - rewards[:, 1:]), scores.mask)


@needs(one_rejected=True)
def ipo(scores: Scores, knobs: Knobs) -> Tensor:
    """Squared distance of the per-token margin to ``1 / (2 beta)``: it does not run away."""
    margins = scores.per_token[:, :1] - scores.per_token[:, 1:]
    return mean_rejected((margins - 1 / (2 * knobs.beta)) ** 2, scores.mask)


def multi_softmax(scores: Scores, knobs: Knobs) -> Tensor:
    """Cross-entropy of the chosen among all answers; log K at the start, DPO at K = 2."""
    rewards = (knobs.beta * scores.ratios).masked_fill(~scores.mask, -torch.inf)
    return torch.logsumexp(rewards, dim=1) - rewards[:, 0]


def plackett_luce(scores: Scores, knobs: Knobs) -> Tensor:
    """Likelihood of the whole order, best first; log K! at the start, DPO at K = 2."""
    rewards = knobs.beta * scores.ratios
    count = rewards.shape[1]
    later = torch.ones(count, count, dtype=torch.bool, device=rewards.device).triu()
    # Every row keeps its own column, real or not: an empty logsumexp would have a NaN gradient.
    own = torch.eye(count, dtype=torch.bool, device=rewards.device)
    field = (later & scores.mask[:, None, :]) | own
    remaining = torch.logsumexp(
        rewards[:, None, :].expand_as(field).masked_fill(~field, -torch.inf), dim=2
    )
    return (remaining - rewards).masked_fill(~scores.mask, 0.0).sum(1)


def _weights(scores: Scores, knobs: Knobs) -> Tensor:
    """``(B, K)`` target distribution over the answers: softmax of the scores, or the chosen."""
    if scores.targets is None:
        chosen = torch.zeros_like(scores.reference)
        chosen[:, 0] = 1.0
        return chosen
    logits = scores.targets.to(scores.reference.dtype) / knobs.temperature
    return torch.softmax(logits.masked_fill(~scores.mask, -torch.inf), dim=1)


def infonca(scores: Scores, knobs: Knobs) -> Tensor:
    """Cross-entropy against the distribution that the answers' scores give."""
    rewards = (knobs.beta * scores.ratios).masked_fill(~scores.mask, -torch.inf)
    surprise = torch.logsumexp(rewards, 1, keepdim=True) - rewards
    return (_weights(scores, knobs) * surprise.masked_fill(~scores.mask, 0.0)).sum(1)


def nca(scores: Scores, knobs: Knobs) -> Tensor:
    """Absolute instead of relative likelihood: also keeps the chosen answer's own from falling."""
    rewards = knobs.beta * scores.ratios
    toward = -_weights(scores, knobs) * functional.logsigmoid(rewards)
    away = -functional.logsigmoid(-rewards) / scores.mask.sum(1, keepdim=True)
    return (toward + away).masked_fill(~scores.mask, 0.0).sum(1)


@needs(reference=False)
def sft(scores: Scores, knobs: Knobs) -> Tensor:
    """Negative log-likelihood of the chosen answers.

    The batch mean of the returned values is the mean over the batch's *tokens*, as in TRL.
    """
    tokens = scores.lengths[:, 0].sum().clamp(min=1)
    return -scores.policy[:, 0] * (len(scores.policy) / tokens)


def mpo(scores: Scores, knobs: Knobs) -> Tensor:
    """Mixed preference optimisation: preference, quality and generation loss, weighted."""
    rewards = knobs.beta * scores.ratios
    quality = -functional.logsigmoid(rewards[:, 0])
    quality = quality + mean_rejected(-functional.logsigmoid(-rewards[:, 1:]), scores.mask)
    preference, generation = multi_mean(scores, knobs), sft(scores, knobs)
    first, second, third = knobs.weights
    return first * preference + second * quality + third * generation


@needs(one_rejected=True)
def sima_released(scores: Scores, knobs: Knobs) -> Tensor:
    """What SIMA's published trainer computes; not what its paper says.

    The formula is DPO's. The rejected columns must hold log-probabilities of the tokens that
    :func:`competitors` names, under policy and under reference each by its own logits.
    """
    return multi_mean(scores, knobs)


def competitors(logits: Tensor, labels: Tensor) -> Tensor:
    """Return each position's most likely token, or the runner-up where that is the label: ``(T,)``.

    The logits ``(T, V)`` are those of the next token, and the labels ``(T,)`` what it really is.
    """
    best = logits.detach().topk(2, dim=-1).indices
    return torch.where(best[:, 0] == labels, best[:, 1], best[:, 0])


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
