"""``--nproc 2``: the result of one process, and a process that dies costs nothing but time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.support.journals import assert_same_rows

ASKED = ["--method", "seva", "--bench", "mmvet,pope", "--limit", "36", "--max-prompts", "24"]


def start(out: Path, *more: str, **extra: bool) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "harness", "run", *ASKED, "--out", str(out), *more]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        **extra,
    )


def file_of(out: Path, name: str) -> Path:
    (file,) = out.glob(f"seva-*/{name}")
    return file


def rows(out: Path, name: str) -> list[str]:
    return file_of(out, name).read_text().splitlines()


def worker_of(process: subprocess.Popen[str]) -> psutil.Process:
    """Wait for the process with number 1."""
    for _ in range(1000):
        for child in psutil.Process(process.pid).children():
            try:
                if child.environ().get("RANK") == "1":
                    return child
            except psutil.Error:
                pass
        time.sleep(0.02)
    raise AssertionError("no second process was started")


@pytest.mark.slow
def test_a_worker_dies_the_next_call_goes_on_and_all_is_as_with_one(tmp_path):
    alone = start(tmp_path / "one")
    assert alone.wait(500) == 0, alone.communicate()[1]

    process = start(tmp_path / "two", "--nproc", "2")
    worker = worker_of(process)
    journals = tmp_path / "two"
    for _ in range(6000):  # the first answers are on disk
        if list(journals.glob("seva-*/before/mmvet.jsonl")):
            break
        time.sleep(0.02)
    worker.kill()
    out, error = process.communicate(timeout=500)
    assert process.returncode == 1
    assert out == ""
    assert "run the same command again; finished answers are reused" in " ".join(error.split())
    assert "Traceback" not in error

    again = start(tmp_path / "two", "--nproc", "2", "--json")
    out, error = again.communicate(timeout=500)
    assert again.returncode == 0, error
    last = json.loads(out.splitlines()[-1])
    assert last["event"] == "done"
    for name in ("pairs.jsonl", "before/mmvet.jsonl", "before/pope.jsonl"):
        assert_same_rows(*(file_of(tmp_path / run, name) for run in ("one", "two")))
    steps = [len(rows(tmp_path / run, "checkpoint/curves.jsonl")) for run in ("one", "two")]
    assert steps[0] == steps[1] > 0


@pytest.mark.slow
def test_the_processes_end_with_the_one_that_started_them(tmp_path):
    process = start(tmp_path, "--nproc", "2")
    worker = worker_of(process)
    family = [worker, *(p for p in psutil.Process(process.pid).children() if p != worker)]
    time.sleep(1)
    process.kill()
    _, alive = psutil.wait_procs(family, timeout=60)
    assert not alive
    process.communicate()


@pytest.mark.slow
def test_a_users_mistake_is_said_once(tmp_path):
    process = start(tmp_path, "--nproc", "2", "--set", "nosie_step=1")
    out, error = process.communicate(timeout=200)
    assert process.returncode == 2
    assert out == ""
    assert error.count("Error:") == 1


@pytest.mark.slow
def test_processes_that_served_one_seed_serve_the_next(tmp_path):
    process = start(tmp_path, "--nproc", "2", "--seeds", "2", "--json")
    out, error = process.communicate(timeout=500)
    assert process.returncode == 0, error
    done = json.loads(out.splitlines()[-1])
    assert done["folder"].endswith("-seeds2")
    assert not done["reused"]


@pytest.mark.slow
def test_an_interrupt_is_said_once(tmp_path):
    process = start(tmp_path, "--nproc", "2", start_new_session=True)
    worker_of(process)
    for _ in range(6000):  # the processes are at work together
        if list(tmp_path.glob("seva-*/before/mmvet.jsonl")):
            break
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    out, error = process.communicate(timeout=200)
    assert process.returncode == 130
    assert out == ""
    assert error.count("Interrupted.") == 1
    assert "Traceback" not in error
