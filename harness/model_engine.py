"""The engine: a window of requests in, answers out as they become ready. Needs torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.model_finish import ending_of
from harness.model_inputs import describe, prepare
from harness.model_load import Loaded
from harness.model_plain import answer_alone
from harness.records import Answer, Request


class Engine:
    """Answers windows of requests with one loaded network."""

    def __init__(self, loaded: Loaded) -> None:
        """Remember the network; nothing is computed yet."""
        self._loaded = loaded
        self._ending = ending_of(loaded.network, loaded.tokenizer)

    def run(
        self, requests: Sequence[Request], rendered: Sequence[str], adapter: Path | None = None
    ) -> Iterator[tuple[int, Answer]]:
        """Yield each request's position and answer, in any order, each exactly once."""
        with self._loaded.wearing(adapter):
            yield from self._run(requests, rendered)

    def _run(
        self, requests: Sequence[Request], rendered: Sequence[str]
    ) -> Iterator[tuple[int, Answer]]:
        for index, (request, text) in enumerate(zip(requests, rendered, strict=True)):
            try:
                yield (
                    index,
                    answer_alone(self._loaded, prepare(self._loaded, request, text), self._ending),
                )
            except Exception as error:
                yield index, Answer(text=None, finish="missing", error=describe(error))
