"""A judge behind an OpenAI-compatible server; many questions under way at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from harness.judge.budget import Budget
from harness.judge.protocol import SERVER, Question, Reply
from harness.model import OFFICIAL, ChatClient, ChatReply, Passing, Refused, ServerName, at_once
from harness.settings import JudgeSettings


class ServerJudge:
    """Judges through a chat server.

    Attributes:
        name: ``openai:``, the model, and the address unless it is the official one.
        steady: whether the same question has the same reply by construction: it has not.
        budget: what was spent.
        at_once: most questions under way at the same time.
        pause: seconds before the second try; doubles with each further one.
        timeout: seconds for one whole reply.
        deadline: seconds for one question with all tries and waiting.
    """

    steady = False
    at_once = 32
    pause = 1.0
    timeout = 120.0
    deadline = 600.0

    def __init__(self, server: ServerName, settings: JudgeSettings) -> None:
        """Remember whom to ask; nothing is sent.

        Args:
            server: model and address.
            settings: price, cap and rate, and the tokens for thinking.
        """
        address = server.address.rstrip("/")
        self.name = f"{SERVER}{server.model}" + ("" if address == OFFICIAL else f"@{address}")
        self.budget = Budget(settings.price, settings.cap)
        self._server, self._thought = server, settings.thinking
        self._pace = RateLimiter(settings.rpm)
        self._client: ChatClient | None = None

    @property
    def spent(self) -> str:
        """What asking has cost in this process, as the end of a sentence."""
        return f", {self.budget.told()}" if self.budget.tokens_in or self.budget.tokens_out else ""

    def ask(self, questions: Sequence[Question]) -> Iterator[tuple[int, Reply]]:
        """Yield replies as they come; when the caller stops, so does everything under way."""
        if self._client is None:
            self._client = ChatClient(
                self._server,
                pause=self.pause,
                timeout=self.timeout,
                deadline=self.deadline,
                thought=self._thought,
            )
        client, done = self._client, False
        try:
            yield from at_once(self.at_once, lambda one: self._reply(one, client), questions)
            done = True
        finally:
            if not done:  # Ctrl-C: nobody waits for these
                client.stop()
                self._client = None

    def close(self) -> None:
        """Close the connections to the server."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _reply(self, question: Question, client: ChatClient) -> Reply:
        @contextmanager
        def paying(limit: int) -> Iterator[Callable[[ChatReply], None]]:
            asked = Question(question.prompt, limit, question.turn)
            if not self.budget.reserve(asked):
                client.over = client.over or (
                    "the cap on cost was reached; raise --judge-cap and judge "
                    "again: verdicts are kept"
                )
                raise Refused(client.over, sent=False)
            tokens = [(0, 0)]
            try:
                self._pace.wait()

                def pay(reply: ChatReply) -> None:
                    tokens.append((reply.tokens_in, reply.tokens_out))
                    if reply.text == "" and reply.finish == "stop":
                        raise Passing("the reply is empty")

                yield pay
            finally:
                self.budget.commit(asked, tokens[-1])

        settings = {"temperature": 0, "seed": question.turn}
        try:
            found = client.chat(question.prompt, question.max_tokens, settings, paying=paying)
        except Refused as error:
            told = str(error) if not error.sent else f"the judge's server failed: {error}"
            return Reply(None, error=told, asked=error.sent)
        return self._read(found, question)

    def _read(self, found: ChatReply, question: Question) -> Reply:
        """Return a reply; what is no complete text is none."""
        error = None
        if found.silent and found.thinks:
            error = (
                f"all {found.tokens_out} tokens went into thinking; give the judge more with "
                f"--judge-thinking (now {self._thought})"
            )
        elif found.finish == "length":
            error = f"the reply was cut at {question.max_tokens} tokens"
        elif found.finish == "refused":
            error = "the judge refused to reply"
        return Reply(
            None if error else found.text,
            found.model or self._server.model,
            error,
            found.tokens_in,
            found.tokens_out,
        )


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
