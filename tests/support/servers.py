"""Servers that tests run in a process of their own: how one starts, says its port, and ends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Listening(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


def serve(handler: type[BaseHTTPRequestHandler]) -> None:
    """Print a free port, then serve there until the process ends."""
    http = Listening(("127.0.0.1", 0), handler)
    print(http.server_port, flush=True)  # noqa: T201
    http.serve_forever()


@contextmanager
def started(module: str) -> Iterator[str]:
    """Run a module that calls :func:`serve` as a process, and lend its address."""
    command, root = [sys.executable, "-m", module], Path(__file__).resolve().parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()
