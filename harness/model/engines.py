"""What computes a model's answers: the engine. See docs/engines.md.

A model holds weights that can be trained, which stay in this process, and an engine that answers
requests with them. By default that is this project's own; others are plugins (entry points
``harness.engines``). Before, pairs and after are asked of one model, so of one engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from harness.engine import EngineRequest, Source
from harness.records import Answer, Request

OWN = "own"


@dataclass(frozen=True)
class Identity:
    """What of an engine determines an answer, besides the weights and the request.

    Attributes:
        name: as ``--engine`` takes it.
        version: of what computes.
        settings: whatever else may change an answer, by name; an address, a number format.
    """

    name: str
    version: str
    settings: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return it on one line, for fingerprints, ``settings.json`` and reports."""
        settings = ", ".join(f"{key}={value}" for key, value in sorted(self.settings.items()))
        return f"{self.name} {self.version}" + (f" ({settings})" if settings else "")


class Engine(Protocol):
    """Answers requests with the weights in one folder, with or without an adapter.

    Made as ``KIND(source, options)``, where ``options`` is an instance of ``KIND.Options``, a
    frozen dataclass. Making one starts nothing. A greedy answer should be that of the engine
    ``own`` up to rounding; :func:`harness.testing.assert_engine` finds out how often it is.
    """

    @property
    def identity(self) -> Identity:
        """What determines its answers."""
        ...

    def refuses(self, request: Request) -> str | None:
        """Return why a request cannot be answered, and so goes to ``own``; else ``None``."""
        ...

    def run(
        self, items: Sequence[EngineRequest], adapter: Path | None = None
    ) -> Iterator[tuple[int, Answer]]:
        """Yield each item's position and answer, in any order, each exactly once.

        Without log-probabilities, ``choices`` of an answer stay empty. What goes wrong with one
        item is an answer without text that says why.

        Raises:
            UsageError: if the adapter cannot be applied.
            HarnessError: if nothing can be answered; what was answered stays.
        """
        ...

    def at(self, source: Source) -> Engine:
        """Return the same engine for other weights: a model that was trained whole."""
        ...

    def release(self) -> None:
        """Free memory and processes; the next request takes them again."""
        ...


Opening = Callable[[Source], Engine]
"""Makes an engine for the weights that a source names."""


@dataclass(frozen=True)
class Elsewhere:
    """An engine that process 0 alone asks, as the other processes of a run know it."""

    identity: Identity

    def refuses(self, request: Request) -> str | None:
        """Process 0 parts the requests."""
        return None

    def run(
        self, items: Sequence[EngineRequest], adapter: Path | None = None
    ) -> Iterator[tuple[int, Answer]]:
        """Nothing is asked from here."""
        raise AssertionError("process 0 asks the engine")

    def at(self, source: Source) -> Engine:
        """Return itself: process 0 asks."""
        return self

    def release(self) -> None:
        """Nothing is held."""
