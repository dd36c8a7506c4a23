"""A checkpoint in memory: loaded when first needed, and again when it was changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.engine import ENGINE_VERSION, Outline, read_outline, weights_fingerprint
from harness.model.chat_template import ChatTemplate
from harness.model.engines import OWN, Identity
from harness.protocol import HF, Conversation
from harness.records import Answer, Request

if TYPE_CHECKING:
    from harness.engine import Engine, EngineRequest, Loaded, Source


class Base:
    """The checkpoint that a model and its adapted versions hold in common, loaded once.

    It is the engine ``own`` too (see :class:`harness.model.engines.Engine`): what answers is the
    network that is trained.
    """

    identity = Identity(OWN, ENGINE_VERSION)

    def __init__(self, source: Source, options: None = None) -> None:
        """Remember what to load, and read the chat template.

        Raises:
            UsageError: if the folder has no chat template.
        """
        self.source = source
        own = source.protocol == HF
        self.template = ChatTemplate(source.path) if own else Conversation()
        self._fingerprint: str | None = None
        self._loaded: Loaded | None = None
        self._read: tuple[Any, Outline] | None = None
        self._engine: Engine | None = None

    @property
    def fingerprint(self) -> str:
        """Hash of the checkpoint's bytes."""
        if self._fingerprint is None:
            self._fingerprint = weights_fingerprint(self.source.path)
        return self._fingerprint

    def loaded(self) -> Loaded:
        """Return the network in memory, loading it when needed."""
        if self._loaded is None:
            from harness.engine import load

            self._loaded = load(self.source, self._read[0] if self._read is not None else None)
        return self._loaded

    def outline(self) -> tuple[Any, Outline]:
        """Return processor and configurations, for which no weights are loaded."""
        if self._loaded is not None:
            network = self._loaded.network
            return self._loaded.processor, Outline(network.config, network.generation_config)
        if self._read is None:
            self._read = read_outline(self.source)
        return self._read

    def bare(self) -> Loaded:
        """Return the network without adapters; one that carries some is loaded again."""
        if self._loaded is not None and self._loaded.peft is not None:
            self.release()
        return self.loaded()

    def engine(self) -> Engine:
        """Return the engine on an unchanged network."""
        if self._loaded is not None and self._loaded.is_modified():
            self.release()
        if self._engine is None:
            from harness.engine import Engine

            self._engine = Engine(self.loaded())
        return self._engine

    def refuses(self, request: Request) -> str | None:
        """Nothing that can be asked is refused."""
        return None

    def run(
        self, items: Sequence[EngineRequest], adapter: Path | None = None
    ) -> Iterator[tuple[int, Answer]]:
        """Answer in this process; see :class:`harness.model.engines.Engine`."""
        if items:
            yield from self.engine().run(items, adapter)

    def at(self, source: Source) -> Base:
        """Return the checkpoint that lies elsewhere."""
        return Base(source)

    def release(self) -> None:
        """Forget the network and give its memory back."""
        on_gpu = self._loaded is not None and self.source.device != "cpu"
        self._loaded = self._engine = self._read = None
        if on_gpu:
            import gc

            import torch

            gc.collect()
            torch.cuda.empty_cache()
