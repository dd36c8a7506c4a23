"""The server client against a small real HTTP server, and against ``transformers serve``."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness_tinyworld import DEMO
from PIL import Image

from harness.errors import UsageError
from harness.model import Model, open_checkpoint, open_model
from harness.model.server import ServerModel
from harness.pairs import read_prompts
from harness.records import Request
from harness.storage import Store
from tests.support.serving import serving


def picture(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (28, 28, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


class Server:
    """Answers chat requests with the text in capitals; fails as told by the text."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.failures: dict[str, int] = {}
        self.together = self.most = 0
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                text = body["messages"][0]["content"][-1]["text"]
                with outer.lock:
                    outer.seen.append(body)
                    outer.together += 1
                    outer.most = max(outer.most, outer.together)
                    tries = outer.failures[text] = outer.failures.get(text, 0) + 1
                time.sleep(0.02)
                status = 200
                if text.startswith("busy") and tries < 3:
                    status = 429 if tries == 1 else 503
                if text.startswith("wrong"):
                    status = 400
                if text.startswith("down"):
                    status = 500
                reply = {
                    "id": "1",
                    "object": "chat.completion",
                    "created": 1,
                    "model": "m",
                    "choices": [
                        {
                            "index": 0,
                            "finish_reason": "stop",
                            "message": {"role": "assistant", "content": " " + text.upper() + " "},
                        }
                    ],
                    "usage": {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4},
                }
                data = json.dumps(reply if status == 200 else {"error": "no"}).encode()
                with outer.lock:
                    outer.together -= 1
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *unused: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.source = f"openai:http://127.0.0.1:{self.http.server_port}/v1#tiny"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.http.shutdown()
    running.http.server_close()


def test_many_requests_go_at_once_and_come_back_in_order(server: Server) -> None:
    model = ServerModel(server.source, pause=0.01)
    asked = [Request(f"q{number}", (picture(number),)) for number in range(40)]
    answers = list(model.answer(asked))
    assert [answer.text for answer in answers] == [f"Q{number}" for number in range(40)]
    assert server.most > 4
    assert {answer.tokens for answer in answers} == {3}
    model.release()


def test_what_is_sent_is_what_was_asked(server: Server) -> None:
    model = open_model(server.source)
    image = picture(1)
    list(model.answer([Request("a", (image,), 9, 0.7, 0.8, 5, ("x",)), Request("b")]))
    first, second = sorted(server.seen, key=lambda body: body["messages"][0]["content"][-1]["text"])
    assert (first["temperature"], first["top_p"], first["seed"]) == (0.7, 0.8, 5)
    assert (first["max_tokens"], first["stop"], first["model"]) == (9, ["x"], "tiny")
    url = first["messages"][0]["content"][0]["image_url"]["url"]
    with urllib.request.urlopen(url) as data:
        assert np.array_equal(np.asarray(Image.open(data)), np.asarray(image))
    assert second["temperature"] == 0
    assert "seed" not in second


def test_busy_servers_are_asked_again_and_failures_are_missing(
    server: Server, tmp_path: Path
) -> None:
    model = ServerModel(server.source, store=Store(tmp_path / "store"), pause=0.01)
    asked = [Request(text) for text in ("busy", "wrong", "down", "fine")]
    answers = list(model.answer(asked))
    assert [answer.text for answer in answers] == ["BUSY", None, None, "FINE"]
    assert {answer.finish for answer in answers[1:3]} == {"missing"}
    assert "400" in (answers[1].error or "")
    assert server.failures == {"busy": 3, "wrong": 1, "down": 6, "fine": 1}
    list(model.answer(asked))
    assert server.failures["fine"] == 1
    assert server.failures["wrong"] == 2


def test_what_a_server_cannot_do_is_said(server: Server) -> None:
    def view(pixels: Any) -> Any:
        return pixels

    model = ServerModel(server.source)
    answers = list(model.answer([Request("a", view=view), Request("b", choices=("Yes",))]))
    assert "local model" in (answers[0].error or "")
    assert (answers[1].text, answers[1].choices) == ("B", ())
    assert len(server.seen) == 1
    with pytest.raises(UsageError, match="Write --model openai:MODEL@http://localhost"):
        open_model("openai:localhost")
    with pytest.raises(UsageError, match="cannot be trained"):
        open_checkpoint(server.source)
    with pytest.raises(UsageError, match="takes no adapter from here"):
        open_model(server.source, adapter=Path("somewhere"))


def test_a_server_that_is_not_there_gives_missing_answers() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    model = ServerModel(f"openai:http://127.0.0.1:{port}/v1#m", pause=0.001)
    answer = next(model.answer([Request("a")]))
    assert answer.text is None
    assert "APIConnectionError" in (answer.error or "")


@pytest.mark.slow
def test_transformers_serve_gives_the_in_process_answers(tmp_path: Path) -> None:
    prompts = read_prompts(DEMO.prompts, 12)
    asked = [Request(prompt.question, (prompt.open_image(),), 32) for prompt in prompts]
    with serving(DEMO.model, tmp_path / "serve.log") as address:
        theirs = list(open_model(f"openai:{address}#{DEMO.model}").answer(asked))
    ours = list(Model.open(DEMO.model, device="cpu").answer(asked))
    assert [answer.error for answer in theirs] == [None] * len(asked)
    assert len({answer.text for answer in ours}) > 6
    assert [answer.text for answer in theirs] == [answer.text for answer in ours]
