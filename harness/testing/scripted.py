"""A model that says what it is told to say, for tests of methods."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.records import Answer, Request


class Scripted:
    """Answers from a list, in its order.

    Attributes:
        texts: what is left to say.
        seen: the requests so far.
    """

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts)
        self.seen: list[Request] = []

    def answer(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Give each request the next text."""
        for request in requests:
            self.seen.append(request)
            yield Answer(self.texts.pop(0))
