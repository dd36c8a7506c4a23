"""The engine ``server``: an OpenAI-compatible server that already runs answers the whole run.

Before and pairs are asked of one name on the server. After training the adapter is loaded there
under a name made from its hash, where the server lets it (vLLM's ``/v1/load_lora_adapter``), or
has been preloaded under that name by whoever runs the server.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from harness.engine import EngineRequest, Source, adapter_fingerprint, weights_fingerprint
from harness.errors import HarnessError, UsageError, near_miss, plain
from harness.model.address import BASE_URL, OFFICIAL, SCHEME, ServerName, server_name
from harness.model.asking import FAILED, Asking, unseen
from harness.model.engines import Identity
from harness.model.replies import clean
from harness.records import Answer, Bounds, Request
from harness.storage import KEY, parse_json

_SECONDS = 120.0  # for the server to load an adapter, or to say what it has


@dataclass(frozen=True)
class ServerOptions:
    """What ``--engine-set`` sets.

    Attributes:
        model: the name of the model before, on the server.
        url: the server's address, up to ``/v1``; that in ``OPENAI_BASE_URL`` by default.
        version: of the server, as its owner knows it; another one is another engine.
        at_once: most requests under way at the same time.
        add_special_tokens: let the server put the tokenizer's first token before the prompt: vLLM
            leaves it out, unless the chat template writes it.
    """

    model: str = ""
    url: str = ""
    version: str = "unstated"
    at_once: Annotated[int, Bounds(least=1, most=1024)] = 32
    add_special_tokens: bool = False


class ServerEngine:
    """An :class:`harness.model.Engine` behind a server that somebody else runs."""

    Options = ServerOptions

    def __init__(self, source: Source, options: ServerOptions, name: str = "") -> None:
        """Read the options; nothing is sent.

        Args:
            source: the weights that the server is told to have.
            options: what the user set.
            name: of these weights on the server, if not ``options.model``.

        Raises:
            UsageError: if the options name no model behind a server.
        """
        if not options.model:
            raise UsageError(
                "The engine 'server' needs the name that the server gives the model: --engine-set "
                "model=NAME, and --engine-set url=http://localhost:8000/v1 for its address."
            )
        url = options.url or os.environ.get(BASE_URL) or OFFICIAL
        asked = server_name(f"{SCHEME}{options.model}@{url}", "--engine-set model=... url=...")
        self._source, self._options = source, options
        self._server = ServerName(name or asked.model, asked.address)
        self._whole = bool(name)
        self._asked: dict[Path | None, Asking] = {}
        settings = {"model": asked.model, "url": asked.address}
        if options.add_special_tokens:
            settings["add_special_tokens"] = "yes"
        self.identity = Identity("server", options.version, settings)

    def refuses(self, request: Request) -> str | None:
        """A server is sent images, not processed pixels."""
        return unseen(request)

    def run(
        self, items: Sequence[EngineRequest], adapter: Path | None = None
    ) -> Iterator[tuple[int, Answer]]:
        """Ask the server; see :class:`harness.model.Engine`.

        Raises:
            HarnessError: if it does not offer the model or the adapter, or stops answering.
        """
        if adapter not in self._asked:
            server = ServerName(self._offered(adapter), self._server.address)
            extra = {"add_special_tokens": True} if self._options.add_special_tokens else None
            self._asked[adapter] = Asking(server, at_once=self._options.at_once, extra=extra)
        asking = self._asked[adapter]
        failed: list[tuple[int, Answer]] = []
        for place, answer in asking.each([item.request for item in items]):
            if (answer.error or "").startswith(FAILED):
                failed.append((place, answer))
            else:
                yield place, answer
        if asking.over is not None:
            self.release()
            raise HarnessError(
                f"The server {self._server.base} stopped answering: {asking.over}. Start it again, "
                "then run the same command again; everything finished is reused."
            )
        yield from failed

    def at(self, source: Source) -> ServerEngine:
        """Return the engine for weights that were trained whole, under a name of their own."""
        name = f"harness-{weights_fingerprint(source.path)[:12]}"
        return ServerEngine(source, self._options, name)

    def release(self) -> None:
        """Close the connections; what is asked for next is looked for on the server again."""
        for asking in self._asked.values():
            asking.close()
        self._asked.clear()

    def _offered(self, adapter: Path | None) -> str:
        """Return the name of model or adapter on the server, loading an adapter where it can be.

        Raises:
            UsageError: if the server does not know the model.
            HarnessError: if it lacks the adapter and does not load it.
        """
        names = offered(self._server)
        if adapter is None:
            if names and self._server.model not in names and not self._whole:
                raise UsageError(
                    f"The server {self._server.base} has no model '{plain(self._server.model)}'."
                    f"{near_miss(self._server.model, names)} It has: {', '.join(names)[:300]}. "
                    "Name one with --engine-set model=NAME."
                )
            if not names or self._server.model in names:
                return self._server.model
            raise HarnessError(_lacking(self._server, self._server.model, self._source.path, ""))
        name = f"harness-{adapter_fingerprint(adapter)[:12]}"
        if name not in names:
            refused = load_adapter(self._server, name, adapter)
            if refused is not None:
                raise HarnessError(_lacking(self._server, name, adapter, refused))
        return name


def _lacking(server: ServerName, name: str, folder: Path, reason: str) -> str:
    why = f", and does not load it by itself ({reason})" if reason else ""
    return (
        f"The server {server.base} does not have the trained weights in {folder.resolve()}{why}. "
        f"Start it with them under the name {name} (vLLM: --enable-lora --lora-modules "
        f"{name}={folder.resolve()}; or VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, to let it load "
        "adapters as they come), then run the same command again; everything finished is reused."
    )


def offered(server: ServerName) -> tuple[str, ...]:
    """Return the names of what a server has; none where it does not say.

    Raises:
        HarnessError: if the server cannot be reached.
    """
    status, body = call(server, "models")
    data = body.get("data") if isinstance(body, dict) and status == 200 else None
    names = [each.get("id") for each in data or () if isinstance(each, dict)]
    return tuple(clean(name, 200) for name in names if isinstance(name, str))


def load_adapter(server: ServerName, name: str, folder: Path) -> str | None:
    """Let a server load an adapter; return why it did not, or ``None``.

    Raises:
        HarnessError: if the server cannot be reached.
    """
    asked = {"lora_name": name, "lora_path": str(folder.resolve())}
    status, body = call(server, "load_lora_adapter", asked)
    return None if status == 200 else clean(f"status {status}: {_error(body)}", 300)


def _error(body: Any) -> str:
    error = body.get("error", body.get("message", "")) if isinstance(body, dict) else body
    return str(error.get("message", "") if isinstance(error, dict) else error)


def call(server: ServerName, path: str, body: Any = None) -> tuple[int, Any]:
    """Send one request beside the chat, and return its status and what came: JSON, or text.

    Raises:
        HarnessError: if the server does not reply.
    """
    import httpx

    from harness.model.transport import GuardedTransport, Unusable

    url = httpx.URL(f"{server.base}/{path}", params=server.query or None)
    key = os.environ.get(KEY)
    transport = GuardedTransport(secure=url.scheme == "https", host=url.host)
    try:
        with httpx.Client(transport=transport, timeout=_SECONDS) as client:
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            method = "GET" if body is None else "POST"
            reply = client.request(method, url, json=body, headers=headers)
    except (Unusable, httpx.HTTPError, ValueError) as error:
        raise HarnessError(
            f"The server {server.base} cannot be reached: {clean(str(error)) or 'no reply'}. Start "
            "it, or name another with --engine-set url=..., then run the same command again."
        ) from error
    try:
        return reply.status_code, parse_json(reply.content)
    except ValueError:
        return reply.status_code, reply.text[:300]
