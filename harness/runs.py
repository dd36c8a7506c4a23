"""Finished runs, read back from their folders: to report again, and to compare with each other."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.columns import Column
from harness.compare import compare, examples_of
from harness.comparison import ReportInput, Samples
from harness.curves import read_curves
from harness.data import same_data
from harness.doctor_gallery import read_pair_report
from harness.errors import HarnessError, UsageError
from harness.folder import read_journal
from harness.lmms_adhoc import adhoc_columns, benchmark, is_adhoc_result
from harness.records import Sample, from_json
from harness.thumbnails import image_folder


@dataclass(frozen=True)
class FinishedRun:
    """A run as it lies on disk.

    Attributes:
        folder: the run folder.
        report: what was reported.
        before: every sample before, by benchmark.
        after: every sample after, by benchmark.
        data: fingerprint of each benchmark's data.
    """

    folder: Path
    report: ReportInput
    before: Samples
    after: Samples
    data: Mapping[str, str]


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
    report = dataclasses.replace(
        report,
        examples=examples,
        before=before,
        after=after,
        doctor=read_pair_report(folder) or report.doctor,
        curves=read_curves(folder),
        images=image_folder(folder),
    )
    return FinishedRun(folder, report, before, after, _data_of(folder, names))


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
    for name in shared:
        prints = (first.data[name], second.data[name])
        same_data(name, first.after[name], second.after[name], prints)
    columns = {name: columns_of(second, name) for name in shared}
    before, after = _chosen(first.after, shared), _chosen(second.after, shared)
    notes = [first.report.notice] if first.report.notice else []
    comparison = compare(before, after, columns, seed=seed, notes=notes)
    return dataclasses.replace(
        second.report,
        comparison=comparison,
        method=f"{second.report.method} (against {first.report.method})",
        examples=examples_of(comparison, before, after),
        before=before,
        after=after,
    )


def columns_of(run: FinishedRun, name: str) -> tuple[Column, ...]:
    """Return the columns of a benchmark of a finished run.

    Those of an ad hoc task follow from its figures, wherever its file lies by now.

    Raises:
        UsageError: if the package that brings the benchmark is not installed.
    """
    if not is_adhoc_result(name):
        return benchmark(name).columns
    found = [each for each in run.report.comparison.benchmarks if each.name == name]
    return adhoc_columns(
        {figure.column: figure.higher_is_better for each in found for figure in each.figures}
    )


def _chosen(samples: Samples, names: Sequence[str]) -> dict[str, tuple[Sample, ...]]:
    return {name: samples[name] for name in names}


def _data_of(folder: Path, names: Sequence[str]) -> dict[str, str]:
    file = folder / "settings.json"
    try:
        inputs = json.loads(file.read_text(encoding="utf-8"))["inputs"]
        return {name: str(inputs[f"data:{name}"]) for name in names}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HarnessError(
            f"{file} is damaged or was written by another version ({error}). Run the same "
            "harness run command again; it writes the file anew."
        ) from error
