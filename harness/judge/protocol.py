"""Which judge a word after ``--judge`` means, and what every kind of judge does."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from harness.errors import UsageError
from harness.model import SCHEME, server_name
from harness.settings import BUILTIN, JudgeSettings

SERVER, LOCAL = SCHEME, "hf:"
_HOW = (
    f"Write {BUILTIN}, openai:MODEL, openai:MODEL@http://localhost:8000/v1, or hf:PATH_OR_ID "
    "after --judge."
)
_EXAMPLES = {"price": "2.5/10", "cap": "5"}


@dataclass(frozen=True)
class Question:
    """One judging of one answer; ``turn`` numbers the judgings of the same answer from 0."""

    prompt: str
    max_tokens: int
    turn: int = 0


@dataclass(frozen=True)
class Reply:
    """What a judge replied. ``text`` is ``None`` when there is none, and ``error`` says why.

    ``model`` is what the judge calls itself; ``asked`` says whether it was asked at all. Lengths of
    question and reply are in tokens.
    """

    text: str | None
    model: str = ""
    error: str | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    asked: bool = True


class Judge(Protocol):
    """Someone who replies to questions."""

    @property
    def name(self) -> str:
        """What determines whom we ask: it names verdicts in the store."""
        ...

    @property
    def steady(self) -> bool:
        """Whether the same question has the same reply by construction."""
        ...

    @property
    def spent(self) -> str:
        """What asking has cost in this process, as the end of a sentence; may be empty."""
        ...

    def ask(self, questions: Sequence[Question]) -> Iterator[tuple[int, Reply]]:
        """Yield each question's place and its reply, as they come."""
        ...

    def close(self) -> None:
        """Let go of memory and connections; the next question takes them again."""
        ...


def check(settings: JudgeSettings) -> None:
    """Find out whether settings make sense, before anything is spent.

    Raises:
        UsageError: if the judge is named in an unknown form, or an option does not fit it.
    """
    word = settings.judge
    if not (word == BUILTIN or word.startswith((SERVER, LOCAL))):
        raise UsageError(f"Unknown judge '{word}'. {_HOW}")
    if word.startswith(SERVER):
        server_name(word, "--judge")
    if word == LOCAL:
        raise UsageError(f"'{word}' names no model. {_HOW}")
    for flag, amounts in (("price", settings.price or ()), ("cap", (settings.cap or 0.0,))):
        if not all(math.isfinite(amount) and amount >= 0 for amount in amounts):
            raise UsageError(
                f"--judge-{flag} {'/'.join(map(str, amounts))} is no amount of money. Give finite "
                f"numbers from 0 on, as in --judge-{flag} {_EXAMPLES[flag]}."
            )
    if settings.accept_judge not in (None, word):
        raise UsageError(
            f"--accept-judge {settings.accept_judge} is not the judge that is asked. To count the "
            f"verdicts of {word} although its anchors fail, say --accept-judge {word}."
        )
    if settings.prompts and word == BUILTIN:
        raise UsageError("--judge-prompt needs a judge, and none is named. Name one with --judge.")
    if settings.cap is not None and settings.price is None:
        raise UsageError(
            "--judge-cap counts money, so it needs the price of a million tokens in and out. Add "
            "it, for example --judge-price 2.5/10."
        )
