"""A chat server that misbehaves: the model's name says how. Run as a process of its own.

It prints its port; ``GET /`` tells how often each model was asked, and of whom redirects came.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import threading
import time
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.servers import serve, started

COUNT: dict[str, int] = {}
BODIES: dict[str, list[dict[str, Any]]] = {}
LOCK = threading.Lock()
_BLANK = b" " * (1 << 20)
BOMBS = {  # 64 MB in 64 KB
    "gzip": gzip.compress(_BLANK * 64),
    "deflate": zlib.compress(_BLANK * 64),
}
TOP = {"Yes": -0.1, "No": -2.5, " A": -3.0, "B": -4.0}


def chat(text: str | None, finish: str = "stop", *, model: str = "m", **message: Any) -> dict:
    said = {"role": "assistant", "content": text, **message}
    return {
        "model": model,
        "choices": [{"index": 0, "finish_reason": finish, "message": said}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *unused: object) -> None:
        pass

    def do_GET(self) -> None:
        with LOCK:
            self.json(200, {"count": COUNT, "bodies": BODIES})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        model = str(body["model"])
        with LOCK:
            COUNT[model] = COUNT.get(model, 0) + 1
            BODIES.setdefault(model, []).append({k: v for k, v in body.items() if k != "messages"})
            tries = COUNT[model]
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.misbehave(model, body, tries)

    def raw(self, status: int, data: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def json(self, status: int, body: Any, **headers: str) -> None:
        self.raw(status, json.dumps(body).encode(), Content_Type="application/json", **headers)

    def refuse(self, message: str, status: int = 400, **more: Any) -> None:
        self.json(status, {"error": {"message": message, **more}})

    def misbehave(self, model: str, body: dict[str, Any], tries: int) -> None:
        key = self.headers.get("Authorization", "").removeprefix("Bearer ")
        limit = body.get("max_tokens") or body.get("max_completion_tokens") or 0
        name = model.partition(" ")[0]
        if name in ("drip", "header", "endless", "big", "gzip", "deflate", "hang", "brotli"):
            self.heavy(name)
        elif name == "redirect":
            self.raw(307, b"", Location=f"http://127.0.0.1:{self.server.server_port}/v2/elsewhere")
        elif name == "accents":
            self.json(200, chat("Yes"), X_Provider="Caf\xe9")
        elif name == "html":
            self.raw(200, b"<html>login</html>", Content_Type="text/html")
        elif name == "deep":
            self.raw(200, b"[" * 3_000_000)
        elif name == "many":
            self.raw(200, b'{"choices": [' + b"[]," * 1_300_000 + b"[]]}")
        elif name == "odd":
            odd = [5, None, [], {}, "x", [{}], [{"message": 5}], [{"message": {"content": {}}}]]
            self.json(200, {"choices": odd[tries % len(odd)], "usage": [1], "model": {"a": 1}})
        elif name == "err200":
            self.json(200, {"error": {"message": "Provider returned error", "code": 502}})
        elif name == "echo":
            self.json(200, chat(f"Yes, {key} and {key[4:20]}", model=f"m-{key}"))
        elif name == "echo400":
            self.refuse(f"you sent {key} as %73{key[1:]}")
        elif name == "quota":
            self.refuse("You exceeded your current quota", 429, code="insufficient_quota")
        elif name in ("401", "402", "403", "404", "500"):
            self.refuse("no", int(name))
        elif name == "o1":
            for param in ("max_tokens", "temperature", "top_p", "logprobs", "stop"):
                if param in body:
                    text = f"Unsupported parameter: '{param}' is not supported with this model."
                    return self.refuse(text, param=param, code="unsupported_parameter")
            self.json(200, chat("Yes" if limit > 1000 else ""))
        elif name == "strict":  # names what it does not know in the text alone
            extra = body.keys() - {"model", "messages", "max_tokens", "temperature"}
            if extra:
                text = f"Unexpected fields in the request: {extra}"
                return self.json(422, {"detail": text})
            self.json(200, chat("Yes"))
        elif name == "toolong":
            text = "max_tokens is too large: 99. This model supports at most 9 completion tokens"
            self.refuse(text, param="max_tokens")
        elif name == "logprobs":
            top = [{"token": token, "logprob": value} for token, value in TOP.items()]
            reply = chat("Yes")
            if body.get("top_logprobs", 0) > 5:
                return self.refuse("top_logprobs must be at most 5", param="top_logprobs")
            if body.get("logprobs"):
                reply["choices"][0]["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
            self.json(200, reply)
        elif name == "nologprobs":
            if "logprobs" in body:
                return self.refuse("You are not allowed to request logprobs from this model.", 403)
            self.json(200, chat("Yes"))
        elif name == "think":
            self.json(200, chat("<think>\nNo? No, wait.\n</think>\n\nYes"))
        elif name == "thinkcut":
            self.json(200, chat("", "length", reasoning_content="Let me look ..."))
        elif name == "nullcut":
            self.json(200, chat(None, "length"))
        elif name == "reason":  # thinks first, and takes max_tokens for both
            if limit < 1000:
                return self.json(200, chat(None, "length", reasoning_content="hmm " * 30))
            self.json(200, chat("1.0", reasoning_content="hmm " * 300))
        elif name == "wait":
            if tries == 1:
                return self.json(429, {"error": "slow down"}, **self.waiting(model))
            self.json(200, chat("Yes"))
        else:
            self.json(200, chat("Yes"))

    def waiting(self, model: str) -> dict[str, str]:
        how = model.partition(" ")[2]
        return {
            "seconds": {"Retry_After": "1"},
            "date": {"Retry_After": formatdate(time.time() + 2, usegmt=True)},
            "ms": {"retry_after_ms": "1000"},
            "reset": {"x_ratelimit_remaining_tokens": "0", "x_ratelimit_reset_tokens": "1s"},
            "hour": {"Retry_After": "3600"},
        }[how]

    def heavy(self, name: str) -> None:
        if name == "hang":
            time.sleep(900)
        elif name == "header":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            for number in range(900):
                self.wfile.write(f"X-{number}: 1\r\n".encode())
                time.sleep(0.2)
        elif name == "drip":
            self.send_response(200)
            self.send_header("Content-Length", "900")
            self.end_headers()
            for _ in range(900):
                self.wfile.write(b" ")
                time.sleep(0.2)
        elif name == "endless":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            while True:
                self.wfile.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        elif name == "big":
            self.send_response(200)
            self.send_header("Content-Length", str(100 << 20))
            self.end_headers()
            for _ in range(100):
                self.wfile.write(b" " * (1 << 20))
        elif name == "brotli":
            self.raw(200, b"\x0b\x02\x80", Content_Encoding="br")
        else:
            self.raw(200, BOMBS[name], Content_Encoding=name)


class Nasty:
    """The server from outside."""

    def __init__(self, base: str) -> None:
        self.base = base

    def model(self, name: str) -> str:
        return f"openai:{name}@{self.base}/v1"

    def seen(self) -> dict[str, Any]:
        with urllib.request.urlopen(self.base, timeout=10) as found:
            return json.load(found)


@contextmanager
def misbehaving() -> Iterator[Nasty]:
    """Start the server in a process of its own."""
    with started(__name__) as base:
        yield Nasty(base)


if __name__ == "__main__":
    serve(Handler)
