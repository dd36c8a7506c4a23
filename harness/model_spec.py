"""A model as another process opens it: what travels is where it lies, never its weights."""

from __future__ import annotations

import socket
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path

from harness.model import Base, Model
from harness.model_load import Source
from harness.store import Store


@dataclass(frozen=True)
class Spec:
    """What it takes to open the same model elsewhere.

    Attributes:
        source: the checkpoint; another process on a GPU takes the GPU of its own number.
        adapter: the adapter's folder, or ``None``.
        store: file of the answer store, or ``None``.
        host: where ``store`` lies; SQLite's log cannot be shared between machines.
    """

    source: Source
    adapter: Path | None
    store: Path | None
    host: str

    @classmethod
    def of(cls, model: Model, store: Store | None) -> Spec:
        """Describe a model of this process."""
        source = replace(model.base.source, path=model.base.source.path.resolve())
        adapter = model.adapter.resolve() if model.adapter is not None else None
        return cls(source, adapter, store.path.resolve() if store else None, socket.gethostname())

    def open(self) -> Model:
        """Open it here; the last checkpoint stays in memory for the next call."""
        shared = self.store is not None and self.host == socket.gethostname()
        store = _store(self.store) if self.store is not None and shared else None
        return Model(str(self.source.path), _base(self.source), self.adapter, store)


@lru_cache(maxsize=1)
def _base(source: Source) -> Base:
    from harness.model_load import pick_device

    return Base(replace(source, device="cpu" if source.device == "cpu" else pick_device("auto")))


@cache
def _store(path: Path) -> Store:
    return Store(path)
