"""The model that methods and benchmarks ask: :class:`Model`.

Opening a model reads only its small files. Torch, weights and GPU are touched by the first
request whose answer is not stored, so a run that finds all answers in the store is fast.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from harness import progress
from harness.engine import (
    ENGINE_VERSION,
    EngineRequest,
    ImageDigests,
    Outline,
    Source,
    adapter_fingerprint,
    answer_key,
    check_adapter,
    read_json,
    resolve,
    weights_fingerprint,
)
from harness.errors import HarnessError, UsageError
from harness.model.ask import windows
from harness.model.base import Base
from harness.model.distributed import everywhere, ranks
from harness.model.engines import Engine, Opening
from harness.model.fit import refuse_misfit
from harness.model.spec import Spec, held
from harness.protocol import HF
from harness.records import Answer, Request, as_read, to_json
from harness.storage import Store

__all__ = ["ENGINE_VERSION", "Model", "everywhere", "weights_fingerprint"]

WINDOW = 256
"""How many requests are read ahead per process, so that those about one image meet each other."""


class Model:
    """A vision-language model, with or without an adapter, that answers requests.

    Attributes:
        source: what the user typed.
        path: the checkpoint's folder.
        adapter: the adapter's folder, or ``None``.
        base: the checkpoint in memory, held in common with its adapted versions.
        engine: what answers: ``base`` itself, or another engine with the same weights.
        calls: requests that reached the network, not the store.
    """

    def __init__(
        self,
        source: str,
        base: Base,
        adapter: Path | None = None,
        store: Store | None = None,
        engine: Engine | None = None,
    ) -> None:
        """Use :meth:`open` instead."""
        self.source = source
        self.path = base.source.path
        self.adapter = adapter
        self.calls = 0
        self.base = base
        self.engine: Engine = engine or base
        self._store = store
        self._prints: dict[str, str] = {}
        self._told: set[str] = set()

    @classmethod
    def open(
        cls,
        source: str | Path,
        *,
        adapter: Path | None = None,
        store: Store | None = None,
        device: str = "auto",
        dtype: str = "auto",
        trust_remote_code: bool = False,
        revision: str | None = None,
        protocol: str = HF,
        engine: Opening | None = None,
    ) -> Model:
        """Open a checkpoint without loading its weights.

        Args:
            source: a folder or a hub id; see ``harness.model.open`` for servers.
            adapter: a PEFT adapter to put on it.
            store: where answers are kept; ``None`` keeps none.
            device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
            dtype: ``auto`` (float32 on a CPU, bfloat16 on a GPU), ``float32``, ``bfloat16``,
                ``float16``.
            trust_remote_code: run Python that the checkpoint brings.
            revision: of a hub id; a full commit when its code is to be run.
            protocol: how images and conversations reach it; see ``harness.protocol``.
            engine: what answers; ``None`` is the engine ``own``.

        Raises:
            UsageError: if something named here does not exist or cannot be used; the message
                says what, where and what to type next.
        """
        from harness.engine import pick_device, pick_dtype

        path = resolve(source, revision, trust_remote_code)
        place = pick_device(device)
        refuse_misfit(path, protocol)
        base = Base(Source(path, place, pick_dtype(dtype, place), trust_remote_code, protocol))
        other = engine(base.source) if engine is not None else None
        model = cls(str(source), base, store=store, engine=other)
        return model if adapter is None else model.with_adapter(check_adapter(Path(adapter)))

    def spec(self) -> Spec:
        """Say how another process of this run opens the same model."""
        return Spec.of(self.base.source, self.adapter, self._store, self._other)

    @classmethod
    def of(cls, spec: Spec) -> Model:
        """Open what process 0 has; the last checkpoint stays in memory for the next call."""
        base = held(spec.source)
        return cls(str(spec.source.path), base, spec.adapter, spec.answers(), spec.engine)

    def with_adapter(self, path: Path | None) -> Model:
        """Return the model after training: the same base in memory with this adapter.

        Args:
            path: an adapter's folder, ``None`` for the base alone, or the folder of a full
                model, which is then opened by itself on the same device.

        Raises:
            UsageError: if the folder is neither an adapter nor a model.
        """
        if path is None:
            return Model(self.source, self.base, store=self._store, engine=self._other)
        folder = Path(path)
        if (folder / "config.json").is_file() and not (folder / "adapter_config.json").is_file():
            kept = self.base.source
            return Model.open(
                folder,
                store=self._store,
                device=kept.device,
                dtype=_format(folder, kept),
                protocol=kept.protocol,
                engine=self._other.at if self._other is not None else None,
            )
        return Model(self.source, self.base, check_adapter(folder), self._store, self._other)

    @property
    def answered_by(self) -> str:
        """Identity of the engine; empty for the engine ``own``."""
        return str(self._other.identity) if self._other is not None else ""

    @property
    def _other(self) -> Engine | None:
        """The engine, if it is not the network in this process."""
        return self.engine if self.engine is not self.base else None

    @property
    def fingerprint(self) -> str:
        """Hash of weights, adapter, number format, protocol and engine; 64 hexadecimal digits."""
        return self._print_of(self.engine)

    def _print_of(self, engine: Engine) -> str:
        """Return the fingerprint of what this engine answers; the own engine's is left out."""
        name = engine.identity.name
        if name not in self._prints:
            parts = [self.base.fingerprint, self.base.source.dtype]
            if self.protocol != HF:
                parts.append(f"protocol={self.protocol}")
            if engine is not self.base:
                parts.append(f"engine={engine.identity}")
            if self.adapter is not None:
                parts.append(adapter_fingerprint(self.adapter))
            self._prints[name] = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        return self._prints[name]

    @property
    def protocol(self) -> str:
        """How images and conversations reach the model: ``hf`` or ``llava-1.5``."""
        return self.base.source.protocol

    @property
    def network(self) -> Any:
        """The transformers model without any adapter, loaded when first asked for.

        Whoever trains it in place need not undo anything: the engine notices that weights,
        layers or forward were changed and loads the checkpoint again before it answers. Another
        engine gives its memory back first.
        """
        if self._other is not None:
            self._other.release()
        return self.base.bare().network

    @property
    def processor(self) -> Any:
        """The transformers processor, read when first asked for; no weights are loaded."""
        return self.base.outline()[0]

    @property
    def outline(self) -> Outline:
        """Configurations of the network without any adapter, for which no weights are loaded."""
        return self.base.outline()[1]

    def render(self, request: Request) -> str:
        """Return the prompt as the model reads it: chat template and image placeholders.

        Raises:
            HarnessError: if the chat template refuses the request.
        """
        return self.base.template.render(request.prompt, len(request.images))

    def answer(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Answer requests in their order, reading ahead a window of them.

        What the model thought aloud is split from what it answered, see
        :func:`harness.records.as_read`, for whoever asks; the store keeps what it said.
        Each answer is stored as soon as it is ready. A request that fails becomes an answer
        without text that says why; it is not stored, so the next run tries it again.
        """
        for window in windows(requests, WINDOW * ranks().size):
            yield from map(as_read, self._answer_window(window))
            window.clear()  # lets its images go before those of the next are read

    def release(self) -> None:
        """Free the memory of network and engine; the next request takes it again."""
        self.base.release()
        if self._other is not None:
            self._other.release()

    def _answer_window(self, window: list[Request]) -> Iterator[Answer]:
        rendered = [self._try_render(request) for request in window]
        digests = ImageDigests()
        engines = [self._engine_for(request) for request in window]
        keys = [
            answer_key(self._print_of(engine), text, request, digests)
            if isinstance(text, str)
            else ""
            for request, text, engine in zip(window, rendered, engines, strict=True)
        ]
        ready = ranks().agreed(self._stored(keys))
        work: dict[str, EngineRequest] = {}
        theirs: dict[str, EngineRequest] = {}
        for request, key, text, engine in zip(window, keys, rendered, engines, strict=True):
            if key not in ready and isinstance(text, str):
                images = tuple(map(digests.of, request.images))
                whose = work if engine is self.base else theirs
                whose.setdefault(key, EngineRequest(request, text, images))
        self.calls += len(work) + len(theirs)
        if ranks().size > 1 and theirs:
            first = ranks().rank == 0
            ready |= ranks().agreed(dict(self._kept(self.engine, theirs)) if first else {})
            theirs = {}
        if ranks().size > 1 and work:
            ready |= self._compute_together(work)
            work = {}
        results = chain(self._kept(self.engine, theirs), self._kept(self.base, work))
        for key, text in zip(keys, rendered, strict=True):
            if isinstance(text, Answer):
                yield text
                continue
            while key not in ready:
                name, answer = next(results)
                ready[name] = answer
            yield ready[key]

    def _engine_for(self, request: Request) -> Engine:
        """Return the model's engine, or the own one for what that cannot answer."""
        if self._other is None:
            return self.base
        reason = self._other.refuses(request)
        if reason is None:
            return self._other
        if reason not in self._told:
            self._told.add(reason)
            progress.say(
                f"The engine own answers requests that {self.engine.identity.name} cannot: {reason}"
            )
        return self.base

    def _kept(
        self, engine: Engine, work: Mapping[str, EngineRequest]
    ) -> Iterator[tuple[str, Answer]]:
        """Compute answers and store each as soon as it is ready."""
        names = list(work)
        if not names:
            return
        for place, answer in engine.run(list(work.values()), self.adapter):
            self._keep(names[place], answer)
            yield names[place], answer

    def _try_render(self, request: Request) -> str | Answer:
        try:
            return self.render(request)
        except UsageError:
            raise
        except HarnessError as error:
            return Answer(text=None, finish="missing", error=str(error))

    def _compute_together(self, work: Mapping[str, EngineRequest]) -> dict[str, Answer]:
        remote = partial(_share, self.spec(), work)
        answers = everywhere(remote, lambda: self.share(work))
        for key, answer in answers.items():  # another machine's processes have no store
            self._keep(key, answer)
        return answers

    def share(self, work: Mapping[str, EngineRequest]) -> dict[str, Answer]:
        """Compute this process's part of the work and return everybody's answers.

        Args:
            work: by key; the same in every process.
        """
        costs = [
            (key, item.images, len(item.rendered) + item.request.max_new_tokens)
            for key, item in work.items()
        ]
        mine = ranks().divide(costs)
        return ranks().gather(dict(self._kept(self.base, {key: work[key] for key in mine})))

    def _stored(self, keys: list[str]) -> dict[str, Answer]:
        if self._store is None:
            return {}
        return self._store.records({key: None for key in keys if key}, Answer)

    def _keep(self, key: str, answer: Answer) -> None:
        if self._store is not None and answer.text is not None:
            self._store.put({key: to_json(answer)})


def _format(folder: Path, before: Source) -> str:
    """Return the format to open a trained model in: what was written wider is not rounded."""
    wide, base = (
        str(config.get("dtype") or config.get("torch_dtype"))
        for config in (read_json(folder / "config.json"), read_json(before.path / "config.json"))
    )
    return wide if wide == "float32" != base else before.dtype


def _share(spec: Spec, work: Mapping[str, EngineRequest]) -> None:
    Model.of(spec).share(work)
