"""What ``loss=`` may say, without torch: names of losses, their weights and their own knobs.

    loss=dpo                          one loss
    loss=dpo+0.2*sft                  a weighted sum
    loss=robust:label_smoothing=0.2   a knob of the loss itself; several are joined by commas

A loss is an entry point of the group ``harness.losses``; see docs/write-a-loss.md.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from harness.errors import UsageError, near_miss
from harness.plugins import names

LOSSES = (
    "aot", "aot_unpaired", "apo_down", "apo_zero", "bco_pair", "cdpo", "discopop", "dpo",
    "dpo_norm", "exo_pair", "hinge", "infonca", "ipo", "ld_dpo", "mpo", "multi_mean",
    "multi_softmax", "nca", "orpo", "plackett_luce", "robust", "sft", "sima_released", "simpo",
    "sppo_hard",
)  # fmt: skip
"""Names of the losses that ship; the formulas are in ``harness/dpo/losses.py``."""

ONE_NEGATIVE = ("aot", "aot_unpaired", "dpo", "dpo_norm", "ipo", "sima_released")
"""Losses that are defined for exactly one rejected answer."""

_TERM = re.compile(
    r"(?:(?P<weight>[0-9.]+(?:[eE]-?[0-9]+)?)\*)?(?P<name>[A-Za-z_]\w*)(?::(?P<values>[^+]*))?"
)

F = TypeVar("F", bound=Callable[..., object])


@dataclass(frozen=True)
class Needs:
    """What a loss has to be given, and cannot do without.

    Attributes:
        one_rejected: exactly one rejected answer a row.
        reference: the reference model's log-probabilities; without them they are zero and are
            not computed.
        tokens: ``Scores.tokens``, the log-probability of each token.
    """

    one_rejected: bool = False
    reference: bool = True
    tokens: bool = False


def needs(
    *, one_rejected: bool = False, reference: bool = True, tokens: bool = False
) -> Callable[[F], F]:
    """Say what a loss needs, as a decorator; see :class:`Needs`."""

    def mark(function: F) -> F:
        function.needs = Needs(one_rejected, reference, tokens)  # type: ignore[attr-defined]
        return function

    return mark


@dataclass(frozen=True)
class Term:
    """One loss of a sum, with its weight and the values of its own knobs."""

    weight: float
    name: str
    values: Mapping[str, float]


def terms_of(text: str) -> tuple[Term, ...]:
    """Read what ``loss=`` says.

    Raises:
        UsageError: if it cannot be read, or a loss is not installed, naming the near miss.
    """
    terms = tuple(_term(part.strip(), text) for part in text.split("+"))
    for term in terms:
        if term.name not in LOSSES and term.name not in (known := sorted(names("losses"))):
            raise UsageError(
                f"loss is {text}; there is no loss '{term.name}'.{near_miss(term.name, known)} "
                f"Installed: {', '.join(known)}. List them with: harness list losses"
            )
    return terms


def is_sft(text: str) -> bool:
    """Whether only the chosen answers are trained on, so that no pair is needed."""
    return all(term.name == "sft" for term in terms_of(text))


def _term(part: str, whole: str) -> Term:
    found = _TERM.fullmatch(part)
    values: dict[str, float] = {}
    try:
        if found is None:
            raise ValueError
        for each in filter(None, (found["values"] or "").split(",")):
            key, sign, value = each.partition("=")
            if not sign or not math.isfinite(float(value)):
                raise ValueError
            values[key.strip()] = float(value)
        weight = float(found["weight"] or 1.0)
        if not 0 < weight < math.inf:
            raise ValueError
    except ValueError as error:
        raise UsageError(
            f"loss is {whole}, of which '{part}' cannot be read. Write a name, a weighted sum such "
            "as dpo+0.2*sft, or a name with knobs such as robust:label_smoothing=0.2."
        ) from error
    return Term(weight, found["name"], values)
