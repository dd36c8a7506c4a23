"""Finished runs, read back from their folders: to report again, and to compare with each other."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.benchmark import Metric, adhoc_columns, benchmark, is_adhoc_result
from harness.compare import compare, examples_of
from harness.data import same_data
from harness.dpo import read_curves
from harness.errors import HarnessError, UsageError
from harness.judge import place
from harness.pairs import read_pair_report
from harness.records import Sample, Samples, distinct, from_json
from harness.report import ReportInput
from harness.storage import image_folder, read_journal


@dataclass(frozen=True)
class FinishedRun:
    """A run as it lies on disk.

    Attributes:
        folder: the run folder.
        report: what was reported.
        before: every sample before, by benchmark.
        after: every sample after, by benchmark.
        data: fingerprint of each benchmark's data.
        imported: metrics with their direction, by benchmark, where another harness measured them
            (:mod:`harness.runs.imports`); such a run has no arm before.
        more: both arms of further seeds, where the folder holds several (:mod:`harness.run_seeds`).
    """

    folder: Path
    report: ReportInput
    before: Samples
    after: Samples
    data: Mapping[str, str]
    imported: Mapping[str, Mapping[str, bool | None]] = field(default_factory=dict)
    more: tuple[tuple[Samples, Samples], ...] = ()

    @property
    def alone(self) -> bool:
        """Whether it holds one model's answers only, so that nothing is compared in it."""
        return not self.report.comparison.benchmarks


def with_two_arms(run: FinishedRun) -> FinishedRun:
    """Return the run.

    Raises:
        UsageError: if it was measured or imported by itself, so that nothing is compared in it.
    """
    if run.alone:
        raise UsageError(
            f"{run.folder} holds one model's answers only, so there is nothing to compare in it. "
            f"Name another run beside it: harness compare OTHER {run.folder}, or "
            f"harness gate {run.folder} --baseline OTHER."
        )
    return run


def seed_folder(folder: Path, index: int) -> Path:
    """Return where a run folder of several seeds holds the rows of all but the first."""
    return folder / "seeds" / str(index)


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
        written: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        report = from_json(ReportInput, {**written["run"], "comparison": written["comparison"]})
    except (ValueError, KeyError, TypeError) as error:
        raise HarnessError(
            f"{file} is damaged or was written by another version ({error}). Run the same "
            "harness run command again; it rewrites the file from the samples."
        ) from error
    comparison = report.comparison
    names = [benchmark.name for benchmark in comparison.benchmarks]
    data, imported = _settings_of(folder, names)
    if any(Path(name).name != name for name in (*names, *data)):  # a foreign bundle may say "../x"
        raise HarnessError(f"{file} names a benchmark that is not a plain name; it is not opened.")
    judged = report.judging.benchmarks if report.judging is not None else ()
    before, after = _arms(folder, names, data, judged)
    others = range(1, len(list((folder / "seeds").glob("*"))) + 1)
    more = tuple(_arms(seed_folder(folder, index), names, data, judged) for index in others)
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
    return FinishedRun(folder, report, before, after, data, imported, more)


def _arms(
    folder: Path, before: Iterable[str], after: Iterable[str], judged: Sequence[str]
) -> tuple[Samples, Samples]:
    one, two = (
        {name: read_journal(_journal(folder, arm, name, judged), Sample) for name in names}
        for arm, names in (("before", before), ("after", after))
    )
    return one, two


def _journal(folder: Path, arm: str, name: str, judged: Sequence[str]) -> Path:
    return place(folder, arm, name) if name in judged else folder / arm / f"{name}.jsonl"


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
    columns = {name: columns_of(name, second, first) for name in shared}
    before, after = _chosen(first.after, shared), _chosen(second.after, shared)
    notes = [first.report.notice] if first.report.notice else []
    for run in (first, second):
        notes += run.report.comparison.notes if run.imported else ()
    trained = list(zip(first.more, second.more, strict=False))
    if len(first.more) != len(second.more):
        notes.append(
            f"{first.folder.name} has {len(first.more) + 1} seeds and {second.folder.name} has "
            f"{len(second.more) + 1}; the first {len(trained) + 1} of each are compared."
        )
    comparison = compare(
        before,
        after,
        columns,
        seed=seed,
        notes=distinct(notes),
        more=[(_chosen(one, shared), _chosen(two, shared)) for (_, one), (_, two) in trained],
    )
    return dataclasses.replace(
        second.report,
        comparison=comparison,
        method=f"{second.report.method} (against {first.report.method})",
        examples=examples_of(comparison, before, after),
        before=before,
        after=after,
    )


def columns_of(name: str, *runs: FinishedRun) -> tuple[Metric, ...]:
    """Return the columns of a benchmark of finished runs.

    Those of an ad hoc task follow from its figures, wherever its file lies by now; those of an
    import from its metrics and the values they take in any of the runs.

    Raises:
        UsageError: if the package that brings the benchmark is not installed.
    """
    first = runs[0]
    if name in first.imported:
        metrics = {
            metric: better
            for metric, better in first.imported[name].items()
            if all(metric in run.imported.get(name, {}) for run in runs)
        }
        if not metrics:
            raise UsageError(
                f"{name}: {' and '.join(str(run.folder) for run in runs)} share no metric. Import "
                "both from files of the same kind."
            )
        rows = [row for run in runs for row in run.after.get(name, ())]
        largest = {
            metric: max((row.scores.get(metric) or 0.0 for row in rows), default=0.0)
            for metric in metrics
        }
        return adhoc_columns(metrics, largest)
    if not is_adhoc_result(name):
        return benchmark(name).columns
    found = [each for each in first.report.comparison.benchmarks if each.name == name]
    return adhoc_columns(
        {figure.column: figure.higher_is_better for each in found for figure in each.figures}
    )


def _chosen(samples: Samples, names: Sequence[str]) -> dict[str, tuple[Sample, ...]]:
    return {name: samples[name] for name in names}


def _settings_of(
    folder: Path, names: Sequence[str]
) -> tuple[dict[str, str], dict[str, dict[str, bool | None]]]:
    """Read the fingerprint of each benchmark's data, and the metrics of what was imported."""
    file = folder / "settings.json"
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
        data = {
            str(key).removeprefix("data:"): str(value)
            for key, value in settings["inputs"].items()
            if key.startswith("data:")
        }
        imported = {name: dict(each) for name, each in settings.get("imported", {}).items()}
        return {name: data[name] for name in distinct([*names, *imported, *data])}, imported
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise HarnessError(
            f"{file} is damaged or was written by another version ({error}). Run the same "
            "harness run command again; it writes the file anew."
        ) from error
