"""The one client for servers that speak the OpenAI chat protocol, for models and judges alike.

Whoever asks a server asks through :class:`ChatClient`. It sends what the service takes, waits as
long as the service wants and no longer than it has time, tries again what may pass, and stops
asking a service that fails throughout. What a single reply may take is the business of
:mod:`harness.model.transport`. The key is read from its environment variable and never stands in a
message or a file.
"""

from __future__ import annotations

import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from harness import progress
from harness.model.address import ServerName
from harness.model.replies import BUSY, ChatReply, Passing, Refused, clean, read_reply
from harness.storage import KEY

if TYPE_CHECKING:
    from harness.model.transport import GuardedTransport

TRIES = 6
GIVE_UP = 8
"""Questions in a row that the service failed to answer, after which no more are asked."""
THOUGHT = 4096
"""Tokens that a model may think before it replies."""

_LIMITS = ("max_tokens", "max_completion_tokens")
_MOST_LOGPROBS = (20, 5, 0)  # what services allow: OpenAI and vLLM, some others, none
_ENDED = frozenset({401, 402})  # a wrong key and an empty account do not pass
_SERVICE = frozenset({403, 404}) | BUSY  # what is hardly the single question's fault
_UNKNOWN = re.compile(
    r"unsupported|not support|not (?:permitted|allowed)|unrecogni[sz]ed|unknown|unexpected|extra"
    r"|invalid param|instead|only the default|cannot both|forbidden|deprecated",
    re.IGNORECASE,
)
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_LONG = 100  # signs; no wait takes so many, and looking for spans in far more takes minutes
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

Paying = Callable[[int], AbstractContextManager[Callable[[ChatReply], None]]]
"""Surrounds one try with the tokens it may take; told of the reply.

The first may raise Refused for a question that must not be sent, the second Passing for a reply
that cannot be used.
"""


@dataclass(frozen=True)
class _Try:
    """What one try asks for: the limit in tokens, and everything else beside the text."""

    limit: int
    settings: Mapping[str, Any]


