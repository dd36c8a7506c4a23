"""A chat server that keeps its first callers waiting: what asks it is under way until it is told.

For tests that kill a job in the middle of its work and let the next attempt finish.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Held:
    """The address, and how to go on.

    Attributes:
        address: to give as ``openai:MODEL@ADDRESS``.
        asked: counts the questions that have come.
        answering: set it, and those that wait, and all that come later, are answered.
    """

    address: str
    asked: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    answering: threading.Event = field(default_factory=threading.Event)

    def wait(self, seconds: float = 120) -> None:
        """Wait until one more question has come."""
        assert self.asked.acquire(timeout=seconds), "nothing was asked"


@contextmanager
def held_server() -> Iterator[Held]:
    """Serve for as long as the test needs it."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *unused: object) -> None:
            pass

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            held.asked.release()
            held.answering.wait(180)
            choice = {"index": 0, "finish_reason": "stop"}
            choice["message"] = {"role": "assistant", "content": "Yes"}
            body = json.dumps({"model": "m", "choices": [choice]}).encode()
            try:
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except OSError:
                pass  # whoever asked was killed

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    held = Held(f"http://127.0.0.1:{server.server_address[1]}/v1")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield held
    finally:
        held.answering.set()
        server.shutdown()
        server.server_close()
