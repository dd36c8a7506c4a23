"""Where a run's verdicts lie, and which of them can stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.benchmark import Benchmark
from harness.errors import UsageError
from harness.judge.items import ARMS
from harness.judge.records import Judging
from harness.records import Sample, to_json
from harness.settings import JudgeSettings
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


Kept = Mapping[tuple[str, str, str], Sample]
"""Samples with a verdict that is not to be had anew, by arm, benchmark and row."""


def kept_of(folder: Path, settings: JudgeSettings, chosen: Sequence[Benchmark]) -> Kept:
    """Return the samples of a run that have a verdict already.

    Raises:
        UsageError: if they are by another judge, or it may have changed.
    """
    last = last_judging(folder)
    if last is None:
        return {}
    if last[1].judge != settings.judge or settings.accept_drift:
        raise UsageError(
            f"The verdicts in {folder} are by {last[1].judge}; what is missing cannot be judged by "
            f"another or a changed judge. Say --judge {last[1].judge}, or leave out --only-missing "
            "and --accept-drift."
        )
    if settings.judgings > 1:
        return {}  # the single verdicts behind a mean lie in the store alone
    if settings.accept_judge is None and not (last[1].sound and not last[1].accepted):
        return {}
    names = {benchmark.name for benchmark in chosen}
    return {
        (arm, bench, sample.id): sample
        for (arm, bench), samples in judged_samples(folder, last[1]).items()
        for sample in samples
        if bench in names and sample.answer is not None and sample.error is None
    }


def still(kept: Sample | None, sample: Sample) -> bool:
    """Say whether a kept verdict is about this very answer."""
    return kept is not None and (kept.content, kept.answer) == (sample.content, sample.answer)