class ChatClient:
    """Asks one model behind one server; used by many threads at once.

    Attributes:
        over: why nothing more is asked, or ``None``.
        logprobs: whether log-probabilities can still be asked for.
    """

    def __init__(
        self,
        server: ServerName,
        *,
        pause: float,
        timeout: float,
        deadline: float,
        thought: int = THOUGHT,
    ) -> None:
        """Prepare; nothing is sent.

        Args:
            server: whom to ask.
            pause: seconds before the second try; doubles with each further one.
            timeout: seconds for one whole reply.
            deadline: seconds for one question with all tries and waiting.
            thought: tokens that a model which thinks first gets for that.
        """
        self.over: str | None = None
        self._server = server
        self._pause, self._timeout, self._deadline = pause, timeout, deadline
        self._thought = thought
        self._client, self._transport = _connect(server)
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._failures = 0
        self._free_at = 0.0
        self._refused: set[str] = set()
        self._most_logprobs = _MOST_LOGPROBS[0]
        self._thinks = False

    @property
    def logprobs(self) -> bool:
        """Whether the service did not refuse log-probabilities so far."""
        return self._most_logprobs > 0

    def chat(
        self,
        content: Any,
        limit: int,
        settings: Mapping[str, Any],
        *,
        logprobs: bool = False,
        paying: Paying = lambda limit: nullcontext(lambda reply: None),
    ) -> ChatReply:
        """Ask one question.

        Args:
            content: the user's turn.
            limit: where the reply is cut, in tokens, thinking aside.
            settings: what else is asked for; what the service does not take is left out.
            logprobs: ask for those of the first token.
            paying: surrounds every try.

        Raises:
            Refused: if the service does not answer, or answers with an error.
        """
        end = time.monotonic() + self._deadline
        failed, room = 0, False
        while True:
            if (free_at := self._free_at) >= end:
                busy = Passing("the service takes no questions now")
                self._fail(busy, asked_to_wait=free_at - time.monotonic())
            self._wait(free_at - time.monotonic(), end)
            asked = self._adapted(limit, settings, logprobs=logprobs, room=room)
            try:
                with paying(asked.limit) as pay:
                    reply = self._send(content, asked, end)
                    pay(reply)
                if reply.silent and asked.limit < limit + self._thought:
                    room = True
                    self._thinks |= reply.thinks  # then all further ones get it
                    continue
                if reply.text is None and not reply.silent and reply.finish != "refused":
                    raise Passing("the reply holds no text")
                self._failures = 0
                return reply
            except Refused as error:
                if not error.sent:  # not allowed by the caller
                    raise
                self._fail(error)
            except Exception as error:
                if self._learned(error, asked):
                    continue
                failed += 1
                wait = self._pause * 2 ** (failed - 1) * random.uniform(0.5, 1.5)
                told = wanted_wait(_headers(error), time.time())
                if told:
                    self._free_at = max(self._free_at, time.monotonic() + told)
                late = time.monotonic() + max(wait, told) > end
                if not _passes(error) or failed >= TRIES or late:
                    self._fail(error, asked_to_wait=told if late else 0.0)
                self._wait(max(wait, told), end)

    def stop(self) -> None:
        """Let go of everything at once: nothing more is sent or waited for."""
        self.over = self.over or "interrupted"
        self._stopped.set()
        self._transport.stop()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _wait(self, seconds: float, end: float) -> None:
        """Wait, but no longer than the question has time, and not for a service that is over."""
        until = min(time.monotonic() + seconds, end)
        while not self.over and (left := until - time.monotonic()) > 0:
            self._stopped.wait(min(left, 1.0))
        if self.over:
            raise Refused(self.over, sent=False)

    def _send(self, content: Any, asked: _Try, end: float) -> ChatReply:
        from harness.model.transport import Unusable

        try:
            body = self._client.chat.completions.with_raw_response.create(
                model=self._server.model,
                messages=[{"role": "user", "content": content}],
                timeout=min(self._timeout, max(end - time.monotonic(), 0.001)),
                **asked.settings,
            ).content
        except Exception as error:
            for each in (error, *_causes(error)):
                if isinstance(each, Unusable):
                    raise Refused(str(each)) from error
            raise
        with self._lock:  # one at a time: what a large reply takes in memory, it takes once
            return read_reply(body)

    def _adapted(
        self, limit: int, settings: Mapping[str, Any], *, logprobs: bool, room: bool
    ) -> _Try:
        """Return the parameters of a request: all those that the service accepts.

        Newer models choose their own temperature, and want the limit under another name; they
        think first, within that limit.
        """
        refused = frozenset(self._refused)
        kept = {name: value for name, value in settings.items() if name not in refused}
        if logprobs and self._most_logprobs:
            kept |= {"logprobs": True, "top_logprobs": self._most_logprobs}
        if room or self._thinks or _LIMITS[0] in refused:
            limit += self._thought
        name = next((name for name in _LIMITS if name not in refused), None)
        return _Try(limit, kept if name is None else {**kept, name: limit})

    def _learned(self, error: Exception, asked: _Try) -> bool:
        """Find out which setting the service does not take; whether asking without is of use."""
        if getattr(error, "status_code", None) not in (400, 403, 422):
            return False
        text = str(getattr(error, "body", None) or error)
        if "top_logprobs" in asked.settings and "logprobs" in text:
            now = asked.settings["top_logprobs"]
            lower = _MOST_LOGPROBS[_MOST_LOGPROBS.index(now) + 1]
            self._most_logprobs = min(self._most_logprobs, lower)
            return True
        if not _UNKNOWN.search(text):
            return False
        named = getattr(error, "param", None)
        quoted = [name for name in asked.settings if re.search(rf"['\"`]{name}['\"`]", text)]
        names = [str(named)] if named in asked.settings else quoted
        if "top_p" in names:  # some take one of the two
            names = ["top_p"]
        if not names:
            return False
        with self._lock:
            new = set(names) - self._refused - {_LIMITS[0]}
            self._refused |= set(names)
        if new:
            progress.say(
                f"{self._server.model}: the server does not take {', '.join(sorted(new))}; it is "
                "asked without, by its own default"
            )
        return True

    def _fail(self, error: Exception, *, asked_to_wait: float = 0.0) -> None:
        """End a question without a reply; and the service, when it fails throughout.

        Raises:
            Refused: always.
        """
        reason = _reason(error)
        if asked_to_wait:
            reason += f"; it asks to wait {asked_to_wait:.0f} s, longer than a question has time"
        status = getattr(error, "status_code", None)
        ended = status in _ENDED or getattr(error, "code", None) == "insufficient_quota"
        if ended or status is None or status in _SERVICE or status >= 500:
            with self._lock:
                self._failures += 1
                lost = self.over is None and (ended or self._failures >= GIVE_UP)
                if lost:
                    why = "" if ended else f"{self._failures} questions in a row failed, the last: "
                    self.over = f"{why}{reason}; nothing more was asked"
            if lost:
                progress.say(f"{self._server.model}: {self.over}")
        raise Refused(reason) from error


