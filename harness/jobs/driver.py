"""The process that drives a sweep: one at a time, and what it writes down of its jobs."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from harness import progress
from harness.errors import ExitCode, HarnessError
from harness.jobs.local import LocalExecutor
from harness.jobs.model import Ended, Executor
from harness.jobs.sweep import Sweep
from harness.records import from_json, to_json
from harness.stages import part_folders
from harness.storage import InUseError, Journal, journal_of, locked, read_json, spread, write_json

DRIVER, ENDED, SWEEP = "driver.json", "ended.jsonl", "sweep.json"
_BEAT, _SILENCE = 5.0, 15.0  # seconds
_PATIENCE = 30.0  # seconds in which jobs of a driver that was killed notice it
_SEVERITY = (ExitCode.DONE, ExitCode.UNSCORED, ExitCode.REGRESSION, ExitCode.USAGE)


@dataclass(frozen=True)
class Driver:
    """The process that drives a sweep since ``began`` (seconds since the epoch)."""

    host: str
    pid: int
    began: float
    left: int


@dataclass(frozen=True)
class Record:
    """How a job ended, ``at`` so many seconds since the epoch; see :class:`harness.jobs.Ended`."""

    name: str
    code: int | None
    reason: str
    at: float


def drive(sweep: Sweep, executor: Executor) -> ExitCode:
    """Do the jobs that are left, and write down how each ended.

    Returns:
        The worst exit code of all of them.

    Raises:
        HarnessError: if another driver is at work on the sweep, or its folder cannot be written.
    """
    left = sweep.left
    with _alone(sweep.out, len(left)):
        write_json(sweep.out / SWEEP, _described(sweep))
        local = isinstance(executor, LocalExecutor)
        if local:
            runs = {run.folder for each in sweep.entrants for run in each.runs}
            for folder in (*runs, *part_folders(runs)):
                _wait_until_free(folder)
        if not local or any("--part" in job.command for job in left):
            spread(sweep.out)  # jobs of several machines never share a file of SQLite
        progress.say(f"{len(left)} of {len(sweep.jobs)} jobs to do in {sweep.out}.")
        journal = _journal(sweep.out)
        codes: list[int | None] = []
        ends = cast("Generator[Ended]", executor.run(left))
        with contextlib.closing(ends) as running:  # interrupted here, it ends what is under way
            for number, ended in enumerate(running, start=1):
                at = round(time.time(), 3)
                journal.append(Record(ended.name, ended.code, ended.reason, at))
                codes.append(ended.code)
                progress.say(f"{number} of {len(left)}: {_said(ended)}")
    return worst(codes)


def worst(codes: Sequence[int | None]) -> ExitCode:
    """Return the exit code that says most: a failure before missing scores, those before 0.

    ``None`` stands for a job that was not run to its end.
    """
    ended = [_known(code) for code in codes if code is not None]
    found = max(
        ended,
        key=lambda code: _SEVERITY.index(code) if code in _SEVERITY else len(_SEVERITY),
        default=ExitCode.DONE,
    )
    failed = found not in (ExitCode.DONE, ExitCode.UNSCORED)
    return found if failed or None not in codes else ExitCode.FAILED


def _known(code: int) -> ExitCode:
    try:
        return ExitCode(code)
    except ValueError:  # killed
        return ExitCode.FAILED


def _said(ended: Ended) -> str:
    if ended.done:
        return f"{ended.name} done"
    if ended.code == ExitCode.UNSCORED:
        return f"{ended.name} done; some answers could not be scored"
    code = f"ended with exit code {ended.code}: " if ended.code is not None else ""
    return f"{ended.name} {code}{ended.reason}"


def _described(sweep: Sweep) -> dict[str, object]:
    """Return what ``harness status`` needs to know of a sweep."""
    return {
        "jobs": [
            {
                "name": job.name,
                "needs": list(job.needs),
                "log": os.path.relpath(job.log, sweep.out),
                "command": list(job.command),
            }
            for job in sweep.jobs
        ],
        "entrants": [
            {
                "label": each.wanted.label,
                "model": each.wanted.settings.model,
                "folder": each.folder.name,
                "runs": [run.folder.name for run in each.runs],
            }
            for each in sweep.entrants
        ],
    }


def _journal(out: Path) -> Journal[Record]:
    return journal_of(out / ENDED, ENDED, Record)


def records_in(out: Path) -> list[Record]:
    """Return how jobs of a sweep ended, in their order; a line cut off by a kill is left out."""
    return _journal(out).rows


def driver_of(out: Path) -> Driver | None:
    """Return who drives a sweep, or did until it was killed."""
    try:
        return from_json(Driver, read_json(out / DRIVER))
    except (OSError, ValueError, TypeError, KeyError):
        return None


@contextlib.contextmanager
def _alone(out: Path, left: int) -> Iterator[None]:
    """Keep other drivers out, on this machine by a lock and on others by a sign of life.

    Some file systems keep a lock among the processes of one machine only. So the driver touches a
    file every few seconds, and one on another machine watches that file before it begins.
    """
    file = out / DRIVER
    other = driver_of(out)
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(locked(out))
        except InUseError as error:
            if other is None:
                raise
            raise _refused(out, other) from error
        here = socket.gethostname()
        if other is not None and other.host != here and _alive(file, other.host):
            raise _refused(out, other)
        write_json(file, to_json(Driver(here, os.getpid(), round(time.time(), 3), left)))
        ended = threading.Event()
        beating = threading.Thread(target=_beat, args=(file, ended), daemon=True)
        beating.start()
        try:
            yield
        finally:
            ended.set()
            beating.join()
            file.unlink(missing_ok=True)


def _beat(file: Path, ended: threading.Event) -> None:
    while not ended.wait(_BEAT):
        with contextlib.suppress(OSError):
            os.utime(file)


def _alive(file: Path, host: str) -> bool:
    """Watch for a sign of life; the clocks of two machines need not agree."""
    progress.say(f"Watching for {_SILENCE:.0f} s whether the driver on {host} is still at work.")
    try:
        first = file.stat().st_mtime_ns
        time.sleep(_SILENCE)
        return file.stat().st_mtime_ns != first
    except OSError:
        return False


def _refused(out: Path, other: Driver) -> HarnessError:
    return HarnessError(
        f"Another driver is at work on the sweep in {out}: process {other.pid} on {other.host}. "
        f"See how far it is with: harness status {out}. To go on with other options, end that "
        "process and run the same command again; finished jobs are kept."
    )


def _wait_until_free(folder: Path) -> None:
    """Let a job of a driver that was killed end: it does so by itself, a moment later."""
    end = time.monotonic() + _PATIENCE
    while folder.is_dir() and time.monotonic() < end:
        try:
            with locked(folder):
                return
        except InUseError:
            time.sleep(0.2)
