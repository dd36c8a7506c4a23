"""A judge behind an OpenAI-compatible server; many questions under way at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from typing import Any

from harness.judge.budget import Budget
from harness.judge.protocol import OFFICIAL, SERVER, Question, Reply
from harness.model import KEY, Passing, Refused, connect, patiently
from harness.settings import JudgeSettings

_THOUGHT = 4096  # tokens that a model may think before it replies


class ServerJudge:
    """Judges through a chat server.

    Attributes:
        name: ``openai:``, the model, and the address unless it is the official one.
        budget: what was spent.
        at_once: most questions under way at the same time.
        pause: seconds before the second try; doubles with each further one.
        timeout: seconds after which one try is given up.
    """

    at_once = 32
    pause = 1.0
    timeout = 120.0

    def __init__(self, model: str, address: str, settings: JudgeSettings) -> None:
        """Remember whom to ask; nothing is sent.

        Args:
            model: as the server knows it.
            address: the server's base URL, up to ``/v1``.
            settings: price, cap and rate.
        """
        self.name = f"{SERVER}{model}" + ("" if address == OFFICIAL else f"@{address}")
        self.budget = Budget(settings.price, settings.cap)
        self._model, self._address = model, address
        self._pace = RateLimiter(settings.rpm)
        self._client: Any = None
        self._over: str | None = None
        self._refused: set[str] = set()

    @property
    def spent(self) -> str:
        """What asking has cost in this process, as the end of a sentence."""
        return f", {self.budget.told()}" if self.budget.tokens_in or self.budget.tokens_out else ""

    def ask(self, questions: Sequence[Question]) -> Iterator[tuple[int, Reply]]:
        """Yield replies as they come; questions not yet sent are dropped when the caller stops."""
        if self._client is None:
            self._client = connect(self._address, self.timeout)
        pool = ThreadPoolExecutor(self.at_once)
        sent = {pool.submit(self._reply, question): i for i, question in enumerate(questions)}
        try:
            for future in as_completed(sent):
                yield sent[future], future.result()
        finally:
            if not all(future.done() for future in sent):  # Ctrl-C: nobody waits for these
                self._over = "interrupted"
                self._client.close()
            pool.shutdown(cancel_futures=True)

    def close(self) -> None:
        """Close the connections to the server."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _reply(self, question: Question) -> Reply:
        try:
            return patiently(lambda: self._try(question), pause=self.pause)
        except Refused as error:
            if error.denied:
                self._over = (
                    f"the judge's server does not accept the key in {KEY}; set it and judge again"
                )
            return Reply(None, error=self._over or f"the judge's server failed: {error}")

    def _try(self, asked: Question) -> Reply:
        question, settings = self._wanted(asked)
        if self._over is None and not self.budget.reserve(question):
            self._over = (
                "the cap on cost was reached; raise --judge-cap and judge again with --only-missing"
            )
        if self._over is not None:
            return Reply(None, error=self._over, asked=False)
        tokens = (0, 0)
        try:
            self._pace.wait()
            found = self._client.chat.completions.create(
                model=self._model,
                messages=[{"role": "user", "content": question.prompt}],
                **settings,
            )
            tokens = _tokens_of(found)
            return _reply_of(found, question, self._model)
        except Exception as error:
            refused = getattr(error, "param", None)
            if refused not in settings:
                raise
        finally:
            self.budget.commit(question, tokens)
        self._refused.add(refused)
        return self._try(asked)

    def _wanted(self, asked: Question) -> tuple[Question, dict[str, Any]]:
        """Return what to ask for beside the text: all that the server does not refuse to hear of.

        Newer models choose their own temperature, and want the limit under another name; they
        think first, within that limit.
        """
        refused = frozenset(self._refused)
        every = {"max_tokens": asked.max_tokens, "temperature": 0, "seed": asked.turn}
        settings = {name: value for name, value in every.items() if name not in refused}
        if "max_tokens" not in refused:
            return asked, settings
        roomy = replace(asked, max_tokens=asked.max_tokens + _THOUGHT)
        if "max_completion_tokens" not in refused:
            settings["max_completion_tokens"] = roomy.max_tokens
        return roomy, settings


class RateLimiter:
    """Lets one caller through at a time, so many per minute; ``None`` lets everyone through."""

    def __init__(self, per_minute: int | None) -> None:
        """Begin with the way free."""
        self._gap = 60.0 / per_minute if per_minute else 0.0
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Return when it is the caller's turn."""
        if not self._gap:
            return
        with self._lock:
            turn = max(self._next, time.monotonic())
            self._next = turn + self._gap
        time.sleep(max(turn - time.monotonic(), 0.0))


def _reply_of(found: Any, question: Question, asked: str) -> Reply:
    """Read a server's reply; what is no complete text is none.

    Raises:
        Passing: if it is empty, which may be better next time.
    """
    tokens_in, tokens_out = _tokens_of(found)
    known: dict[str, Any] = {
        "model": str(getattr(found, "model", None) or asked),
        "tokens_in": tokens_in,
        "tokens_out": tokens_out,
    }
    choice = next(iter(getattr(found, "choices", None) or ()), None)
    if choice is None:
        raise Passing("the reply holds no choice")
    if choice.finish_reason == "length":
        return Reply(None, error=f"the reply was cut at {question.max_tokens} tokens", **known)
    if choice.finish_reason == "content_filter" or getattr(choice.message, "refusal", None):
        return Reply(None, error="the judge refused to reply", **known)
    text = (choice.message.content or "").strip()
    if not text:
        raise Passing("the reply is empty")
    return Reply(text, **known)


def _tokens_of(found: Any) -> tuple[int, int]:
    usage = getattr(found, "usage", None)
    return (
        int(getattr(usage, "prompt_tokens", None) or 0),
        int(getattr(usage, "completion_tokens", None) or 0),
    )