def _connect(server: ServerName) -> tuple[Any, GuardedTransport]:
    """Return the OpenAI client on a guarded transport; nothing is sent."""
    import httpx
    import openai

    from harness.model.transport import GuardedTransport

    url = httpx.URL(server.base)
    transport = GuardedTransport(secure=url.scheme == "https", host=url.host)
    # Typed as any: versions of openai differ in which httpx they mean, and take both.
    http: Any = httpx.Client(transport=transport, follow_redirects=False)
    client = openai.OpenAI(
        base_url=server.base,
        api_key=os.environ.get(KEY) or "none",
        max_retries=0,
        default_query=server.query,
        http_client=http,
    )
    return client, transport


def _passes(error: Exception) -> bool:
    import openai

    if getattr(error, "code", None) == "insufficient_quota":
        return False
    if isinstance(error, openai.APIConnectionError | Passing):
        return True
    return isinstance(error, openai.APIStatusError) and error.status_code in BUSY


def _headers(error: Exception) -> Mapping[str, str]:
    found: Mapping[str, str] = getattr(getattr(error, "response", None), "headers", {})
    return found


def wanted_wait(headers: Mapping[str, str], now: float) -> float:
    """Return the seconds that a service wants a client to wait; 0 where it does not say.

    Args:
        headers: of its reply, by lower-case name.
        now: seconds since 1970.
    """
    waits = [_seconds(headers.get("retry-after", ""), now)]
    waits += [_number(headers.get("retry-after-ms", "")) / 1000]
    for what in ("requests", "tokens"):
        if headers.get(f"x-ratelimit-remaining-{what}", "").strip() == "0":
            waits.append(_seconds(headers.get(f"x-ratelimit-reset-{what}", ""), now))
    if headers.get("ratelimit-remaining", "").strip() == "0":
        waits.append(_seconds(headers.get("ratelimit-reset", ""), now))
    return max(waits)


def _seconds(text: str, now: float) -> float:
    """Read seconds, a span such as ``6m0.5s``, or a date."""
    if text and len(text) < _LONG and _SPAN.sub("", text.strip()) == "":
        return sum(float(number) * _SECONDS[unit] for number, unit in _SPAN.findall(text))
    if number := _number(text):
        return number
    try:
        return max(parsedate_to_datetime(text).timestamp() - now, 0.0)
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0 < value < float("inf") else 0.0


def _causes(error: BaseException) -> Iterable[BaseException]:
    while error.__cause__ is not None:
        error = error.__cause__
        yield error


def _reason(error: Exception) -> str:
    """Return kind, status and first line of an error, without keys."""
    if isinstance(error, Refused | Passing):
        return clean(str(error))
    status = getattr(error, "status_code", None)
    kind = f"{type(error).__name__} {status}" if status else type(error).__name__
    if status == 401:
        unset = "" if os.environ.get(KEY) else ", which is not set"
        return f"{kind}: the server does not accept the key in {KEY}{unset}"
    text = str(error).strip()
    if status is None:
        text = " ".join([text, *(f"({cause})" for cause in list(_causes(error))[:1])])
    return f"{kind}: {clean(text, 240)}"
