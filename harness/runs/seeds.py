"""The folder that holds the rows of several runs which differ in their training seed."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.runs.finished import seed_folder
from harness.storage import RunRecord

_KEPT = ("before", "after", "judged", "images")
_FILES = (
    *("settings.json", "versions.json", "pairs.jsonl", "pair_report.json", "training.json"),
    "checkpoint/curves.jsonl",
)


def collect_seeds(folder: Path, runs: Sequence[Path]) -> None:
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
