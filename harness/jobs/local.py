"""Jobs as processes of this machine."""

from __future__ import annotations

import os
import subprocess
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from harness.errors import UsageError
from harness.jobs.graph import walk
from harness.jobs.model import Ended, Job
from harness.jobs.process import begin, end, exit_code
from harness.records import Bounds

_POLL = 0.1


@dataclass(frozen=True, kw_only=True)
class LocalExecutor:
    """Runs jobs as processes of this machine.

    Attributes:
        at_once: most jobs under way at the same time.
        gpus: how many GPUs are shared out among jobs that ask for some, each to one job at a time;
            ``None`` leaves every job all of them.
    """

    at_once: Annotated[int, Bounds(least=1)] = 1
    gpus: Annotated[int, Bounds(least=0)] | None = None

    def run(self, jobs: Sequence[Job]) -> Iterator[Ended]:
        """See :class:`harness.jobs.Executor`."""
        most = self.gpus
        for job in jobs:
            if most is not None and job.gpus > most:
                raise UsageError(
                    f"The job {job.name} asks for {job.gpus} GPUs, and the executor has {most}. "
                    f"Use --executor local:gpus={job.gpus}, or ask for fewer."
                )
        return walk(jobs, _Processes(self.at_once, None if most is None else _gpus(most)))


def _gpus(count: int) -> list[str]:
    """Name GPUs for jobs: of those that this process may use, where that is limited.

    Raises:
        UsageError: if it may use fewer.
    """
    limited = os.environ.get("CUDA_VISIBLE_DEVICES")
    if limited is None:
        return [str(place) for place in range(count)]
    names = [name.strip() for name in limited.split(",") if name.strip()]
    if len(names) < count:
        raise UsageError(
            f"--executor local:gpus={count} asks for more GPUs than CUDA_VISIBLE_DEVICES="
            f"{limited} shows. Ask for {len(names)}, or change that variable."
        )
    return names[:count]


@dataclass
class _Processes:
    at_once: int
    free: list[str] | None
    waiting: deque[Job] = field(default_factory=deque)
    running: dict[str, tuple[subprocess.Popen[bytes], list[str]]] = field(default_factory=dict)

    def start(self, jobs: Sequence[Job]) -> None:
        self.waiting.extend(jobs)

    def ended(self) -> list[Ended]:
        while True:
            found = self._started()
            for name, (process, gpus) in list(self.running.items()):
                if (code := process.poll()) is not None:
                    del self.running[name]
                    self._give_back(gpus)
                    found.append(Ended(name, exit_code(code)))
            if found:
                return found
            time.sleep(_POLL)

    def _started(self) -> list[Ended]:
        """Start what there is room for; return what could not be started."""
        failed: list[Ended] = []
        while self.waiting and len(self.running) < self.at_once:
            job = self.waiting[0]
            if self.free is not None and job.gpus > len(self.free):
                break
            self.waiting.popleft()
            gpus = [] if self.free is None else [self.free.pop(0) for _ in range(job.gpus)]
            shown = {} if self.free is None else {"CUDA_VISIBLE_DEVICES": ",".join(gpus)}
            try:
                self.running[job.name] = (begin(job, Path.cwd(), shown), gpus)
            except OSError as error:
                failed.append(Ended(job.name, None, f"not started: {error}"))
                self._give_back(gpus)
        return failed

    def _give_back(self, gpus: Sequence[str]) -> None:
        if self.free is not None:
            self.free += gpus

    def stop(self) -> None:
        self.waiting.clear()
        end([process for process, _ in self.running.values()])
        self.running.clear()
