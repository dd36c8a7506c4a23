"""Where an answer ends and how token ids become an :class:`harness.records.Answer`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.records import Answer, Request


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
