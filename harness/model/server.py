"""A model behind an OpenAI-compatible server: vLLM, SGLang, ``transformers serve``.

``openai:URL#NAME`` names it. Requests go out many at once and are tried again when the server is
busy or away; what fails for good is a missing answer. Keys are read by the client library from its
own environment variable and never written anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.engine import ImageDigests, answer_key
from harness.errors import UsageError
from harness.model.model import Model
from harness.model.openai_client import connect, patiently
from harness.records import Answer, Request, to_json
from harness.storage import Store

if TYPE_CHECKING:
    import PIL.Image

SCHEME = "openai:"
WINDOW = 256


class ServerModel(Model):
    """Answers requests through a server; it can be asked, but not trained.

    A server does not score choices: :attr:`Answer.choices` stays empty, so ``logit`` columns are
    missing while the written answers count.

    Attributes:
        source: what the user typed.
        path: there is no folder; the source in the form of a path.
        adapter: there is none; ``None``.
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
    ) -> None:
        """Read the name; nothing is sent.

        Args:
            source: ``openai:URL#NAME``, such as ``openai:http://localhost:8000/v1#llava``.
            store: where answers are kept.
            at_once: most requests under way at the same time.
            pause: seconds before the second try; doubles with each further one.
            timeout: seconds after which one try is given up.

        Raises:
            UsageError: if the name is not of that form.
        """
        address, _, name = source.removeprefix(SCHEME).partition("#")
        if not source.startswith(SCHEME) or not address.startswith("http") or not name:
            raise UsageError(
                f"'{source}' names no server model. Write openai:URL#NAME, for example "
                "openai:http://localhost:8000/v1#llava-1.5-7b."
            )
        self.source = source
        self.path = Path(source)
        self.adapter = None
        self.calls = 0
        self._address, self._name = address, name
        self._store, self._at_once = store, at_once
        self._pause, self._timeout = pause, timeout
        self._client: Any = None

    @property
    def fingerprint(self) -> str:
        """Hash of URL and model name.

        A server does not say which weights it runs, so stored answers are as good as the name.
        """
        text = f"server {self._address} {self._name}"
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def base(self) -> Any:  # type: ignore[override]
        """There is none.

        Raises:
            UsageError: always.
        """
        return self.network

    @property
    def network(self) -> Any:
        """There is none.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            f"The server model {self.source} has no weights here, so it cannot be trained. Name "
            "its checkpoint folder or hub id with --model."
        )

    @property
    def processor(self) -> Any:
        """There is none.

        Raises:
            UsageError: always.
        """
        return self.network

    def with_adapter(self, path: Path | None) -> ServerModel:
        """Return itself for ``None``.

        Raises:
            UsageError: for an adapter, which only the server's owner can load.
        """
        if path is None:
            return self
        raise UsageError(
            f"The server model {self.source} cannot wear the adapter {path}. Start the server with "
            "that adapter under a name of its own, and name that."
        )

    def render(self, request: Request) -> str:
        """Return the turn as it is sent; the server applies its own chat template."""
        return "<image>\n" * len(request.images) + request.prompt

    def release(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def answer(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Answer requests in their order, many at once; stored answers are not asked again."""
        stream = iter(requests)
        with ThreadPoolExecutor(self._at_once) as pool:
            while window := list(islice(stream, WINDOW)):
                yield from self._through(window, pool)

    def _through(self, window: list[Request], pool: ThreadPoolExecutor) -> Iterator[Answer]:
        digests = ImageDigests()
        keys = [answer_key(self.fingerprint, self.render(r), r, digests) for r in window]
        ready = self._store.records(keys, Answer) if self._store is not None else {}
        sent: dict[str, Future[Answer]] = {}
        if len(set(keys)) > len(ready):
            self._connect()
        for key, request in zip(keys, window, strict=True):
            if key not in ready and key not in sent:
                self.calls += 1
                sent[key] = pool.submit(self._ask, request)
        for key in keys:
            if key not in ready:
                ready[key] = sent[key].result()
                if self._store is not None and ready[key].text is not None:
                    self._store.put({key: to_json(ready[key])})
            yield ready[key]

    def _ask(self, request: Request) -> Answer:
        refused = _cannot(request)
        if refused:
            return Answer(text=None, finish="missing", error=refused)
        try:
            reply = patiently(lambda: self._send(request), pause=self._pause)
            return _answer_of(reply, request)
        except Exception as error:
            return Answer(text=None, finish="missing", error=f"the server failed: {error}")

    def _send(self, request: Request) -> Any:
        images = [{"type": "image_url", "image_url": {"url": _url(i)}} for i in request.images]
        content: Any = [*images, {"type": "text", "text": request.prompt}]
        settings: dict[str, Any] = {"temperature": request.temperature, "top_p": request.top_p}
        if request.temperature > 0:
            settings["seed"] = request.seed % 2**31
        if request.stop:
            settings["stop"] = list(request.stop)
        return self._client.chat.completions.create(
            model=self._name,
            messages=[{"role": "user", "content": content}],
            max_tokens=request.max_new_tokens,
            **settings,
        )

    def _connect(self) -> None:
        if self._client is None:
            self._client = connect(self._address, self._timeout)


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


def _answer_of(reply: Any, request: Request) -> Answer:
    choice = reply.choices[0]
    text = choice.message.content
    if text is None:
        return Answer(text=None, finish="missing", error="the server sent no text")
    for stop in request.stop:
        text = text.split(stop)[0]
    usage = getattr(reply, "usage", None)
    return Answer(
        text=text.strip(),
        tokens=int(usage.completion_tokens) if usage else 0,
        finish="length" if choice.finish_reason == "length" else "stop",
    )
