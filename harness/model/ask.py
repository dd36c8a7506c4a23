"""Ask a model several things about each of many items, lazily, and keep them together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

from harness.records import Answer, Request

T = TypeVar("T")

PIXELS = 128_000_000
"""How many pixels of decoded images end a window early; about 512 MB, as Pillow keeps them."""


def windows(requests: Iterable[Request], most: int) -> Iterator[list[Request]]:
    """Divide requests into those that are read ahead together: by number, and by memory.

    An image that several requests of a window hold counts once.
    """
    window: list[Request] = []
    pixels: dict[int, int] = {}
    for request in requests:
        window.append(request)
        pixels |= {id(image): image.width * image.height for image in request.images}
        if len(window) >= most or sum(pixels.values()) >= PIXELS:
            yield window
            window, pixels = [], {}
    if window:
        yield window


class Answering(Protocol):
    """What can be asked: a model, or whatever stands in for one."""

    def answer(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Yield an answer for each request, in their order."""
        ...


class AnyModel(Answering, Protocol):
    """What can be evaluated: a checkpoint here, or a model behind a server.

    Attributes:
        source: what the user typed.
        calls: requests that reached the model, not the store.
        answered_by: identity of the engine that answers; empty for the engine ``own``, and where
            the model is known by its server alone.
    """

    source: str
    calls: int

    @property
    def answered_by(self) -> str:
        """See above."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hash of everything that determines an answer besides the request."""
        ...

    def release(self) -> None:
        """Free what answering holds; the next request takes it again."""
        ...


def ask_each(
    model: Answering, items: Iterable[T], requests: Callable[[T], Iterable[Request]]
) -> Iterator[tuple[T, tuple[Answer, ...]]]:
    """Yield each item with the answers to its requests, in the order of the items.

    All requests go to the model as one stream, so that it can read ahead and share work between
    items; no more items are taken than it reads.

    Args:
        model: whom to ask.
        items: prompts, rows, anything.
        requests: what to ask about an item; none is allowed.
    """
    waiting: deque[tuple[T, int]] = deque()

    def stream() -> Iterator[Request]:
        for item in items:
            asked = tuple(requests(item))
            waiting.append((item, len(asked)))
            yield from asked

    told: list[Answer] = []
    for answer in model.answer(stream()):
        while waiting[0][1] == 0:
            yield waiting.popleft()[0], ()
        told.append(answer)
        if len(told) == waiting[0][1]:
            yield waiting.popleft()[0], tuple(told)
            told = []
    for item, _ in waiting:
        yield item, ()
