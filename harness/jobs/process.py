"""A job as a process of this machine: every executor runs its jobs through here."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from harness.errors import UsageError, brief, pip, plain
from harness.jobs.model import Job
from harness.model import CHILD

_GRACE = 10.0  # seconds in which an interrupted process may end by itself
_POLL = 0.05
_TAIL = 8192  # bytes of a log in which a job's last sentence is looked for


def begin(job: Job, cwd: Path, extra: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a job; the process ends when this one does, however this one ends.

    Args:
        job: what to run.
        cwd: the folder that relative paths of its command are meant in.
        extra: more variables of its environment.

    Raises:
        OSError: if the log cannot be written or the process not be started.
    """
    log = cwd / job.log
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as written:
        written.write(f"$ harness {shlex.join(job.command)}\n")
        written.flush()
        return subprocess.Popen(
            [sys.executable, "-m", "harness", *job.command],
            cwd=cwd,
            env={**os.environ, **(extra or {}), CHILD: "1"},
            stdin=subprocess.PIPE,  # says nothing; that it closes tells that this process is gone
            stdout=written,
            stderr=written,
            start_new_session=True,  # Ctrl-C is for this process, which passes it on once
        )


def run_here(job: Job, cwd: Path) -> int:
    """Run a job to its end and return its exit code; called on the node that a scheduler chose."""
    process = begin(job, cwd)
    try:
        return exit_code(process.wait())
    finally:
        end([process])


def end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Interrupt processes and what they started, and kill what is not gone soon after.

    May be called where a signal has interrupted ``wait`` of one of them, which holds its lock.
    """
    alive = [process for process in processes if _alive(process)]
    _signal(alive, signal.SIGINT)
    deadline = time.monotonic() + _GRACE
    while time.monotonic() < deadline and any(map(_alive, alive)):
        time.sleep(_POLL)
    _signal(alive, signal.SIGKILL)
    while any(map(_alive, alive)):
        time.sleep(_POLL)
    for process in alive:
        process.poll()


def _alive(process: subprocess.Popen[bytes]) -> bool:
    if process.returncode is not None:
        return False
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None
    except ChildProcessError:  # somebody has asked for its exit code since
        return False


def _signal(processes: Sequence[subprocess.Popen[bytes]], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)


def exit_code(returned: int) -> int:
    """Return a shell's exit code for what ``Popen`` returned."""
    return 128 - returned if returned < 0 else returned


def last_words(log: Path) -> str:
    """Return the last thing that a job said: its error in full, or else the last line."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(file.tell() - _TAIL, 0))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("$ ")]
    errors = [place for place, line in enumerate(lines) if line.startswith("Error: ")]
    said = lines[errors[-1] :] if errors else lines[-1:]
    return brief(plain(" ".join(said)).removeprefix("Error: "), 1000)


def require(executor: str, library: str) -> None:
    """Refuse an executor whose library is not installed.

    Raises:
        UsageError: says what to install.
    """
    if find_spec(library) is None:
        raise UsageError(
            f"The executor '{executor}' needs the library {library}, which is not installed. Run: "
            f"{pip('install')} 'vlm-harness[{executor}]'"
        )
