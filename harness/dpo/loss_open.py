"""Losses by name: loaded from their entry points, bound to their knobs, summed, and tried.

What a loss must keep is tried on made-up log-probabilities before anything is trained: a training
tries :data:`AT_START`, which costs milliseconds, and ``harness check --loss`` tries all.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from harness.dpo.loss_terms import (
    BY_IMAGE,
    BY_TEXT,
    COMPETITORS,
    Needs,
    Term,
    refuse_knobs,
    terms_of,
)
from harness.dpo.losses import Knobs, Scores, Tokens
from harness.errors import HarnessError, UsageError, reason_of
from harness.plugins import load

_JUNK = 77.0
_FAR = 1e4
_DISLIKED = 4.0  # nats a token; near zero even published losses (discopop) are not monotone


@dataclass(frozen=True)
class Case:
    """Log-probabilities of every token of a small batch, and what stands in the padding."""

    policy: Tensor
    reference: Tensor
    mask: Tensor
    sides: Tensor | None = None
    weights: Tensor | None = None

    def scores(self) -> Scores:
        """The batch as a loss gets it; sums carry the tokens' gradient."""
        policy, reference = (
            torch.where(self.mask, values, 0.0).sum(2) for values in (self.policy, self.reference)
        )
        real = self.mask.any(2)
        padded = torch.full_like(policy, _JUNK)
        return Scores(
            torch.where(real, policy, padded),
            torch.where(real, reference, padded),
            self.mask.sum(2).clamp(min=1).to(policy.dtype),
            real,
            tokens=Tokens(self.policy, self.reference, self.mask, self.weights),
            meta=tuple({} for _ in policy),
            sides=self.sides,
        )


def case(
    needs: Needs, *, gap: float = 0.0, dtype: torch.dtype = torch.float64, padding: int = 1
) -> Case:
    """Draw a batch: three rows of two to four answers of one to five tokens."""
    source = torch.Generator().manual_seed(7)
    rows, length = 3, 5
    answers = 4 if not needs.one_rejected else 3 if needs.images else 2
    shape = (rows, answers, length)
    policy = -0.1 - 3 * torch.rand(shape, generator=source, dtype=torch.float64)
    reference = -0.1 - 3 * torch.rand(shape, generator=source, dtype=torch.float64)
    mask = torch.ones(shape, dtype=torch.bool)
    for row in range(rows):
        for answer in range(answers):
            mask[row, answer, 1 + (2 * row + answer) % length :] = False
    if not needs.one_rejected:
        mask[0, 2:], mask[1, 3:] = False, False
    if gap > 0:
        reference[:, 0] -= gap
    else:
        policy[:, 0] += gap
    wide = (rows, answers + (0 if needs.one_rejected else padding), length + padding)
    made = [torch.full(wide, _JUNK, dtype=dtype) for _ in range(2)]
    room = torch.zeros(wide, dtype=torch.bool)
    for whole, part in zip((*made, room), (policy, reference, mask), strict=True):
        whole[:, :answers, :length] = part.to(whole.dtype)
    return Case(
        torch.where(room, made[0], _JUNK).requires_grad_(),
        torch.where(room, made[1], _JUNK),
        room,
        _sides(room, needs) if needs.images else None,
        _weights(room, dtype) if needs.weights else None,
    )


def _sides(room: Tensor, needs: Needs) -> Tensor:
    """In every row one answer is rejected by its image; the others are by their text."""
    sides = torch.full(room.shape[:2], BY_TEXT)
    sides[:, 0], sides[:, 2 if needs.one_rejected else 1] = 0, BY_IMAGE
    return sides


def _weights(room: Tensor, dtype: torch.dtype) -> Tensor:
    """Weights of one half to two and a half, the same whatever the padding; junk there."""
    row, answer, token = (torch.arange(size) for size in room.shape)
    turn = 3 * row[:, None, None] + 2 * answer[:, None] + token
    return torch.where(room, 0.5 + 0.5 * (turn % 5), _JUNK).to(dtype)


def values_are_finite(loss: Combined, knobs: Knobs) -> None:
    """One finite value for each row."""
    made = case(loss.needs)
    _values(loss, made, knobs)


