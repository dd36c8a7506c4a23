"""The decode loop: one token per row and pass, greedy or sampled, until each row ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.engine.sampling import draw
from harness.engine.stopping import Ending
from harness.records import Request

if TYPE_CHECKING:
    import torch

Advance = Callable[[list[int]], "torch.Tensor"]
"""Feed one token per active row and return the next logits ``(rows, vocabulary)``."""

Keep = Callable[[list[int]], None]
"""Keep only these active rows (positions among the active ones)."""


@dataclass(frozen=True, eq=False)
class DecodingRow:
    """One answer in the making.

    Attributes:
        request: its settings.
        prompt: the prompt's token ids, which a repetition penalty counts as used.
    """

    request: Request
    prompt: Sequence[int]


class Picker:
    """Chooses next tokens; a row's choice depends on its own logits and seed only."""

    def __init__(self, rows: Sequence[DecodingRow], penalty: float, device: torch.device) -> None:
        """Hold what decides the choices."""
        self._rows, self._penalty, self._device = rows, penalty, device

    def pick(
        self, logits: torch.Tensor, alive: Sequence[int], made: Sequence[list[int]]
    ) -> list[int]:
        """Return one token id per active row from ``(rows, vocabulary)`` logits.

        A row from which no token can be read has -1: its largest logit is NaN or infinite, while
        minus infinity alone only rules tokens out. All rows are read from the device at once.
        """
        logits = logits.float()
        if self._penalty != 1.0:
            logits = self._penalised(logits, alive, made)
        largest, best = logits.max(-1)
        tokens = [int(token) for token in best.masked_fill(~largest.isfinite(), -1).tolist()]
        sampled = [
            line
            for line, place in enumerate(alive)
            if self._rows[place].request.temperature > 0 and tokens[line] >= 0
        ]
        if sampled:
            places = [alive[line] for line in sampled]
            requests = [self._rows[place].request for place in places]
            drawn = draw(logits[sampled], requests, [len(made[place]) for place in places])
            for line, token in zip(sampled, drawn, strict=True):
                tokens[line] = token
        return tokens

    def _penalised(
        self, logits: torch.Tensor, alive: Sequence[int], made: Sequence[list[int]]
    ) -> torch.Tensor:
        """Weaken tokens used before (Keskar et al. 2019, section 4.1), as ``generate`` does."""
        import torch

        logits = logits.clone()
        for line, place in enumerate(alive):
            used = sorted({*self._rows[place].prompt, *made[place]})
            index = torch.tensor(used, device=self._device)
            score = logits[line, index]
            logits[line, index] = torch.where(
                score < 0, score * self._penalty, score / self._penalty
            )
        return logits


def decode(
    rows: Sequence[DecodingRow],
    logits: torch.Tensor,
    ending: Ending,
    advance: Advance,
    keep: Keep,
    penalty: float = 1.0,
) -> list[list[int] | None]:
    """Continue every row to its end and return the generated ids, end tokens included.

    A row whose logits are not finite at any step has no answer: ``None``.

    Args:
        rows: the answers to make.
        logits: ``(rows, vocabulary)`` after each prompt.
        ending: end tokens and stop texts.
        advance: feeds tokens to the network.
        keep: drops finished rows from the network's state.
        penalty: repetition penalty of the checkpoint's generation settings.
    """
    picker = Picker(rows, penalty, logits.device)
    made: list[list[int]] = [[] for _ in rows]
    alive = [place for place, row in enumerate(rows) if row.request.max_new_tokens > 0]
    if len(alive) < len(rows):
        keep(alive)
        logits = logits[alive]
    broken: set[int] = set()
    while alive:
        tokens = picker.pick(logits, alive, made)
        for place, token in zip(alive, tokens, strict=True):
            if token < 0:
                broken.add(place)
            else:
                made[place].append(token)
        going = [
            line
            for line, place in enumerate(alive)
            if place not in broken
            and len(made[place]) < rows[place].request.max_new_tokens
            and not ending.stopped(made[place], rows[place].request)
        ]
        if not going:
            break
        if len(going) < len(alive):
            keep(going)
            alive = [alive[line] for line in going]
            tokens = [tokens[line] for line in going]
        logits = advance(tokens)
    return [None if place in broken else tokens for place, tokens in enumerate(made)]


def finite(logits: torch.Tensor) -> list[bool]:
    """Say of every row of logits whether a next token can be read from it.

    NaN and infinity are always the largest. Minus infinity alone only rules tokens out.
    """
    return [bool(fine) for fine in logits.amax(-1).isfinite().tolist()]
