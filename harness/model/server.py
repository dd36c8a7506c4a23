"""A model behind an OpenAI-compatible server: vLLM, SGLang, ``transformers serve``, an API.

``openai:MODEL[@URL]`` names it. Requests go out many at once through
:class:`harness.model.asking.Asking`; what fails for good is a missing answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

from harness.engine import ImageDigests, answer_key
from harness.model.address import server_name
from harness.model.ask import windows
from harness.model.asking import Asking
from harness.records import Answer, Request, to_json
from harness.storage import Store

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

    def __init__(self, source: str, *, store: Store | None = None, **limits: Any) -> None:
        """Read the name; nothing is sent.

        Args:
            source: ``openai:MODEL[@URL]``, such as ``openai:llava@http://localhost:8000/v1``.
            store: where answers are kept.
            limits: of requests; see :class:`harness.model.asking.Asking`.

        Raises:
            UsageError: if the name is not of that form.
        """
        self._server = server_name(source, "--model")
        self._asking = Asking(self._server, **limits)
        self.source = source
        self.calls = 0
        self._store = store

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
        self._asking.close()

    def answer(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Answer requests in their order, many at once; stored answers are not asked again.

        Whoever stops taking answers ends what is under way.
        """
        for window in windows(requests, WINDOW):
            yield from self._through(window)
            window.clear()  # lets its images go before those of the next are read

    def _through(self, window: list[Request]) -> Iterator[Answer]:
        digests = ImageDigests()
        keys = [answer_key(self.fingerprint, _sent(r), r, digests) for r in window]
        ready = self._store.records(keys, Answer) if self._store is not None else {}
        # Earlier versions kept answers that were all thought, without a word.
        ready = {k: a for k, a in ready.items() if a.text or a.finish != "length"}
        lacking = {key: r for key, r in zip(keys, window, strict=True) if key not in ready}
        names = list(lacking)
        self.calls += len(names)
        coming = self._asking.each(list(lacking.values()))
        for key in keys:
            while key not in ready:
                place, answer = next(coming)
                ready[names[place]] = answer
                if self._store is not None and answer.text is not None:
                    self._store.put({names[place]: to_json(answer)})
            yield ready[key]


def _sent(request: Request) -> str:
    """Return the turn as it is sent; the server applies its own chat template."""
    return "<image>\n" * len(request.images) + request.prompt
