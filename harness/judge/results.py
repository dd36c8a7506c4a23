"""Where a run's verdicts lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.benchmark import Benchmark
from harness.judge.items import ARMS
from harness.judge.records import Judging
from harness.records import Sample, to_json
from harness.storage import Memo, journal_of, read_journal, seal_of

FOLDER, SUMMARY = "judged", "judging.json"


def write(
    folder: Path,
    name: str,
    samples: Mapping[tuple[str, str], Sequence[Sample]],
    judging: Judging,
) -> None:
    """Write the judged samples, by arm and benchmark, and the summary.

    Args:
        folder: the run folder.
        name: fingerprint of everything that determines the verdicts.
        samples: with their final scores.
        judging: who judged.
    """
    for (arm, bench), rows in samples.items():
        journal = journal_of(place(folder, arm, bench), name, Sample)
        journal.forget(0)
        journal.append(*rows)
        raw = folder / arm / f"{bench}.jsonl"
        journal.finish(source=seal_of(raw).digest if raw.is_file() else "")
    _summary(folder).write(name, judging=to_json(judging))


def judged_samples(folder: Path, judging: Judging) -> dict[tuple[str, str], tuple[Sample, ...]]:
    """Read a run's judged samples, by arm and benchmark.

    Raises:
        HarnessError: if a journal is absent, unfinished or damaged.
    """
    return {
        (arm, bench): read_journal(place(folder, arm, bench), Sample)
        for arm in ARMS
        for bench in judging.benchmarks
    }


def last_judging(folder: Path) -> tuple[str, Judging] | None:
    """Return fingerprint and summary of the last judging of a run, if there is one."""
    memo = _summary(folder)
    judging, content = memo.record("judging", Judging), memo.read()
    return None if judging is None or content is None else (content[memo.key], judging)


def _summary(folder: Path) -> Memo:
    return Memo(folder / FOLDER / SUMMARY)


def place(folder: Path, arm: str, bench: str) -> Path:
    """Name the journal of one arm and benchmark."""
    return folder / FOLDER / arm / f"{bench}.jsonl"


def finished(folder: Path, name: str, chosen: Sequence[Benchmark]) -> Judging | None:
    """Return the summary of a judging that was made from these very inputs and is whole."""
    last = last_judging(folder)
    if last is None or last[0] != name:
        return None
    paths = [place(folder, arm, bench.name) for arm in ARMS for bench in chosen]
    whole = all(journal_of(path, name, Sample).complete for path in paths)
    return last[1] if whole else None
