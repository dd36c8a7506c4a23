"""A model behind an OpenAI-compatible server: vLLM, SGLang, ``transformers serve``, an API.

``openai:MODEL[@URL]`` names it. Requests go out many at once through
:class:`harness.model.openai_client.ChatClient`; what fails for good is a missing answer.
"""

from __future__ import annotations

import base64
import hashlib
import io
import threading
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from harness import progress
from harness.engine import ImageDigests, answer_key
from harness.model.address import server_name
from harness.model.openai_client import ChatClient
from harness.model.replies import ChatReply, Refused
from harness.model.workers import at_once
from harness.records import CUT, LENGTH, MISSING, THOUGHT_ONLY, Answer, Request, to_json
from harness.storage import Store

if TYPE_CHECKING:
    import PIL.Image

WINDOW = 256


class ServerModel:
    """An :class:`harness.model.AnyModel` behind a server; it can be asked, but not trained.

    The log-probabilities of choices are known where the server gives those of the first token and
    every choice is one token; else :attr:`Answer.choices` stays empty, so ``logit`` columns are
    missing while the written answers count.

    Attributes:
        source: what the user typed.
        calls: requests that were sent.
    """

    def __init__(
        self,
        source: str,
        *,
        store: Store | None = None,
        at_once: int = 32,
        pause: float = 1.0,
        timeout: float = 300.0,
        deadline: float = 600.0,
    ) -> None:
        """Read the name; nothing is sent.

        Args:
            source: ``openai:MODEL[@URL]``, such as ``openai:llava@http://localhost:8000/v1``.
            store: where answers are kept.
            at_once: most requests under way at the same time.
            pause: seconds before the second try; doubles with each further one.
            timeout: seconds for one whole reply.
            deadline: seconds for one request with all tries and waiting.

        Raises:
            UsageError: if the name is not of that form.
        """
        self._server = server_name(source, "--model")
        self.source = source
        self.calls = 0
        self._store, self._at_once = store, at_once
        self._pause, self._timeout, self._deadline = pause, timeout, deadline
        self._client: ChatClient | None = None
        self._unsaid = threading.Lock()  # taken by whoever says that there are no log-probabilities

    @property
    def fingerprint(self) -> str:
        """Hash of URL and model name.

        A server does not say which weights it runs, so stored answers are as good as the name.
        """
        text = f"server {self._server.address} {self._server.model}"
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def answered_by(self) -> str:
        """Nothing more than the model's name says."""
        return ""

    def release(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def answer(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Answer requests in their order, many at once; stored answers are not asked again.

        Whoever stops taking answers ends what is under way.
        """
        stream = iter(requests)
        done = False
        try:
            while window := list(islice(stream, WINDOW)):
                yield from self._through(window)
            done = True
        finally:
            if not done and self._client is not None:
                self._client.stop()
                self._client = None

    def _through(self, window: list[Request]) -> Iterator[Answer]:
        digests = ImageDigests()
        keys = [answer_key(self.fingerprint, _sent(r), r, digests) for r in window]
        ready = self._store.records(keys, Answer) if self._store is not None else {}
        # Earlier versions kept answers that were all thought, without a word.
        ready = {k: a for k, a in ready.items() if a.text or a.finish != "length"}
        lacking = {key: r for key, r in zip(keys, window, strict=True) if key not in ready}
        names = list(lacking)
        self.calls += len(names)
        client = self._connected() if names else None
        coming = at_once(self._at_once, lambda key: self._ask(lacking[key], client), names)
        for key in keys:
            while key not in ready:
                place, answer = next(coming)
                ready[names[place]] = answer
                if self._store is not None and answer.text is not None:
                    self._store.put({names[place]: to_json(answer)})
            yield ready[key]

    def _ask(self, request: Request, client: ChatClient | None) -> Answer:
        refused = _cannot(request)
        if refused or client is None:
            return Answer(text=None, finish=MISSING, error=refused)
        try:
            return self._answer_of(self._send(request, client), request, client)
        except Refused as error:
            return Answer(text=None, finish=MISSING, error=f"the server failed: {error}")
        except Exception as error:  # such as an image that cannot be written as PNG
            told = f"the request could not be sent: {type(error).__name__}: {error}"
            return Answer(text=None, finish=MISSING, error=told)

    def _send(self, request: Request, client: ChatClient) -> ChatReply:
        images = [{"type": "image_url", "image_url": {"url": _url(i)}} for i in request.images]
        content: Any = [*images, {"type": "text", "text": request.prompt}]
        settings: dict[str, Any] = {"temperature": request.temperature, "top_p": request.top_p}
        if request.temperature > 0:
            settings["seed"] = request.seed % 2**31
        if request.stop:
            settings["stop"] = list(request.stop)
        return client.chat(
            content, request.max_new_tokens, settings, logprobs=bool(request.choices)
        )

    def _answer_of(self, reply: ChatReply, request: Request, client: ChatClient) -> Answer:
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
                f"{self._server.model}: the server {how} of the log-probabilities of choices, so "
                "logit columns are missing"
            )
        text = reply.text
        for stop in request.stop:
            text = text.split(stop)[0]
        return Answer(
            text=text.strip(),
            tokens=reply.tokens_said,
            finish=LENGTH if reply.finish == LENGTH else "stop",
            thought=reply.thought,
            choices=choice_logprobs(reply, request.choices),
        )

    def _connected(self) -> ChatClient:
        if self._client is None:
            self._client = ChatClient(
                self._server, pause=self._pause, timeout=self._timeout, deadline=self._deadline
            )
        return self._client


def _sent(request: Request) -> str:
    """Return the turn as it is sent; the server applies its own chat template."""
    return "<image>\n" * len(request.images) + request.prompt


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
        return "the model refused to reply"
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


def _cannot(request: Request) -> str | None:
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
