"""Commands that are killed at random moments, again and again, until they end by themselves.

Processes are forked from a server that has imported the libraries already, so that a moment falls
into the work and not into the imports. Each is a real process and gets a real SIGKILL.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.command import LIBRARIES
from tests.support.journals import assert_same_rows

PATIENCE = 900.0
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(list(LIBRARIES))
_TIMES = ("clock", "finished")
STAGES = ("comparison.json", "judged", "after", "checkpoint", "pairs.jsonl", "before", "nothing")
"""What a run writes, the latest first."""


def _command(words: Sequence[str], log: str) -> None:
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.argv = ["harness", *words]
    from harness.cli import main

    main()


@dataclass
class Attempts:
    """One command, started as often as it is killed.

    Attributes:
        words: the command line.
        log: where its output goes.
        kills: how many of its processes were alive when the signal came, by what had been begun.
        resumes: how many of those went on from a killed one.
        began: seconds of processor time until each stage of a whole run.
    """

    words: Sequence[str]
    log: Path
    kills: Counter[str] = field(default_factory=Counter)
    resumes: int = 0
    began: dict[str, float] = field(default_factory=dict)
    _torn: str = ""

    def whole(self, folder: Path | None = None) -> float:
        """Run it to its end, and return the seconds of processor time that it took.

        Args:
            folder: what it writes into, if the times of its stages are wanted too.
        """
        process = self._started()
        spent = 0.0
        end = time.monotonic() + PATIENCE
        while process.exitcode is None and time.monotonic() < end:
            spent = max(spent, _spent(process.pid))
            if folder is not None:
                self.began.setdefault(stage_of(folder), spent)
            process.join(0.05)
        self._ended_well(process)
        return spent

    def killed(self, after: float, folder: Path, stage: str = "") -> bool:
        """Start it and send SIGKILL when it has used that much processor time.

        Args:
            after: seconds; the load of the machine plays no part.
            folder: what it writes into.
            stage: count from the moment at which this stage, or a later one, writes something, and
                not from the start: processes of its own first import their libraries.

        Returns:
            Whether it was still alive.
        """
        held = _written(folder)
        process = self._started()
        end = time.monotonic() + PATIENCE
        start = None if stage else 0.0
        while process.exitcode is None and time.monotonic() < end:
            spent = _spent(process.pid)
            reached = start is None and STAGES.index(stage_of(folder)) <= STAGES.index(stage)
            if reached and _written(folder) != held:
                start = spent
            if start is not None and spent - start >= after:
                break
            process.join(0.02)
        helpers = _children(process.pid)
        process.kill()
        process.join()
        psutil.wait_procs(helpers, timeout=60)  # the lock of a run folder is theirs as well
        if process.exitcode != -signal.SIGKILL:
            self._ended_well(process)
            return False
        self.kills[stage_of(folder)] += 1
        self.resumes += str(folder) == self._torn
        self._torn = str(folder)
        return True

    def _started(self) -> Any:
        process = _FORKS.Process(target=_command, args=(self.words, str(self.log)))
        process.start()
        return process

    def _ended_well(self, process: Any) -> None:
        code = process.exitcode
        if code is None:
            process.kill()
        assert code == 0, (code, self.log.read_text()[-3000:])


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def _spent(pid: int) -> float:
    """Return the processor time of a process and of those that it has started."""
    total = 0.0
    with contextlib.suppress(psutil.Error):
        for each in (psutil.Process(pid), *_children(pid)):
            times = each.cpu_times()
            total += times.user + times.system
    return total


def stage_of(folder: Path) -> str:
    """Return the latest part of a run that has been begun."""
    return next((stage for stage in STAGES[:-1] if any(folder.rglob(stage))), STAGES[-1])


def _written(folder: Path) -> int:
    """Return how many bytes the journals below a folder hold."""
    total = 0
    for path in folder.rglob("*.jsonl"):
        with contextlib.suppress(OSError):
            total += path.stat().st_size
    return total


def assert_same_run(one: Path, two: Path) -> None:
    """Demand the same files with the same records; weights may differ as a resume rounds them."""
    names = [_files(folder) for folder in (one, two)]
    assert names[0] == names[1]
    for name in sorted(names[0]):
        first, second = one / name, two / name
        if name.endswith("curves.jsonl"):
            assert_close(_lines(first), _lines(second))
        elif name.endswith(".jsonl"):
            assert_same_rows(first, second)
        elif name.endswith(".safetensors"):
            _assert_same_weights(first, second)
        elif name.endswith("comparison.json"):
            assert_close(_record(first), _record(second))


def _files(folder: Path) -> set[str]:
    """Name what a run keeps: no locks, no measured speeds, no state of an optimiser."""
    found = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    return {
        path.as_posix()
        for path in found
        if not path.name.startswith(".")
        and "throughput" not in path.name
        and not path.name.endswith(("-shm", "-wal"))  # SQLite's, where the last process was killed
    }


def _lines(path: Path) -> list[object]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [{k: v for k, v in row.items() if "second" not in k and k != "peak_mb"} for row in rows]


def _record(path: Path) -> object:
    found = json.loads(path.read_text())
    for name in _TIMES:
        found.pop(name, None)
    return found


def assert_close(one: object, two: object, where: str = "") -> None:
    """Demand equal records; numbers may differ as sums in another order do."""
    if isinstance(one, dict) and isinstance(two, dict):
        assert one.keys() == two.keys(), where
        for key, value in one.items():
            assert_close(value, two[key], f"{where}.{key}")
    elif isinstance(one, list) and isinstance(two, list):
        assert len(one) == len(two), where
        for place, (first, second) in enumerate(zip(one, two, strict=True)):
            assert_close(first, second, f"{where}[{place}]")
    elif isinstance(one, float) and isinstance(two, float):
        assert one == pytest.approx(two, abs=1e-4, rel=1e-3, nan_ok=True), where
    else:
        assert one == two, where


def _assert_same_weights(one: Path, two: Path) -> None:
    from safetensors.torch import load_file

    first, second = load_file(one), load_file(two)
    assert first.keys() == second.keys()
    for key, value in first.items():
        assert float((value.double() - second[key].double()).abs().max()) < 1e-5, key