def padding_does_not_count(loss: Combined, knobs: Knobs) -> None:
    """What stands in the padding changes no value and gets no gradient."""
    narrow, wide = case(loss.needs, padding=0), case(loss.needs, padding=3)
    other = replace(wide, policy=torch.where(wide.mask, wide.policy, -3.0))
    values = [_values(loss, each, knobs) for each in (narrow, wide, other)]
    for each in values[1:]:
        if not torch.allclose(values[0], each, rtol=1e-9, atol=1e-12):
            raise HarnessError(
                "its value depends on the padding: use Scores.mask, Scores.ratios "
                f"and Tokens.mask ({values[0].tolist()} and {each.tolist()})."
            )
    gradient = _gradient(loss, wide, knobs)
    if bool((gradient[~wide.mask] != 0).any()):
        raise HarnessError("its gradient reaches the padding: mask before summing.")


def gradient_is_right(loss: Combined, knobs: Knobs) -> None:
    """The gradient is that of finite differences, and it is not zero."""
    made = case(loss.needs, padding=0)

    def total(policy: Tensor) -> Tensor:
        return loss(replace(made, policy=policy).scores(), knobs).sum()

    try:
        if not loss.needs.detached:
            torch.autograd.gradcheck(total, (made.policy,), eps=1e-6, atol=1e-5, rtol=1e-4)
    except (RuntimeError, ValueError) as error:
        told = (str(error).splitlines() or [""])[0]
        raise HarnessError(f"its gradient is not that of finite differences: {told}") from error
    if not bool(_gradient(loss, made, knobs).any()):
        raise HarnessError("its gradient is zero everywhere: nothing would be learnt.")


def a_wrong_order_is_corrected(loss: Combined, knobs: Knobs) -> None:
    """Where the policy has come to dislike the chosen answers, a step down raises them."""
    made = case(loss.needs, padding=0)
    policy = made.reference.clone()
    policy[:, 0] -= _DISLIKED
    gradient = _gradient(loss, replace(made, policy=policy.requires_grad_()), knobs)
    sums = (gradient * made.mask).sum(2)
    if not bool((sums[:, 0] < sums[:, 1:].sum(1)).all()):
        raise HarnessError(
            "where the policy prefers the rejected answers, a step would not raise them above the "
            "rejected ones. Is the sign right?"
        )


def scale_is_the_batchs(loss: Combined, knobs: Knobs) -> None:
    """The mean over a batch stays the same when the batch is doubled, and in float32."""
    made = case(loss.needs)
    once = _values(loss, made, knobs).mean()
    parts = {field.name: getattr(made, field.name) for field in fields(Case)}
    doubled: dict[str, Any] = {
        name: None if part is None else torch.cat([part, part]) for name, part in parts.items()
    }
    twice = Case(**doubled)
    if not torch.allclose(once, _values(loss, twice, knobs).mean(), rtol=1e-9, atol=1e-12):
        raise HarnessError("its mean changes when every row is in the batch twice.")
    single = _values(loss, case(loss.needs, dtype=torch.float32), knobs).mean()
    if not torch.allclose(once, single.double(), rtol=1e-3, atol=1e-4):
        raise HarnessError(f"it gives {single.item()} in float32 and {once.item()} in float64.")


def extremes_are_finite(loss: Combined, knobs: Knobs) -> None:
    """Log-ratios of thousands of nats give finite values and gradients, in float32."""
    for gap in (_FAR, -_FAR):
        made = case(loss.needs, gap=gap, dtype=torch.float32)
        _values(loss, made, knobs)
        if not bool(torch.isfinite(_gradient(loss, made, knobs)).all()):
            raise HarnessError(f"its gradient is not finite for log-ratios near {gap:g} nats.")


def _values(loss: Combined, made: Case, knobs: Knobs) -> Tensor:
    values = loss(made.scores(), knobs)
    rows = (len(made.policy),)
    if not isinstance(values, Tensor) or values.shape != rows:
        shape = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise HarnessError(f"it gives {shape} for {rows[0]} rows; it must give one value for each.")
    if not bool(torch.isfinite(values).all()):
        raise HarnessError(f"it gives {values.tolist()} for ordinary log-probabilities.")
    return values.detach()


def _gradient(loss: Combined, made: Case, knobs: Knobs) -> Tensor:
    total = loss(made.scores(), knobs).sum()
    if not total.requires_grad:
        raise HarnessError("it has no gradient: it must be made from Scores.policy or its tokens.")
    (gradient,) = torch.autograd.grad(total, made.policy, allow_unused=True)
    return torch.zeros_like(made.policy) if gradient is None else gradient


