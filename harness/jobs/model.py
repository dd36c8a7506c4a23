"""What a job is, how one ends, and what an executor has to do with a graph of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.errors import UsageError
from harness.plugins import filled, load

MINUTES = 60


@dataclass(frozen=True, kw_only=True)
class Job:
    """One command of the harness.

    A job may be started again after it was killed: it goes on from what is on disk.

    Attributes:
        name: unique in its graph.
        command: the words after ``python -m harness``.
        log: file to which its output is appended.
        needs: names of the jobs that have to end with exit code 0 before it starts.
        gpus: how many it has to itself.
        minutes: how long a scheduler is asked to give it at a time; a job that needs longer is
            started again by the scheduler.
    """

    name: str
    command: tuple[str, ...]
    log: Path
    needs: tuple[str, ...] = ()
    gpus: int = 0
    minutes: int = MINUTES


@dataclass(frozen=True)
class Ended:
    """How a job ended.

    Attributes:
        name: of the job.
        code: its exit code, ``None`` if it was not run to its end.
        reason: in words, if the code is not 0: what the job said last, or why it did not run.
    """

    name: str
    code: int | None
    reason: str = ""

    @property
    def done(self) -> bool:
        """Whether all of the job's work is on disk."""
        return self.code == 0


class Executor(Protocol):
    """Runs a graph of jobs somewhere."""

    def run(self, jobs: Sequence[Job]) -> Iterator[Ended]:
        """Start each job when all that it needs are done, and yield how each ended, as they end.

        They come in any order; names are unique and there is no circle of needs.
        Jobs that need one that is not done are not run; they are yielded with the reason. When the
        iterator is closed or interrupted, the jobs that are under way are ended.
        """
        ...


def open_executor(text: str) -> Executor:
    """Return the executor that a text such as ``slurm:partition=a,minutes=60`` names.

    An executor is a frozen dataclass whose fields are its options; one that rests on something
    that is not installed says so in its ``__post_init__``.

    Raises:
        UsageError: for an unknown name or option, a value that does not fit, or what is not
            installed.
    """
    name, _, options = text.partition(":")
    kind = load("executors", name)
    values: dict[str, str] = {}
    for part in filter(None, options.split(",")):
        key, sign, value = part.partition("=")
        if not sign:
            raise UsageError(
                f"--executor {text}: '{part}' has no value. Write options as KEY=VALUE, "
                f"separated by commas, as in: --executor local:at_once=2"
            )
        values[key.strip()] = value.strip()
    executor: Executor = filled(f"executor '{name}'", kind(), values, f"--executor {name}:")
    return executor
