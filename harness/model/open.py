"""Which kind of model a name means: a checkpoint in this process, or one behind a server."""

from __future__ import annotations

from pathlib import Path

from harness.engine import sees
from harness.errors import UsageError
from harness.model.address import SCHEME
from harness.model.model import Model
from harness.model.server import ServerModel
from harness.protocol import HF
from harness.storage import Store


def open_model(
    source: str | Path,
    *,
    store: Store | None = None,
    device: str = "auto",
    dtype: str = "auto",
    protocol: str = HF,
) -> Model:
    """Open a vision-language model, named as a folder, a hub id, or ``openai:MODEL[@URL]``.

    No weights are loaded yet.

    Raises:
        UsageError: if there is no such model, it reads text only, or it cannot follow the protocol.
    """
    if str(source).startswith(SCHEME) and protocol != HF:
        raise UsageError(
            f"{source} is a server's model: the server lays out images and conversations itself, "
            f"so the protocol {protocol} cannot be followed. Leave --protocol out, or name the "
            "model's folder or hub id with --model."
        )
    if str(source).startswith(SCHEME):
        return ServerModel(str(source), store=store)
    model = Model.open(source, store=store, device=device, dtype=dtype, protocol=protocol)
    if not sees(model.path):
        raise UsageError(
            f"The model {source} reads text only, so it cannot answer questions about images. Name "
            f"a vision-language model with --model. It can judge answers, though: --judge "
            f"hf:{source}"
        )
    return model
