"""Which kind of model a name means: a checkpoint in this process, or one behind a server."""

from __future__ import annotations

from pathlib import Path

from harness.model import Model
from harness.model_server import SCHEME, ServerModel
from harness.store import Store


def open_model(
    source: str | Path, *, store: Store | None = None, device: str = "auto", dtype: str = "auto"
) -> Model:
    """Open a folder, a hub id, or ``openai:URL#NAME``, without loading any weights.

    Raises:
        UsageError: if there is no such model.
    """
    if str(source).startswith(SCHEME):
        return ServerModel(str(source), store=store)
    return Model.open(source, store=store, device=device, dtype=dtype)
