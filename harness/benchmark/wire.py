"""What a task's own scoring asks a language model: caught before it leaves this machine.

Many tasks of lmms-eval ask a service inside their scoring, in one of several ways, and turn a
service that fails into a score. Within :func:`answering` such a question is not sent: either it
is handed to our judge, or the judge's reply is given back where the service's would have come.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import io
import json
import random
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from harness.storage import parse_json

_TOKENS = 1024  # where a task does not say how long a reply may be


class Asked(BaseException):
    """The scoring asks a language model ``prompt``, and there is no reply yet."""

    def __init__(self, prompt: str, max_tokens: int) -> None:
        super().__init__(prompt)
        self.prompt, self.max_tokens = prompt, max_tokens


class Unanswerable(BaseException):
    """The scoring needs something that a judge of texts cannot give; says what."""


class AskedAgain(BaseException):
    """The scoring was given a reply and asks the same once more: it cannot read the reply."""


@dataclass
class _Wire:
    """What is going on while a task scores one answer."""

    reply: str | None = None
    asked: list[str] = field(default_factory=list)

    def ask(self, messages: Sequence[Any], max_tokens: object) -> str:
        prompt = "\n\n".join(filter(None, map(_text, messages)))
        if self.reply is None:
            raise Asked(prompt, max_tokens if isinstance(max_tokens, int) else _TOKENS)
        if prompt in self.asked:
            raise AskedAgain
        if self.asked:
            raise Unanswerable("its scoring asks a language model several questions about one row")
        self.asked.append(prompt)
        return self.reply


_current: _Wire | None = None
_one_at_a_time = threading.RLock()


@contextlib.contextmanager
def answering(reply: str | None = None) -> Iterator[None]:
    """Catch what the scoring code of a task asks; ``reply`` is what the language model says.

    Raises:
        Asked: out of the block, if a question was asked that has not been answered.
        AskedAgain: if the reply was not understood.
        Unanswerable: if something else than one question in words was sent.
    """
    global _current
    from PIL import ImageFile

    with _one_at_a_time:
        truncated = ImageFile.LOAD_TRUNCATED_IMAGES  # what a task imports late may set it
        _watch()
        before, _current = _current, _Wire(reply)
        state = random.getstate()
        random.seed(0)  # some guess where they cannot read: the same answer is always read alike
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # some print what they think
                yield
        except BaseExceptionGroup as error:  # of tasks that a group awaits
            caught: BaseException | None = error.subgroup((Asked, AskedAgain, Unanswerable))
            while isinstance(caught, BaseExceptionGroup):
                caught = caught.exceptions[0]
            raise caught or error from None
        finally:
            _current = before
            random.setstate(state)
            ImageFile.LOAD_TRUNCATED_IMAGES = truncated


def _inside() -> _Wire | None:
    """Return the wire if the caller is called by a task's code; other threads go their own way."""
    if _current is None:
        return None
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith("lmms_eval.") or (
            frame.f_code is _scored_by.__code__
        ):
            return _current
        frame = frame.f_back  # type: ignore[assignment]
    return None


def _scored_by(score: Callable[[], Any]) -> Any:
    """Call something whose calls are the task's; its frame marks them."""
    return score()


def scored(score: Callable[[], Any], reply: str | None = None) -> Any:
    """Return what a task's scoring says, with ``reply`` for what it asks; see :func:`answering`."""
    with answering(reply):
        return _scored_by(score)


def _text(message: Any) -> str:
    content = message.get("content", "") if isinstance(message, Mapping) else str(message)
    if isinstance(content, str):
        return content
    parts = []
    for part in content if isinstance(content, list) else []:
        if not isinstance(part, Mapping) or not isinstance(part.get("text"), str):
            raise Unanswerable("its scoring shows the language model an image")
        parts.append(part["text"])
    return "\n".join(parts)


@functools.cache
def _watch() -> None:
    """Stand in the way of everything with which tasks reach a service, once a process."""
    import asyncio
    import socket
    import time

    import requests
    from lmms_eval.llm_judge.factory import ProviderFactory

    for provider in set(ProviderFactory._provider_classes.values()):
        _replace(provider, "evaluate", _provider)
    _replace(requests.Session, "request", _request)
    for owner in (socket, asyncio.BaseEventLoop):  # the loop looks names up in another thread
        _replace(owner, "create_connection", _connection)
        _replace(owner, "getaddrinfo", _connection)
    _replace(time, "sleep", _nothing)


@functools.cache
def watch_openai() -> None:
    """Stand before the service's own library; importing it takes seconds, and few tasks use it."""
    import openai.resources.chat.completions as completions

    for client in (completions.Completions, completions.AsyncCompletions):
        _replace(client, "create", _completion)


def _replace(owner: Any, name: str, ours: Callable[..., Any]) -> None:
    """Put a function before one of a library; it gets the wire, and calls from elsewhere pass."""
    theirs = getattr(owner, name)

    @functools.wraps(theirs)
    def called(*args: Any, **named: Any) -> Any:
        wire = _inside()
        return theirs(*args, **named) if wire is None else ours(wire, *args, **named)

    @functools.wraps(theirs)
    async def awaited(*args: Any, **named: Any) -> Any:
        wire = _inside()
        return await theirs(*args, **named) if wire is None else ours(wire, *args, **named)

    later = inspect.iscoroutinefunction(inspect.unwrap(theirs))  # a decorator may hide it
    setattr(owner, name, awaited if later else called)


def _provider(wire: _Wire, provider: Any, request: Any, *args: Any, **named: Any) -> Any:
    from lmms_eval.llm_judge.protocol import Response

    if request.images:
        raise Unanswerable("its scoring shows the language model an image")
    config = request.config or provider.config
    text = wire.ask(provider.prepare_messages(request), config.max_tokens)
    return Response(content=text, model_used="judge", usage={}, raw_response=_reply(text))


def _completion(wire: _Wire, client: Any, *args: Any, **named: Any) -> Any:
    limit = named.get("max_tokens") or named.get("max_completion_tokens")
    text = wire.ask(named.get("messages") or (), limit)
    message = SimpleNamespace(role="assistant", content=text)
    usage = SimpleNamespace(prompt_tokens=0, completion_tokens=0, total_tokens=0)
    choice = SimpleNamespace(index=0, message=message, finish_reason="stop")
    return SimpleNamespace(choices=[choice], model="judge", usage=usage)


def _request(wire: _Wire, session: Any, method: str, url: str, **named: Any) -> Any:
    import requests

    sent = named.get("json")
    if sent is None and isinstance(named.get("data"), str | bytes):
        with contextlib.suppress(ValueError):
            sent = parse_json(named["data"])
    if not isinstance(sent, Mapping) or not isinstance(sent.get("messages"), list):
        raise Unanswerable("its scoring asks something over the network")
    text = wire.ask(sent["messages"], sent.get("max_tokens"))
    response = requests.Response()
    response.status_code = 200
    response._content = json.dumps(_reply(text)).encode()
    return response


def _reply(text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"model": "judge", "choices": [choice], "usage": {}}


def _connection(wire: _Wire, *args: Any, **named: Any) -> Any:
    raise Unanswerable("its scoring asks something over the network")


def _nothing(wire: _Wire, *args: Any, **named: Any) -> None:
    """Wait for nothing: no service is asked that would need time."""
