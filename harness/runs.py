"""Finished runs, read back from their folders: to report again, and to compare with each other."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.compare import ReportInput, compare, examples_of
from harness.errors import HarnessError, UsageError
from harness.folder import read_journal
from harness.plugins import load
from harness.records import Sample, from_json

Samples = Mapping[str, tuple[Sample, ...]]


@dataclass(frozen=True)
class FinishedRun:
    """A run as it lies on disk: what was reported, and every sample of both arms."""

    folder: Path
    report: ReportInput
    before: Samples
    after: Samples


def open_run(folder: Path) -> FinishedRun:
    """Read a run folder.

    Raises:
        UsageError: if it holds no finished run.
        HarnessError: if a file in it is damaged.
    """
    file = folder / "comparison.json"
    if not file.is_file():
        raise UsageError(
            f"There is no finished run in {folder} (no comparison.json). Name a run folder, as in "
            "runs/seva-tinyworld-1a2b3c4d, or finish the run by calling it again."
        )
    try:
        data: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        report = from_json(ReportInput, {**data["run"], "comparison": data["comparison"]})
    except (ValueError, KeyError, TypeError) as error:
        raise HarnessError(
            f"{file} is damaged or was written by another version ({error}). Run the same "
            "harness run command again; it rewrites the file from the samples."
        ) from error
    comparison = report.comparison
    names = [benchmark.name for benchmark in comparison.benchmarks]
    before, after = (
        {name: read_journal(folder / arm / f"{name}.jsonl", Sample) for name in names}
        for arm in ("before", "after")
    )
    examples = examples_of(comparison, before, after)
    return FinishedRun(folder, dataclasses.replace(report, examples=examples), before, after)


def compare_runs(first: FinishedRun, second: FinishedRun, *, seed: int = 0) -> ReportInput:
    """Compare what two methods made of a model, on the rows that both runs asked.

    Raises:
        UsageError: if the runs share no benchmark.
        HarnessError: if a benchmark's rows differ between them.
    """
    shared = [name for name in first.after if name in second.after]
    if not shared:
        raise UsageError(
            f"{first.folder} and {second.folder} share no benchmark "
            f"({', '.join(first.after)}; {', '.join(second.after)}). Run both with one --bench."
        )
    columns = {name: load("benchmarks", name).columns for name in shared}
    before, after = _chosen(first.after, shared), _chosen(second.after, shared)
    notes = [first.report.notice] if first.report.notice else []
    comparison = compare(before, after, columns, seed=seed, notes=notes)
    return dataclasses.replace(
        second.report,
        comparison=comparison,
        method=f"{second.report.method} (against {first.report.method})",
        examples=examples_of(comparison, before, after),
    )


def _chosen(samples: Samples, names: Sequence[str]) -> dict[str, tuple[Sample, ...]]:
    return {name: samples[name] for name in names}
