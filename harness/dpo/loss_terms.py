"""What ``loss=`` may say, without torch: names of losses, their weights and their own knobs.

    loss=dpo                          one loss
    loss=dpo+0.2*sft                  a weighted sum
    loss=robust:label_smoothing=0.2   a knob of the loss itself; several are joined by commas

A loss is an entry point of the group ``harness.losses``; see docs/write-a-loss.md.
"""

from __future__ import annotations

import ast
import importlib.util
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from harness.dpo.trl_names import loss_here
from harness.errors import UsageError, near_miss
from harness.plugins import find, names

LOSSES = (
    "anchor", "aot", "aot_unpaired", "apo_down", "apo_zero", "bco_pair", "cdpo", "conditional",
    "ddpo", "discopop", "dpo", "dpo_norm", "exo_pair", "hinge", "infonca", "ipo", "kto", "ld_dpo",
    "mm_dpo", "mpo", "multi_mean", "multi_softmax", "nca", "orpo", "plackett_luce", "robust", "sft",
    "sima_released", "simpo", "sppo_hard",
)  # fmt: skip
"""Names of the losses that ship; the formulas are in ``harness/dpo/losses.py``."""

COMPETITORS = "sima_released"
"""The loss whose rejected columns hold each token's strongest competitor."""

BY_TEXT, BY_IMAGE, BY_BOTH = 1, 2, 3
"""What an answer is rejected by, where the chosen one is 0: its text, its image (the chosen text
under another image or view), or both; see ``Scores.sides``."""

ONE_NEGATIVE = ("aot", "aot_unpaired", "dpo", "dpo_norm", "ipo", "sima_released")
"""Losses that are defined for exactly one rejected answer."""

WITHOUT_SCORES = {
    "infonca": "multi_softmax",
    "mm_dpo": "dpo",
    "nca": "nca with all the weight on the chosen answer",
}
"""What losses that look at scores equal where no pair has scores."""

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
        images: answers that are rejected by their image; to other losses they are masked.
        weights: weights by segment; it gets the tokens too.
        detached: part of its value gets no gradient on purpose, so that this is not the value's
            derivative.
    """

    one_rejected: bool = False
    reference: bool = True
    tokens: bool = False
    images: bool = False
    weights: bool = False
    detached: bool = False


def needs(
    *,
    one_rejected: bool = False,
    reference: bool = True,
    tokens: bool = False,
    images: bool = False,
    weights: bool = False,
    detached: bool = False,
) -> Callable[[F], F]:
    """Say what a loss needs, as a decorator; see :class:`Needs`."""

    def mark(function: F) -> F:
        wanted = Needs(one_rejected, reference, tokens or weights, images, weights, detached)
        function.needs = wanted  # type: ignore[attr-defined]
        return function

    return mark


@dataclass(frozen=True)
class Term:
    """One loss of a sum, with its weight and the values of its own knobs."""

    weight: float
    name: str
    values: Mapping[str, float]


def terms_of(text: str) -> tuple[Term, ...]:
    """Read what ``loss=`` says; no loss is imported for it.

    Raises:
        UsageError: if the text cannot be parsed, a loss is not installed, a loss does not have a
            knob that the text sets, or the losses cannot be added. A misspelt name gets a
            suggestion.
    """
    terms = tuple(_term(part.strip(), text) for part in text.split("+"))
    for term in terms:
        if term.name not in LOSSES and term.name not in (known := sorted(names("losses"))):
            raise UsageError(
                f"loss is {text}; there is no loss '{term.name}'."
                f"{loss_here(term.name) or near_miss(term.name, known)} "
                f"Installed: {', '.join(known)}. List them with: harness list losses"
            )
        if term.values and (own := _knobs_in_source(term.name)) is not None:
            refuse_knobs(term, own)
    if len(terms) > 1 and any(term.name == COMPETITORS for term in terms):
        raise UsageError(
            f"loss is {text}; {COMPETITORS} scores other tokens than every other loss, so it "
            "cannot be part of a sum. Name it alone."
        )
    return terms


def refuse_knobs(term: Term, known: Sequence[str]) -> None:
    """Refuse values for knobs that a loss does not have, or that make no sense.

    Raises:
        UsageError: names the knob, and the near miss of an unknown one.
    """
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


def _knobs_in_source(name: str) -> list[str] | None:
    """Return the knobs of a loss as its source names them: to import it would load torch.

    ``None`` where it is not simply one function of the module that its entry point names.
    """
    module, _, function = find("losses", name).value.partition(":")
    top, *inside = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin)
    file = file.parent.joinpath(*inside).with_suffix(".py") if inside else file
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return None
    bound = [node for node in tree.body if function in _names_bound(node)]
    if len(bound) != 1 or not isinstance(bound[0], ast.FunctionDef):
        return None
    if not all("needs" in ast.unparse(each) for each in bound[0].decorator_list):
        return None  # another decorator may add knobs
    return [each.arg for each in bound[0].args.kwonlyargs]


def _names_bound(node: ast.stmt) -> set[str]:
    """Return the names that a statement defines or assigns, with those inside of it."""
    inside = list(ast.walk(node))
    named = {each.name for each in inside if isinstance(each, ast.FunctionDef | ast.ClassDef)}
    stored = {
        each.id for each in inside if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
    }
    imported = {each.asname or each.name for each in inside if isinstance(each, ast.alias)}
    return named | stored | imported


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
