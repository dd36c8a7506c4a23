"""An OpenAI-compatible server with real weights behind it, in a thread.

Answers are those of the engine ``own`` on one checkpoint, named ``base``; adapters have the names
that they are given, or are loaded over HTTP, as vLLM does. Log-probabilities of the first token
are real too. With ``left`` it is gone after so many answers, in the middle of a reply.
"""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from PIL import Image

from harness.model import Model
from harness.records import Request
from tests.support.servers import Listening

WORDS = ("Yes", "No", "A", "B", "C", "D")


class Served:
    """One checkpoint and its adapters; asked by one thread at a time."""

    def __init__(self, folder: Path, dynamic: bool, left: int) -> None:
        self.base = Model.open(folder)
        self.models: dict[str, Model] = {"base": self.base}
        self.dynamic, self.left, self.end = dynamic, left, lambda: None
        self.lock = threading.Lock()

    def add(self, name: str, path: Path) -> None:
        self.models[name] = self.base.with_adapter(path)

    def chat(self, body: dict[str, Any]) -> dict[str, Any]:
        *images, text = body["messages"][0]["content"]
        shown = tuple(map(_image, images))
        choices = WORDS if body.get("logprobs") else ()
        limit = int(body.get("max_tokens", 16))
        request = Request(
            text["text"],
            shown,
            max_new_tokens=limit,
            temperature=float(body.get("temperature", 0)),
            top_p=float(body.get("top_p", 1)),
            seed=int(body.get("seed", 0)),
            stop=tuple(body.get("stop", ())),
            choices=choices,
        )
        with self.lock:
            if self.left == 0:
                self.end()
                raise ConnectionAbortedError
            self.left -= 1
            (answer,) = self.models[body["model"]].answer([request])
        top = [
            {"token": word, "logprob": value}
            for word, value in zip(choices, answer.choices, strict=True)
        ]
        return {
            "model": body["model"],
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "length" if answer.finish == "length" else "stop",
                    "message": {"role": "assistant", "content": answer.text},
                    "logprobs": {"content": [{**top[0], "top_logprobs": top}]} if top else None,
                }
            ],
            "usage": {"prompt_tokens": 1, "completion_tokens": answer.tokens},
        }


def _image(part: dict[str, Any]) -> Image.Image:
    data = part["image_url"]["url"].partition(",")[2]
    return Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")


def handler_of(served: Served) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *unused: object) -> None:
            pass

        def do_GET(self) -> None:
            if self.path == "/v1/models":
                self.tell(200, {"data": [{"id": name} for name in served.models]})
            else:
                self.tell(404, {"error": {"message": "nothing there"}})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/v1/chat/completions" and body["model"] in served.models:
                try:
                    self.tell(200, served.chat(body))
                except ConnectionAbortedError:
                    self.close_connection = True
            elif self.path == "/v1/load_lora_adapter" and served.dynamic:
                served.add(body["lora_name"], Path(body["lora_path"]))
                self.tell(200, "Success")
            else:
                self.tell(404, {"error": {"message": "Not Found"}})

        def tell(self, status: int, content: Any) -> None:
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler


@contextmanager
def serving_model(
    folder: Path, *, dynamic: bool = False, left: int = -1, **adapters: Path
) -> Iterator[str]:
    """Serve a checkpoint and lend the address up to ``/v1``."""
    served = Served(folder, dynamic, left)
    for name, path in adapters.items():
        served.add(name.replace("_", "-"), path)
    http = Listening(("127.0.0.1", 0), handler_of(served))
    served.end = http.server_close
    threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{http.server_port}/v1"
    finally:
        http.shutdown()
        http.server_close()
