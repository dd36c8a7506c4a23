"""The decode loop: one token per row and pass, greedy or sampled, until each row ends.

A sampled token is the arg max of its logit over the temperature plus Gumbel noise, which is a draw
from the softmax (Gumbel 1954; the "Gumbel-max trick"). The noise of a token is a hash of (seed,
step, token), so it is the same in every batch, process and resumed run. The logits are not: a
product of another shape rounds otherwise, by about 1e-6 in float32. Inverting the distribution
function over sorted probabilities turned such a difference into another token whenever two
neighbours changed places; here it matters only where the two best sums are that close.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.records import Answer, Request

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Ending:
    """The end tokens of a model and its way back from ids to text."""

    tokenizer: Any
    ends: frozenset[int]
    pad: int

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text without special tokens."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True))

    def stopped(self, tokens: Sequence[int], request: Request) -> bool:
        """Tell whether an unfinished answer has just ended by an end token or a stop text."""
        if tokens and tokens[-1] in self.ends:
            return True
        if not request.stop:
            return False
        # A new stop text ends in the last tokens, and each of its letters takes at most four.
        tail = tokens[-4 * max(map(len, request.stop)) - 8 :]
        if _cut(self.decode(tail), request.stop) is None:
            return False
        return _cut(self.decode(tokens), request.stop) is not None

    def answer(
        self, tokens: Sequence[int], request: Request, choices: tuple[float, ...] = ()
    ) -> Answer:
        """Make the answer from generated ids, the end token included if there is one."""
        text = self.decode(tokens)
        cut = _cut(text, request.stop)
        ended = cut is not None or (bool(tokens) and tokens[-1] in self.ends)
        return Answer(
            text=(text if cut is None else text[:cut]).strip(),
            tokens=len(tokens),
            finish="stop" if ended else "length",
            choices=choices,
        )


def ending_of(network: Any, tokenizer: Any) -> Ending:
    """Read the end tokens as ``generate`` would: generation config first, then the tokeniser."""
    ends = network.generation_config.eos_token_id
    if ends is None:
        ends = tokenizer.eos_token_id
    if ends is None:
        ends = []
    ids = frozenset([ends] if isinstance(ends, int) else ends)
    pad = network.generation_config.pad_token_id
    if pad is None:
        pad = tokenizer.pad_token_id
    return Ending(tokenizer, ids, pad if pad is not None else min(ids, default=0))


def _cut(text: str, stops: Sequence[str]) -> int | None:
    """Return where the first stop text begins, or ``None``."""
    places = [place for place in (text.find(stop) for stop in stops if stop) if place >= 0]
    return min(places, default=None)


def choice_tokens(tokenizer: Any, prompt: Sequence[int], choice: str) -> list[int]:
    """Return the token ids of a choice as the model would continue the prompt with it.

    A prompt that ends in a word (``ASSISTANT:``) is continued after a space, one that ends in
    white space (a chat turn on its own line) directly. The ids are those of the choice inside
    its context wherever the prompt's last tokens stay as they are.

    Raises:
        ValueError: if the choice has no tokens.
    """
    tail = list(prompt[-8:])
    before = str(tokenizer.decode(tail, skip_special_tokens=False))
    gap = "" if not before or before[-1].isspace() or choice[:1].isspace() else " "
    plain = tokenizer.encode(before, add_special_tokens=False)
    joined = tokenizer.encode(before + gap + choice, add_special_tokens=False)
    if joined[: len(plain)] == plain and len(joined) > len(plain):
        return [int(token) for token in joined[len(plain) :]]
    alone = [int(token) for token in tokenizer.encode(gap + choice, add_special_tokens=False)]
    if not alone:
        raise ValueError(f"the choice {choice!r} has no tokens")
    return alone


def draw(logits: torch.Tensor, requests: Sequence[Request], steps: Sequence[int]) -> list[int]:
    """Return one sampled token id for each line of ``logits`` ``(rows, vocabulary)``.

    Penalties are applied to them, temperatures are not; ``steps`` counts the tokens made so far.
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