Check = Callable[["Combined", Knobs], None]
AT_START: tuple[Check, ...] = (values_are_finite, padding_does_not_count)
CHECKS: Mapping[str, Check] = {
    "one finite value a row": values_are_finite,
    "padding does not count": padding_does_not_count,
    "the gradient is right": gradient_is_right,
    "a wrong order is corrected": a_wrong_order_is_corrected,
    "the scale is the batch's": scale_is_the_batchs,
    "extremes are finite": extremes_are_finite,
}
"""The promises of a loss, by what ``harness check --loss`` calls them."""


@dataclass(frozen=True)
class Combined:
    """A weighted sum of losses, as ``loss=`` names it.

    Attributes:
        text: what was asked for.
        parts: each loss with its weight.
        needs: what the parts need together.
        only_chosen: whether no part looks at a rejected answer.
        competitors: whether rejected columns hold each token's strongest competitor.
        images: of each part, whether it looks at answers that are rejected by their image.
    """

    text: str
    parts: tuple[tuple[float, Any], ...]
    needs: Needs
    only_chosen: bool
    competitors: bool
    images: tuple[bool, ...]

    def __call__(self, scores: Scores, knobs: Knobs) -> Tensor:
        """Return one value a row; a part that needs no images does not see such answers."""
        texts = scores.without_images()
        total: Tensor | None = None
        for (weight, loss), images in zip(self.parts, self.images, strict=True):
            value = loss(scores if images else texts, knobs)
            value = value if weight == 1 else weight * value
            total = value if total is None else total + value
        assert total is not None
        return total


def open_loss(text: str, knobs: Knobs | None = None) -> Combined:
    """Load what ``loss=`` names and try it on made-up log-probabilities.

    Raises:
        UsageError: if a loss or a knob of one is not there, or they cannot be summed.
        HarnessError: if a loss gives no finite value, or lets the padding count; it is named.
    """
    made = combined(text)
    for attempt in AT_START:
        tried(made, attempt, knobs or Knobs())
    return made


def combined(text: str) -> Combined:
    """Load what ``loss=`` names without trying it; see :func:`open_loss`."""
    terms = terms_of(text)
    loaded = [load("losses", term.name) for term in terms]
    wanted = [getattr(loss, "needs", None) or Needs() for loss in loaded]
    parts = [(term.weight, _bound(loss, term)) for loss, term in zip(loaded, terms, strict=True)]
    return Combined(
        text,
        tuple(parts),
        Needs(*(any(getattr(each, field.name) for each in wanted) for field in fields(Needs))),
        all(term.name == "sft" for term in terms),
        terms[0].name == COMPETITORS,
        tuple(each.images for each in wanted),
    )


def check_loss(text: str) -> Mapping[str, str]:
    """Do what :func:`harness.dpo.check_loss` promises."""
    made, found = combined(text), {}
    for name, check in CHECKS.items():
        found[name] = ""
        try:
            tried(made, check, Knobs())
        except HarnessError as error:
            found[name] = str(error)
    return found


def tried(loss: Combined, attempt: Check, knobs: Knobs) -> None:
    """Try one promise; whatever the loss raises is reported in its name.

    Raises:
        HarnessError: if it is broken.
    """
    try:
        attempt(loss, knobs)
    except HarnessError as error:
        raise _broken(loss, str(error)) from error
    except Exception as error:
        raise _broken(loss, f"it failed: {reason_of(error)}") from error


def _broken(loss: Combined, told: str) -> HarnessError:
    return HarnessError(
        f"The loss '{loss.text}' cannot be trained with: {told.rstrip('.')}. See all checks "
        f"with: harness check --loss '{loss.text}'"
    )


def _bound(loss: Any, term: Term) -> Any:
    """Give a loss the values of its own knobs.

    Raises:
        UsageError: if it is no function, or its knobs are others.
    """
    if not callable(loss):
        raise UsageError(f"The loss '{term.name}' is no function; see docs/write-a-loss.md.")
    kinds = inspect.signature(loss).parameters.values()
    refuse_knobs(term, [each.name for each in kinds if each.kind is each.KEYWORD_ONLY])
    return partial(loss, **term.values) if term.values else loss
