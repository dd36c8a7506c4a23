"""Many requests to one model behind one server: sent at once, each answered or missing.

What fails for good is a missing answer that says why. See :mod:`harness.model.openai_client` for
what is tried before that.
"""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness import progress
from harness.model.address import ServerName
from harness.model.openai_client import THOUGHT, ChatClient
from harness.model.replies import ChatReply, Refused
from harness.model.workers import at_once
from harness.records import CUT, LENGTH, MISSING, THOUGHT_ONLY, Answer, Request

if TYPE_CHECKING:
    import PIL.Image

FAILED = "the server failed"
"""How the error of an answer begins that a server did not give."""


class Asking:
    """Asks a server's model; the connections are made when first needed."""

    def __init__(
        self,
        server: ServerName,
        *,
        at_once: int = 32,
        pause: float = 1.0,
        timeout: float = 300.0,
        deadline: float = 600.0,
        extra: Mapping[str, Any] | None = None,
        thought: int = THOUGHT,
    ) -> None:
        """Prepare; nothing is sent.

        Args:
            server: whom to ask.
            at_once: most requests under way at the same time.
            pause: seconds before the second try; doubles with each further one.
            timeout: seconds for one whole reply.
            deadline: seconds for one request with all tries and waiting.
            extra: what goes with every request besides what the protocol has.
            thought: tokens beside the limit that a model which says nothing gets to think.
        """
        self.server = server
        self._at_once = at_once
        self._pause, self._timeout, self._deadline = pause, timeout, deadline
        self.extra = dict(extra or {})
        self._thought = thought
        self._client: ChatClient | None = None
        self._unsaid = threading.Lock()  # taken by whoever says that there are no log-probabilities

    @property
    def over(self) -> str | None:
        """Why nothing more is asked, or ``None``."""
        return self._client.over if self._client is not None else None

    def each(
        self,
        requests: Sequence[Request],
        choices: Mapping[int, Sequence[int]] | None = None,
    ) -> Iterator[tuple[int, Answer]]:
        """Yield the place of each request and its answer, as they come.

        Whoever stops taking answers ends what is under way.

        Args:
            requests: what to ask.
            choices: by place, the token of each choice, for a server that takes ids.
        """
        if not requests:
            return
        client, known = self._connected(), choices or {}
        left = len(requests)
        coming = at_once(
            self._at_once, lambda at: self._ask(requests[at], client, known.get(at)), range(left)
        )
        try:
            for found in coming:
                left -= 1
                yield found
        finally:
            if left:
                self.stop()

    def stop(self) -> None:
        """Let go of everything under way; the next request connects anew."""
        if self._client is not None:
            self._client.stop()

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _ask(self, request: Request, client: ChatClient, ids: Sequence[int] | None) -> Answer:
        if refused := cannot(request):
            return Answer(text=None, finish=MISSING, error=refused)
        try:
            return self._answer_of(self._send(request, client, ids), request, client, ids)
        except Refused as error:
            return Answer(text=None, finish=MISSING, error=f"{FAILED}: {error}")
        except Exception as error:  # such as an image that cannot be written as PNG
            told = f"the request could not be sent: {type(error).__name__}: {error}"
            return Answer(text=None, finish=MISSING, error=told)

    def _send(
        self, request: Request, client: ChatClient, ids: Sequence[int] | None = None
    ) -> ChatReply:
        settings: dict[str, Any] = {"temperature": request.temperature, "top_p": request.top_p}
        if request.temperature > 0:
            settings["seed"] = request.seed % 2**31
        if request.stop:
            settings["stop"] = list(request.stop)
        extra = dict(self.extra)
        if ids is not None:
            extra |= {"logprob_token_ids": list(ids), "return_tokens_as_token_ids": True}
        if extra:
            settings["extra_body"] = extra
        return client.chat(
            turn_of(request), request.max_new_tokens, settings, logprobs=bool(request.choices)
        )

    def _answer_of(
        self, reply: ChatReply, request: Request, client: ChatClient, ids: Sequence[int] | None
    ) -> Answer:
        if reply.text is None or reply.silent:
            return Answer(
                text=None,
                tokens=reply.tokens_out,
                finish=reply.finish if reply.silent else MISSING,
                error=_why_silent(reply),
                thought=reply.thought,
            )
        if request.choices and not reply.first and self._unsaid.acquire(blocking=False):
            how = "gives none" if client.logprobs else "refuses to give any"
            progress.say(
                f"{self.server.model}: the server {how} of the log-probabilities of choices, so "
                "logit columns are missing"
            )
        text = reply.text
        for stop in request.stop:
            text = text.split(stop)[0]
        wanted = request.choices if ids is None else tuple(f"token_id:{each}" for each in ids)
        return Answer(
            text=text.strip(),
            tokens=reply.tokens_said,
            finish=LENGTH if reply.finish == LENGTH else "stop",
            thought=reply.thought,
            choices=choice_logprobs(reply, wanted),
        )

    def _connected(self) -> ChatClient:
        if self._client is None or self._client.over == "interrupted":
            self._client = ChatClient(
                self.server,
                pause=self._pause,
                timeout=self._timeout,
                deadline=self._deadline,
                thought=self._thought,
            )
        return self._client


def turn_of(request: Request) -> Any:
    """Return the user's turn as the protocol has it: images, then the text."""
    images = [{"type": "image_url", "image_url": {"url": _url(i)}} for i in request.images]
    return [*images, {"type": "text", "text": request.prompt}]


def choice_logprobs(reply: ChatReply, choices: tuple[str, ...]) -> tuple[float, ...]:
    """Return the log-probability of each choice, from those of the first token of a reply.

    A choice is looked for as one token, which some servers write with a space before it. Where one
    is not among the most probable tokens, nothing is known of any: it may be several tokens.
    """
    if reply.thought:  # then the first token is that of a thought
        return ()
    found = [reply.first.get(each, reply.first.get(f" {each}")) for each in choices]
    known = tuple(value for value in found if value is not None)
    return known if len(known) == len(choices) else ()


def _why_silent(reply: ChatReply) -> str:
    if reply.finish == "refused":
        return "the model or a filter of its server refused to reply"
    if not reply.silent:
        return "the server sent no text"
    if reply.thought:
        return (
            f"{THOUGHT_ONLY}: all {reply.tokens_out} tokens went into thinking; raise the limit "
            "with --max-new-tokens"
        )
    return (
        f"{CUT} after {reply.tokens_out} tokens, before a word was said; if the model thinks "
        "first, raise the limit with --max-new-tokens"
    )


def unseen(request: Request) -> str | None:
    """Return why a server's engine leaves a request to ``own``; the same for every such view."""
    if request.view is None:
        return None
    return f"the view {type(request.view).__name__} changes processed pixels"


def cannot(request: Request) -> str | None:
    """Return why a server cannot answer this request at all."""
    if request.view is not None:
        return (
            f"the view {request.view!r} changes processed pixels, which a server does not accept; "
            "use a local model for this method"
        )
    return None


def _url(image: PIL.Image.Image) -> str:
    """Return the image as a data URL; PNG keeps every pixel."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, format="PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
