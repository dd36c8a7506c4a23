"""The run repeated: one method, several training seeds, one comparison.

Each seed is a run of its own and lies in its own folder. What they come to together lies in a
folder beside them that holds every row of every seed, so that it can be reported, bundled and
verified like any run: the first seed at its top, the others below ``seeds/``.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness import progress
from harness.conclude import conclude
from harness.judge import Verdicts
from harness.plugins import load
from harness.report import TWO_SEEDS, ReportInput, write_reports
from harness.run import Outcome, run
from harness.runs import FinishedRun, columns_of, looked, open_run, seed_folder
from harness.settings import Settings
from harness.storage import RunRecord, locked

_TOO_FEW = 2
_KEPT = ("before", "after", "judged", "images")
_FILES = (
    "settings.json",
    "versions.json",
    "pairs.jsonl",
    "pair_report.json",
    "training.json",
    "checkpoint/curves.jsonl",
)


def run_seeds(settings: Settings, count: int) -> Outcome:
    """Run a method with ``count`` seeds from ``settings.seed`` on, and compare over all of them.

    Returns:
        The first seed's outcome with the joint folder, comparison and reports; ``calls`` and
        ``reused`` are those of all seeds together.

    Raises:
        UsageError: see :func:`harness.run.run`.
        HarnessError: see :func:`harness.run.run`; finished seeds stay on disk.
    """
    if count == 1:
        return run(settings)
    if count == _TOO_FEW:
        progress.say(TWO_SEEDS)
    outcomes = []
    for seed in range(settings.seed, settings.seed + count):
        progress.say(f"Seed {seed}: {seed - settings.seed + 1} of {count}.")
        outcomes.append(run(replace(settings, seed=seed, reports=("json",)), alone=False))
    first = outcomes[0]
    folder = first.folder.with_name(f"{first.folder.name}-seeds{count}")
    with locked(first.folder):
        _collect(folder, [outcome.folder for outcome in outcomes])
        runs = [open_run(outcome.folder) for outcome in outcomes]
        report = _together(first, runs, settings.seed)
        looks = looked(settings.out, report.compared, runs[0].arms, report.seeds)
        report = replace(report, looks=looks)
        writers = {name: load("reports", name) for name in settings.reports}
        written = write_reports(report, folder, writers)
    return replace(
        first,
        folder=folder,
        comparison=report.compared,
        report=report,
        written=written,
        calls=sum(outcome.calls for outcome in outcomes),
        reused=all(outcome.reused for outcome in outcomes),
    )


def _together(first: Outcome, runs: Sequence[FinishedRun], seed: int) -> ReportInput:
    (before, after), *more = [(run.before, run.after) for run in runs]
    about = replace(
        first.report,
        seeds=tuple(run.report.seed for run in runs),
        checkpoint=(Path("..") / first.folder.name / first.report.checkpoint).as_posix(),
    )
    return conclude(
        about,
        Verdicts(before, after, first.report.judging),
        {name: columns_of(name, *runs) for name in before},
        seed=seed,
        terms=first.comparison.terms,
        touched=[overlap.touched for overlap in first.report.overlaps],
        more=more,
    )


def _collect(folder: Path, runs: Sequence[Path]) -> None:
    """Copy what the comparison rests on, without weights; an older collection is replaced."""
    shutil.rmtree(folder, ignore_errors=True)
    for index, run_folder in enumerate(runs):
        to = folder if index == 0 else seed_folder(folder, index)
        to.mkdir(parents=True, exist_ok=True)
        for name in _KEPT if index == 0 else _KEPT[:-1]:
            if (run_folder / name).is_dir():
                shutil.copytree(run_folder / name, to / name)
        if index == 0:
            for arm in [*run_folder.glob("rounds/*/after"), *run_folder.glob("rounds/*/judged")]:
                shutil.copytree(arm, to / arm.relative_to(run_folder))
        for file in _FILES:
            if (run_folder / file).is_file():
                (to / file).parent.mkdir(exist_ok=True)
                shutil.copyfile(run_folder / file, to / file)
    seeds = tuple(path.name for path in runs)
    replace(RunRecord.read(folder), seeds=seeds).write(folder)
