"""kill -9 at moments spread over the whole run, again and again, and the numbers stay the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.journals import assert_same_rows

WORDS = ["run", "--method", "seva", "--bench", "mmvet,pope", "--limit", "36", "--max-prompts", "24"]
WORDS += ["--set", "max_new_tokens=24", "--set", "batch_size=4", "--set", "save_steps=2", "--quiet"]
PATIENCE = 300


def start(out: Path) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "harness", *WORDS, "--out", str(out)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill_when(out: Path, moment: Callable[[Path], bool]) -> str:
    """Start the run and kill it at the moment; say whether it was still alive then."""
    process = start(out)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        folders = [path for path in out.glob("seva-*") if path.is_dir()]
        if folders and moment(folders[0]):
            process.send_signal(signal.SIGKILL)
            process.wait()
            return "killed" if process.returncode == -signal.SIGKILL else "too late"
        if process.poll() is not None:
            return f"ended by itself with {process.returncode}: {process.stderr.read()}"
        time.sleep(0.005)
    process.kill()
    return "never came to that moment"


def lines(name: str, count: int) -> Callable[[Path], bool]:
    """The moment when a journal has that many lines."""

    def reached(folder: Path) -> bool:
        path = folder / name
        return path.exists() and path.read_bytes().count(b"\n") >= count

    return reached


def training(folder: Path) -> bool:
    """The moment when the trainer has left its first resumable checkpoint."""
    return any((folder / "checkpoint").rglob("*.safetensors"))


MOMENTS = {
    "before, first benchmark": lines("before/mmvet.jsonl", 1),
    "before, second benchmark, in a resume": lines("before/pope.jsonl", 33),
    "pairs begun": lines("pairs.jsonl", 1),
    "pairs, in a resume": lines("pairs.jsonl", 17),
    "training": training,
    "after, first benchmark": lines("after/mmvet.jsonl", 1),
    "after, in a resume": lines("after/pope.jsonl", 33),
}


@pytest.mark.slow
def test_a_run_killed_again_and_again_comes_to_the_same_comparison(tmp_path):
    whole = start(tmp_path / "whole")
    assert whole.wait(timeout=2 * PATIENCE) == 0, whole.stderr.read()
    for name, moment in MOMENTS.items():
        assert kill_when(tmp_path / "torn", moment) == "killed", name
    last = start(tmp_path / "torn")
    assert last.wait(timeout=2 * PATIENCE) == 0, last.stderr.read()

    (expected,) = (tmp_path / "whole").glob("seva-*")
    (resumed,) = (tmp_path / "torn").glob("seva-*")
    assert expected.name == resumed.name
    for name in ("pairs.jsonl", "before/pope.jsonl", "after/pope.jsonl", "after/mmvet.jsonl"):
        assert_same_rows(expected / name, resumed / name)
    first, second = (
        json.loads((folder / "comparison.json").read_text()) for folder in (expected, resumed)
    )
    first.pop("clock", None)
    second.pop("clock", None)
    assert first == second
