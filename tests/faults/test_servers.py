"""The command line against the worst servers: how much memory, and how soon it ends.

Each command is a process of its own; the peak is that of the whole process, libraries included.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nasty_server import Nasty, misbehaving

MOST_MEMORY = 3 << 30
MOST_SECONDS = 3.0
SECRET = "sk-proj-Qx9zK4mB2vW8nL5tR7yU1"

_PEAK = """
import json, resource, sys
from harness.cli import main
try:
    main()
finally:
    print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def nasty() -> Iterator[Nasty]:
    with misbehaving() as found:
        yield found


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> Path:
    """A folder of ``harness eval`` whose answers judges can mark."""
    out = tmp_path_factory.mktemp("measured")
    done = start("eval", "--bench", "mmvet", "--limit", "40", "--out", out, "--quiet")
    assert done.wait(300) == 0
    return next(out.glob("eval-*"))


def start(*words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _PEAK, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OPENAI_API_KEY": SECRET},
        start_new_session=True,
    )


def command(role: str, name: str, nasty: Nasty, measured: Path, out: Path) -> list[object]:
    word = nasty.model(name)
    if role == "judge":
        return ["judge", measured, "--judge", word, "--quiet"]
    return ["eval", "--bench", "mmvet", "--limit", "40", "--model", word, "--out", out, "--quiet"]


@pytest.mark.slow
@pytest.mark.parametrize("role", ["model", "judge"])
@pytest.mark.parametrize("name", ["big", "gzip", "endless", "many", "deep"])
def test_peak_memory_with_the_worst_servers(nasty, measured, tmp_path, role, name):
    done = start(*command(role, name, nasty, measured, tmp_path))
    try:
        _, told = done.communicate(timeout=300)
    finally:
        done.kill()
    peak = 1024 * int(told.rsplit("peak ", 1)[1].split()[0])
    print(f"{role} {name}: {peak / 2**30:.2f} GB, exit code {done.returncode}")  # noqa: T201
    assert done.returncode in (1, 3)
    assert "Traceback" not in told
    assert peak < MOST_MEMORY


@pytest.mark.slow
@pytest.mark.parametrize("role", ["model", "judge"])
@pytest.mark.parametrize("name", ["hang", "drip"])
def test_ctrl_c_ends_it_in_three_seconds(nasty, measured, tmp_path, role, name):
    asked = f"{name} {role}"
    process = start(*command(role, asked, nasty, measured, tmp_path))
    end = time.monotonic() + 120
    while not nasty.seen()["count"].get(asked):
        assert time.monotonic() < end
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    time.sleep(1.0)  # all that go at once are under way
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    try:
        _, told = process.communicate(timeout=60)
    finally:
        process.kill()
    seconds = time.monotonic() - begin
    print(f"{role} {name}: ended {seconds:.2f} s after Ctrl-C")  # noqa: T201
    assert process.returncode == 130
    assert "Interrupted" in told
    assert seconds < MOST_SECONDS


@pytest.mark.slow
def test_a_key_that_a_server_sends_back_is_in_no_file_and_no_line(nasty, measured, tmp_path):
    for role in ("model", "judge"):
        process = start(*command(role, f"echo {role}", nasty, measured, tmp_path))
        said = "".join(process.communicate(timeout=300))
        assert nasty.seen()["count"][f"echo {role}"]
        for folder in (tmp_path, measured.parent):
            said += "".join(
                path.read_bytes().decode("latin-1") for path in folder.rglob("*") if path.is_file()
            )
        assert [
            SECRET[i : i + 8] for i in range(len(SECRET) - 7) if SECRET[i : i + 8] in said
        ] == []
