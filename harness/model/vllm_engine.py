"""The engine ``vllm``: a vLLM server that the harness starts, watches and ends.

vLLM pins versions of torch, so it runs in an environment of its own; this process only talks to
it. Prefix caching is on, adapters are loaded as they come, and the log-probabilities of choices
are those of their very tokens.
"""

from __future__ import annotations

import json
import shlex
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from harness import progress
from harness.engine import EngineRequest, Source, adapter_fingerprint, choice_tokens, read_json
from harness.errors import HarnessError, UsageError
from harness.model.asking import FAILED, Asking, turn_of, unseen
from harness.model.chat_template import special_tokens
from harness.model.engines import Identity
from harness.model.replies import read_reply
from harness.model.server_engine import call, load_adapter
from harness.model.vllm_server import NAME, VllmServer, interpreter
from harness.model.vllm_weights import as_vllm_reads
from harness.records import Answer, Bounds, Request

_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks that vLLM has room for."""
_LAST_WORDS = 5.0  # seconds that a server with a dead worker needs to end
_ENVIRONMENT = {
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
}


@dataclass(frozen=True)
class VllmOptions:
    """What ``--engine-set`` sets.

    Attributes:
        python: the interpreter that has vLLM; by default that in ``HARNESS_VLLM_PYTHON``.
        install: the package to make an environment with, once, where there is none, as in
            ``vllm==0.32.0``.
        tensor_parallel: GPUs that share the model.
        max_model_len: longest sequence in tokens; the model's own by default.
        gpu_memory: share of a GPU's memory that vLLM takes.
        arguments: further arguments of ``vllm serve``, as one would type them.
        at_once: most requests under way at the same time.
        start: seconds within which the server has to answer.
    """

    python: str = ""
    install: str = ""
    tensor_parallel: Annotated[int, Bounds(least=1, most=64)] = 1
    max_model_len: Annotated[int | None, Bounds(least=16)] = None
    gpu_memory: Annotated[float, Bounds(above=0, most=1)] = 0.9
    arguments: str = ""
    at_once: Annotated[int, Bounds(least=1, most=1024)] = 64
    start: Annotated[float, Bounds(above=0)] = 1800.0


class VllmEngine:
    """An :class:`harness.model.Engine` with a process of its own."""

    Options = VllmOptions

    def __init__(self, source: Source, options: VllmOptions) -> None:
        """Find the interpreter; nothing is started.

        Raises:
            UsageError: if there is no interpreter with vLLM.
        """
        self._source, self._options = source, options
        self._python, version = interpreter(options.python, options.install)
        self.identity = Identity("vllm", version, self._determining())
        self._server: VllmServer | None = None
        self._room = 0
        self._asked: dict[Path | None, Asking] = {}
        self._tokenizer: Any = None

    def refuses(self, request: Request) -> str | None:
        """VLLM processes images itself."""
        return unseen(request)

    def run(
        self, items: Sequence[EngineRequest], adapter: Path | None = None
    ) -> Iterator[tuple[int, Answer]]:
        """Ask the server, and start it again where it ended; see :class:`harness.model.Engine`.

        Raises:
            UsageError: if vLLM cannot apply the adapter.
            HarnessError: if the server does not start, or ends before it answers anything.
        """
        left = dict(enumerate(items))
        while True:
            many = len(left)
            asking = self._asking(adapter, items[0].rendered if items else "")
            places = list(left)
            tokens = {n: self._tokens(left[place]) for n, place in enumerate(places)}
            first = {n: [each[0] for each in every] for n, every in tokens.items() if every}
            failed: dict[int, Answer] = {}
            for n, answer in asking.each([left[place].request for place in places], first):
                if not (answer.error or "").startswith(FAILED):
                    answer = self._scored(left[places[n]], answer, tokens[n], asking)
                if (answer.error or "").startswith(FAILED):
                    failed[places[n]] = answer
                else:
                    del left[places[n]]
                    yield places[n], answer
            ended = self._server is None or self._server.ended(_LAST_WORDS if failed else 0.0)
            if not ended and asking.over is None:
                yield from failed.items()
                return
            told = self._server.failed() if self._server is not None else ""
            self.release()
            if not left:
                return
            if len(left) == many:
                raise HarnessError(
                    f"vLLM ended before it gave an answer: {told}. Run the same command again; "
                    "everything finished is reused. It may need less: --engine-set at_once=8, "
                    "--engine-set gpu_memory=0.8 or --engine-set max_model_len=4096."
                )
            progress.say(f"vllm: the server ended ({told}); it is started again")

    def at(self, source: Source) -> VllmEngine:
        """Return the engine for weights that were trained whole; one server runs at a time."""
        self.release()
        return VllmEngine(source, self._options)

    def release(self) -> None:
        """End the server; the next request starts it again."""
        for asking in self._asked.values():
            asking.close()
        self._asked.clear()
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    def _determining(self) -> dict[str, str]:
        """Return the settings that may change a rounding; defaults are left out."""
        options = self._options
        found = {"dtype": self._source.dtype}
        if options.tensor_parallel != 1:
            found["tensor_parallel"] = str(options.tensor_parallel)
        if options.max_model_len is not None:
            found["max_model_len"] = str(options.max_model_len)
        if options.arguments:
            found["arguments"] = " ".join(shlex.split(options.arguments))
        return found

    def _asking(self, adapter: Path | None, rendered: str) -> Asking:
        """Return a way to ask the model with this adapter, starting the server where needed.

        Args:
            adapter: to ask with.
            rendered: a prompt, which shows whether the chat template writes the first token.
        """
        room = _room_for(adapter) if adapter is not None else _RANKS[1]
        if self._server is not None and self._server.ended():
            progress.say(f"vllm: the server ended ({self._server.failed()}); it is started again")
            self.release()
        if self._server is None or room > self._room:
            self.release()
            self._room = max(room, self._room)
            self._server = VllmServer(self._command, self._environment(), self._options.start)
            self._server.on_death(partial(self._let_go, weakref.ref(self._server)))
        if adapter not in self._asked:
            server = self._server.server
            if adapter is not None:
                name = f"harness-{adapter_fingerprint(adapter)[:12]}"
                refused = load_adapter(server, name, adapter)
                if refused is not None:
                    raise UsageError(
                        f"vLLM does not load the adapter {adapter}: {refused}. Answer with "
                        "--engine own, or train an adapter of the language model alone."
                    )
                server = type(server)(name, server.address)
            first = special_tokens(self._source.path).get("bos_token")
            special = not (first and rendered.startswith(str(first)))
            self._asked[adapter] = Asking(
                server,
                at_once=self._options.at_once,
                extra={"add_special_tokens": special},
                thought=0,  # as own: what thinks past the limit is cut
            )
        return self._asked[adapter]

    def _let_go(self, gone: Callable[[], VllmServer | None]) -> None:
        """End what waits for a server that is gone."""
        if self._server is None or self._server is not gone():
            return
        for asking in list(self._asked.values()):
            asking.stop()

    def _command(self, place: Path) -> list[str]:
        renamed = place / "weights"
        renamed.mkdir()
        options, folder = self._options, as_vllm_reads(self._source.path, renamed)
        found = [self._python, "-m", "vllm.entrypoints.openai.api_server"]
        found += ["--model", str(folder), "--served-model-name", NAME]
        found += ["--dtype", self._source.dtype, "--seed", "0", "--enable-prefix-caching"]
        found += ["--enable-lora", "--max-lora-rank", str(self._room), "--max-loras", "1"]
        found += ["--generation-config", "vllm"]  # what a request does not say is left alone
        penalty = _penalty(self._source.path)
        if penalty != 1.0:
            changed = json.dumps({"repetition_penalty": penalty})
            found += ["--override-generation-config", changed]
        found += ["--tensor-parallel-size", str(options.tensor_parallel)]
        if options.max_model_len is not None:
            found += ["--max-model-len", str(options.max_model_len)]
        if self._source.device != "cpu":
            found += ["--gpu-memory-utilization", str(options.gpu_memory)]
        return [*found, *shlex.split(options.arguments)]

    def _environment(self) -> Mapping[str, str]:
        device = self._source.device
        number = device.removeprefix("cuda:")
        one = self._options.tensor_parallel == 1 and number.isdigit()
        return _ENVIRONMENT | ({"CUDA_VISIBLE_DEVICES": number} if one else {})

    def _tokens(self, item: EngineRequest) -> list[list[int]]:
        if not item.request.choices:
            return []
        if self._tokenizer is None:
            from transformers import AutoTokenizer

            self._tokenizer = AutoTokenizer.from_pretrained(
                self._source.path, local_files_only=True
            )
        before = self._tokenizer.encode(item.rendered[-200:], add_special_tokens=False)
        return [choice_tokens(self._tokenizer, before, each) for each in item.request.choices]

    def _scored(
        self, item: EngineRequest, answer: Answer, tokens: list[list[int]], asking: Asking
    ) -> Answer:
        """Add the log-probabilities of further tokens to those of each choice's first."""
        if not answer.choices or all(len(each) == 1 for each in tokens):
            return answer
        found: list[float] = []
        try:
            for value, ids in zip(answer.choices, tokens, strict=True):
                rest = [self._next(item, ids, at, asking) for at in range(1, len(ids))]
                known = [each for each in rest if each is not None]
                if len(known) == len(rest):
                    found.append(value + sum(known))
        except HarnessError as error:
            return replace(answer, text=None, error=f"{FAILED}: {error}")
        return replace(answer, choices=tuple(found) if len(found) == len(tokens) else ())

    def _next(self, item: EngineRequest, ids: list[int], at: int, asking: Asking) -> float | None:
        """Return the log-probability of one token of a choice, after those before it.

        They are said for the assistant as text; where that text has other tokens, nothing is
        known.
        """
        text = self._tokenizer.decode(ids[:at]).removeprefix(" ")
        said = {"role": "assistant", "content": [{"type": "text", "text": text}]}
        asked = {
            "model": asking.server.model,
            "messages": [{"role": "user", "content": turn_of(item.request)}, said],
            "add_generation_prompt": False,
            "continue_final_message": True,
            **asking.extra,
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": True,
            "logprob_token_ids": [ids[at]],
            "return_tokens_as_token_ids": True,
            "return_token_ids": True,
        }
        status, body = call(asking.server, "chat/completions", asked)
        if status != 200 or not isinstance(body, dict):
            return None
        if list(body.get("prompt_token_ids") or ())[-at:] != ids[:at]:
            return None
        reply = read_reply(json.dumps(body).encode())
        return reply.first.get(f"token_id:{ids[at]}")


def _room_for(adapter: Path) -> int:
    """Return the least rank vLLM has room for that takes an adapter.

    Raises:
        UsageError: if there is none.
    """
    config = read_json(adapter / "adapter_config.json")
    ranks = [config.get("r", 0), *dict(config.get("rank_pattern") or {}).values()]
    rank = max(int(each) for each in ranks)
    room = next((each for each in _RANKS if each >= rank), None)
    if room is None or config.get("use_dora") or config.get("modules_to_save"):
        raise UsageError(
            f"vLLM cannot apply the adapter {adapter}: it takes plain LoRA of rank "
            f"{_RANKS[-1]} or less, without DoRA and modules_to_save, and this one has rank {rank}."
            " Answer with --engine own, or set lora_rank with --set."
        )
    return max(room, _RANKS[1])


def _penalty(folder: Path) -> float:
    file = folder / "generation_config.json"
    found = read_json(file).get("repetition_penalty") if file.is_file() else None
    return float(found) if isinstance(found, int | float) else 1.0
