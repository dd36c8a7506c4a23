"""How fast a model answered in a run, noted beside it so that the next run can be planned."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.records import from_json, to_json
from harness.storage.journal import write_json
from harness.storage.reading import read_json

_NAME = "pace.json"


@dataclass(frozen=True)
class Throughput:
    """Answers that the model really gave, not those from the store, and the time they took.

    Attributes:
        arm: ``"before"`` or ``"after"``.
        benchmark: its name.
        answers: how many.
        seconds: from the first question to the last score, without loading the data.
    """

    arm: str
    benchmark: str
    answers: int
    seconds: float


def note_throughput(folder: Path, throughput: Throughput) -> None:
    """Write a pace down, in the place of an earlier one of that arm and benchmark.

    Raises:
        HarnessError: if the disk is full or the folder cannot be written.
    """
    others = [
        each
        for each in read_throughputs(folder)
        if (each.arm, each.benchmark) != (throughput.arm, throughput.benchmark)
    ]
    write_json(folder / _NAME, [to_json(each) for each in (*others, throughput)])


def read_throughputs(folder: Path) -> tuple[Throughput, ...]:
    """Return what a run noted; nothing where it noted nothing."""
    try:
        rows = read_json(folder / _NAME)
        return tuple(from_json(Throughput, row) for row in rows)
    except (OSError, ValueError, TypeError, AttributeError):
        return ()
