"""Walk a graph of jobs; an executor only starts jobs and says which have ended."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Protocol

from harness.errors import ExitCode, HarnessError, some
from harness.jobs.model import Ended, Job
from harness.jobs.process import last_words

NEEDS = "not started: it needs"
"""How the reason of a job begins whose needs failed."""


class Workers(Protocol):
    """The part of an executor that differs between schedulers."""

    def start(self, jobs: Sequence[Job]) -> None:
        """Take jobs that may run now, in any order and number at once."""
        ...

    def ended(self) -> list[Ended]:
        """Wait until at least one of the jobs that were started has ended."""
        ...

    def stop(self) -> None:
        """End the jobs that are under way."""
        ...


def walk(jobs: Sequence[Job], workers: Workers) -> Iterator[Ended]:
    """Run a graph as :meth:`harness.jobs.Executor.run` says.

    Raises:
        HarnessError: if two jobs have one name, or needs cannot be met.
    """
    _check(jobs)
    waiting = {job.name: job for job in jobs}
    running: dict[str, Job] = {}
    done: set[str] = set()
    lost: set[str] = set()
    try:
        while waiting or running:
            for ended in _without_needs(waiting, lost):
                lost.add(ended.name)
                yield ended
            ready = [job for job in waiting.values() if done.issuperset(job.needs)]
            for job in ready:
                running[job.name] = waiting.pop(job.name)
            if ready:
                workers.start(ready)
            for ended in workers.ended() if running else ():
                job = running.pop(ended.name)
                (done if ended.done else lost).add(ended.name)
                yield _explained(ended, job)
    finally:
        workers.stop()


def _without_needs(waiting: dict[str, Job], lost: set[str]) -> Iterator[Ended]:
    """Take out the jobs whose needs will never be met, and those that need these."""
    while found := [job for job in waiting.values() if not lost.isdisjoint(job.needs)]:
        for job in found:
            del waiting[job.name]
            needs = some([name for name in job.needs if name in lost])
            yield Ended(job.name, None, f"{NEEDS} {needs}")


def _explained(ended: Ended, job: Job) -> Ended:
    if ended.done or ended.reason:
        return ended
    words = last_words(job.log)
    said = words or f"nothing was written to {job.log}"
    with suppress(ValueError):
        if ended.code is not None and ended.code not in set(ExitCode):
            number = signal.Signals(ended.code - 128)
            last = f"the last of its log: {words}" if words else said
            said = f"it was ended by {number.name}; {last}"
    return Ended(ended.name, ended.code, said)


def _check(jobs: Sequence[Job]) -> None:
    counts = Counter(job.name for job in jobs)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise HarnessError(f"Two jobs are named {some(twice)}; give each its own name.")
    placed: set[str] = set()
    while len(placed) < len(jobs):
        free = {job.name for job in jobs if placed.issuperset(job.needs)} - placed
        if not free:
            stuck = [job for job in jobs if job.name not in placed]
            told = [f"{job.name} needs {', '.join(job.needs)}" for job in stuck]
            raise HarnessError(f"These jobs can never start: {some(told, '; ')}.")
        placed |= free
