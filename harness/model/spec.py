"""A model as another process opens it: what travels is where it lies, never its weights."""

from __future__ import annotations

import socket
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path

from harness.engine import Source, pick_device
from harness.model.base import Base
from harness.model.engines import Elsewhere, Engine
from harness.storage import Segments, Store


@dataclass(frozen=True)
class Spec:
    """What it takes to open the same model elsewhere.

    Attributes:
        source: the checkpoint; another process on a GPU takes the GPU of its own number.
        adapter: the adapter's folder, or ``None``.
        store: file of the answer store, or ``None``.
        host: where ``store`` lies; SQLite's log cannot be shared between machines.
        engine: what answers, if that is not the network itself; process 0 asks it.
    """

    source: Source
    adapter: Path | None
    store: Path | None
    host: str
    engine: Elsewhere | None = None

    @classmethod
    def of(
        cls, source: Source, adapter: Path | None, store: Store | None, engine: Engine | None = None
    ) -> Spec:
        """Describe a model of this process."""
        return cls(
            replace(source, path=source.path.resolve()),
            adapter.resolve() if adapter is not None else None,
            store.path.resolve() if store is not None else None,
            socket.gethostname(),
            Elsewhere(engine.identity) if engine is not None else None,
        )

    def answers(self) -> Store | None:
        """Open the answer store, if it lies on this machine."""
        here = self.store is not None and self.host == socket.gethostname()
        return _store(self.store) if self.store is not None and here else None


@lru_cache(maxsize=1)
def held(source: Source) -> Base:
    """Open a checkpoint on this process's own device; the last one stays in memory."""
    return Base(replace(source, device="cpu" if source.device == "cpu" else pick_device("auto")))


@cache
def _store(path: Path) -> Store:
    return Segments(path) if path.is_dir() else Store(path)
