"""A real ``transformers serve`` process for as long as a test needs it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def serving(model: Path, log: Path, *, patience: float = 400.0) -> Iterator[str]:
    """Serve a model in float32 on the CPU and lend the server's address.

    A server that does not start fails the test: it is part of what is tested.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(model)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    command += ["--dtype", "float32"]
    with log.open("w") as written:
        process = subprocess.Popen(
            command, stdout=written, stderr=written, env={**os.environ, "HF_HUB_OFFLINE": "1"}
        )
        try:
            deadline = time.monotonic() + patience
            while not _answers(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail("transformers serve does not start: " + log.read_text()[-300:])
                time.sleep(1)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            process.wait(30)


def _answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
    except (OSError, urllib.error.URLError):
        return False
    return True
