"""Losses by name: loaded from their entry points, bound to their knobs, summed, and tried."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from torch import Tensor

from harness.dpo.loss_check import AT_START, CHECKS
from harness.dpo.loss_terms import Needs, Term, terms_of
from harness.dpo.losses import Knobs, Scores
from harness.errors import HarnessError, UsageError, near_miss, reason_of
from harness.plugins import load

_COMPETITORS = "sima_released"


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

    Args:
        text: see :mod:`harness.dpo.loss_terms`.
        knobs: those of the training.

    Raises:
        UsageError: if a loss or a knob of one is not there, or they cannot be summed.
        HarnessError: if a loss gives no finite value, or lets the padding count; it is named.
    """
    made = combined(text)
    for attempt in AT_START:
        tried(made, attempt.__name__, knobs or Knobs())
    return made


def combined(text: str) -> Combined:
    """Load what ``loss=`` names without trying it; see :func:`open_loss`."""
    terms = terms_of(text)
    if len(terms) > 1 and any(term.name == _COMPETITORS for term in terms):
        raise UsageError(
            f"loss is {text}; {_COMPETITORS} scores other tokens than every other loss, so it "
            "cannot be part of a sum. Name it alone."
        )
    loaded = [load("losses", term.name) for term in terms]
    wanted = [getattr(loss, "needs", None) or Needs() for loss in loaded]
    parts = [(term.weight, _bound(loss, term)) for loss, term in zip(loaded, terms, strict=True)]
    return Combined(
        text,
        tuple(parts),
        Needs(*(any(getattr(each, field.name) for each in wanted) for field in fields(Needs))),
        all(term.name == "sft" for term in terms),
        terms[0].name == _COMPETITORS,
        tuple(each.images for each in wanted),
    )


def check_loss(text: str) -> Mapping[str, str]:
    """Try every promise of a loss; return what went wrong by promise, empty where it is kept.

    Raises:
        UsageError: if there is no such loss or knob.
    """
    made, found = combined(text), {}
    for name, check in CHECKS.items():
        found[name] = ""
        try:
            tried(made, check.__name__, Knobs())
        except HarnessError as error:
            found[name] = str(error)
    return found


def tried(loss: Combined, check: str, knobs: Knobs) -> None:
    """Try one promise; whatever the loss raises is reported in its name.

    Raises:
        HarnessError: if it is broken.
    """
    attempt = next(each for each in CHECKS.values() if each.__name__ == check)
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
        UsageError: for an unknown knob, naming the near miss, or a value makes no sense.
    """
    if not callable(loss):
        raise UsageError(f"The loss '{term.name}' is no function; see docs/write-a-loss.md.")
    kinds = inspect.signature(loss).parameters.values()
    known = [each.name for each in kinds if each.kind is inspect.Parameter.KEYWORD_ONLY]
    for key, value in term.values.items():
        if key not in known:
            raise UsageError(
                f"The loss '{term.name}' has no knob '{key}'.{near_miss(key, known)} It has: "
                f"{', '.join(known) or 'none'}."
            )
        if key == "label_smoothing" and not 0 <= value < 0.5:
            raise UsageError(
                f"label_smoothing={value:g} of the loss '{term.name}' must be at least 0 and below "
                "0.5: it is the share of preferences that are taken for flipped."
            )
    assert all(map(math.isfinite, term.values.values()))
    return partial(loss, **term.values) if term.values else loss
