"""A judge behind an OpenAI-compatible server: many questions under way at once, within a cap."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from harness import progress
from harness.judge.protocol import SERVER, Question, Reply
from harness.model import OFFICIAL, ChatClient, ChatReply, Passing, Refused, ServerName, at_once
from harness.settings import JudgeSettings

_LETTERS_PER_TOKEN = 4  # of English prose, for estimates only
_FRAME = 64  # tokens of the chat template around a question, at most
Price = tuple[float, float]


def estimate(questions: Sequence[Question], price: Price | None) -> str:
    """Say in one line what asking these questions will take, at most as far as replies go."""
    come = sum(len(question.prompt) // _LETTERS_PER_TOKEN for question in questions)
    go = sum(question.max_tokens for question in questions)
    text = f"{len(questions)} questions: about {come} tokens in, at most {go} out"
    if price is None:
        return text
    return f"{text}; cost about {_cost(come, 0, price):.4f} to {_cost(come, go, price):.4f}"


class Budget:
    """Counts what was spent and never lets it exceed the cap; used by many threads at once.

    A question is let through once its own worst case fits beside what was spent and what the
    questions under way may still cost. Tokens of a text cannot be more than its bytes, so the
    worst case is certain, as far as the server reports its tokens correctly.

    Attributes:
        tokens_in: of the questions asked.
        tokens_out: of the replies.
    """

    def __init__(self, price: Price | None = None, cap: float | None = None) -> None:
        """Begin with nothing spent; ``price`` is per million tokens in and out."""
        self.tokens_in = self.tokens_out = 0
        self._price, self._cap = price, cap
        self._promised = 0.0
        self._waiting = threading.Condition()

    @property
    def spent(self) -> float:
        """Money that was spent; zero without a price."""
        return _cost(self.tokens_in, self.tokens_out, self._price)

    @property
    def capped(self) -> bool:
        """Whether there is a limit to what may be spent."""
        return self._cap is not None

    def reserve(self, question: Question) -> bool:
        """Reserve what a question may cost, waiting for others; ``False`` where it cannot fit."""
        if self._cap is None:
            return True
        worst = self._worst(question)
        with self._waiting:
            while self.spent + self._promised + worst > self._cap:
                if not self._promised:
                    return False
                self._waiting.wait()
            self._promised += worst
        return True

    def commit(self, question: Question, tokens: tuple[int, int]) -> None:
        """Put the truth, tokens in and out, in the place of what was reserved."""
        with self._waiting:
            self.tokens_in += tokens[0]
            self.tokens_out += tokens[1]
            if self._cap is not None:
                self._promised = max(self._promised - self._worst(question), 0.0)
                if self._promised < 1e-12:  # what is left of rounding must not keep anyone waiting
                    self._promised = 0.0
            self._waiting.notify_all()

    def told(self) -> str:
        """Say in one line what was spent."""
        text = f"{self.tokens_in} tokens in, {self.tokens_out} out"
        return text if self._price is None else f"{text}, cost {self.spent:.4f}"

    def _worst(self, question: Question) -> float:
        return _cost(*most_tokens(question), self._price)


def most_tokens(question: Question) -> tuple[int, int]:
    """Return the most tokens that a question and its reply can take: one for each byte, and all."""
    return len(question.prompt.encode(errors="surrogatepass")) + _FRAME, question.max_tokens


def _cost(tokens_in: int, tokens_out: int, price: Price | None) -> float:
    return 0.0 if price is None else (tokens_in * price[0] + tokens_out * price[1]) / 1e6


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
        """Remember whom to ask; nothing is sent."""
        address = server.address.rstrip("/")
        self.name = f"{SERVER}{server.model}" + ("" if address == OFFICIAL else f"@{address}")
        self.budget = Budget(settings.price, settings.cap)
        self._server, self._thought = server, settings.thinking
        self._pace = RateLimiter(settings.rpm)
        self._client: ChatClient | None = None
        self._uncounted = False

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
                    tokens.append(self._used(asked, reply))
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

    def _used(self, asked: Question, reply: ChatReply) -> tuple[int, int]:
        """Return the tokens of a reply; under a cap the most it can be, where nobody counts."""
        counted = reply.tokens_in, reply.tokens_out
        if any(counted) or not self.budget.capped:
            return counted
        if not self._uncounted:
            self._uncounted = True
            progress.say(
                "judge: the server does not say how many tokens a reply took, so the most that "
                "each can have taken counts against --judge-cap."
            )
        return most_tokens(asked)

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
