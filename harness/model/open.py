"""Which kind of model a name means: a checkpoint in this process, or one behind a server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.engine import sees
from harness.errors import UsageError
from harness.model.address import SCHEME
from harness.model.ask import AnyModel
from harness.model.engines import Opening
from harness.model.model import Model
from harness.model.server import ServerModel
from harness.protocol import HF
from harness.storage import Store


def open_model(
    source: str | Path,
    *,
    adapter: Path | None = None,
    store: Store | None = None,
    device: str = "auto",
    dtype: str = "auto",
    protocol: str = HF,
    engine: Opening | None = None,
) -> AnyModel:
    """Open a vision-language model, named as a folder, a hub id, or ``openai:MODEL[@URL]``.

    No weights are loaded yet, and nothing is sent.

    Raises:
        UsageError: if there is no such model, it reads text only, or it cannot take the adapter or
            engine or follow the protocol.
    """
    if not _behind_server(source):
        return open_checkpoint(
            source,
            adapter=adapter,
            store=store,
            device=device,
            dtype=dtype,
            protocol=protocol,
            engine=engine,
        )
    if engine is not None:
        raise UsageError(
            f"{source} is a model behind a server, which generates the answers. Leave --engine "
            "out, or "
            "name the model's folder or hub id with --model."
        )
    if protocol != HF:
        raise UsageError(
            f"{source} is a server's model: the server lays out images and conversations itself, "
            f"so the protocol {protocol} cannot be followed. Leave --protocol out, or name the "
            "model's folder or hub id with --model."
        )
    if adapter is not None:
        raise UsageError(
            f"{source} is a server's model, which takes no adapter from here ({adapter}). Start "
            "the server with that adapter under a name of its own, and name that."
        )
    return ServerModel(str(source), store=store)


def open_checkpoint(
    source: str | Path,
    *,
    adapter: Path | None = None,
    store: Store | None = None,
    device: str = "auto",
    dtype: str = "auto",
    protocol: str = HF,
    engine: Opening | None = None,
) -> Model:
    """Open a vision-language model whose weights are here, so that it can be trained.

    Raises:
        UsageError: as :func:`open_model`; and for a model behind a server.
    """
    refuse_server(source)
    model = Model.open(
        source, store=store, device=device, dtype=dtype, protocol=protocol, engine=engine
    )
    if not sees(model.path):
        raise UsageError(
            f"The model {source} reads text only, so it cannot answer questions about images. Name "
            f"a vision-language model with --model. It can judge answers, though: --judge "
            f"hf:{source}"
        )
    return model if adapter is None else model.with_adapter(adapter)


def refuse_server(source: str | Path, benches: Sequence[str] = ("NAME",)) -> None:
    """Refuse a model behind a server where weights are needed.

    Raises:
        UsageError: says how to measure it as it is, on ``benches``.
    """
    if _behind_server(source):
        raise UsageError(
            f"{source} is a server's model: its weights are not here, so it cannot be trained. "
            "Name its folder or hub id with --model, or measure it as it is with: "
            f"harness eval --model {source} --bench {','.join(benches)}"
        )


def _behind_server(source: str | Path) -> bool:
    return str(source).startswith(SCHEME)
