"""Finished runs, read back from their folders: to report again, and to compare with each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from harness.benchmark import (
    Metric,
    adhoc_columns,
    benchmark,
    is_adhoc_result,
    known_columns,
    present,
)
from harness.compare import (
    Comparison,
    Example,
    MetricLevel,
    MetricResult,
    Terms,
    check_words,
    examples_of,
)
from harness.data import same_data
from harness.dpo import read_curves
from harness.errors import HarnessError, UsageError
from harness.judge import Verdicts, place
from harness.pairs import read_pair_report
from harness.records import Sample, Samples, distinct, from_json
from harness.report import ReportInput, conclude, conclude_alone
from harness.runs.baseline import taken_in
from harness.runs.imports import IN_WORDS, words_in
from harness.runs.likeness import called, counted_otherwise, in_words, unlike
from harness.stages import ImageOverlap, kept_ablation
from harness.storage import RunRecord, image_folder, read_journal, read_json

_LONG = 240  # bytes of a name that becomes a file's, with room for an ending


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
        more: both arms of further seeds, where the folder holds several
            (:func:`harness.run.run_seeds`).
        arms: what stands for before and after, see :attr:`harness.storage.RunRecord.arms`.
        record: what was asked, and what the answers depend on.
    """

    folder: Path
    report: ReportInput
    before: Samples
    after: Samples
    data: Mapping[str, str]
    imported: Mapping[str, Mapping[str, bool | None]] = field(default_factory=dict)
    more: tuple[tuple[Samples, Samples], ...] = ()
    arms: tuple[str, str] = ("", "")
    record: RunRecord = field(default_factory=lambda: RunRecord({}, {}))

    @property
    def made_by(self) -> str:
        """The command that the run came by: ``run``, ``eval``, ``score`` or ``import``."""
        if self.record.source:
            return "import"
        if self.record.asked.get("method") or self.report.comparison is not None:
            return "run"
        return "score" if self.report.method.startswith(SCORED) else "eval"


SCORED = "answers of "
"""How the reports of scored files call what was measured; the files' name follows."""


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
        written: dict[str, Any] = read_json(file)
        stored = {"comparison": written["comparison"], "levels": written.get("levels", [])}
        report = from_json(ReportInput, {**written["run"], **stored})
        if report.comparison is not None:
            check_words(report.comparison)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HarnessError(
            f"{file} is damaged or was written by another version ({error}). Run the same "
            "harness run command again; it rewrites the file from the samples."
        ) from error
    record = RunRecord.read(folder)
    if "notes" not in written["run"]:
        report = _of_the_version_before(report, record, folder)
    comparison = report.comparison
    names = [each.name for each in comparison.benchmarks] if comparison is not None else []
    data, imported = _inputs(folder, record, names)
    long = [
        part
        for part in (*names, *data, *Path(report.checkpoint).parts)
        if len(part.encode(errors="replace")) > _LONG
    ]
    if long:
        raise HarnessError(f"{file} names {long[0]!r:.60}..., too long for a file; not opened.")
    if any(Path(name).name != name for name in (*names, *data)):  # a foreign bundle may say "../x"
        raise HarnessError(f"{file} names a benchmark that is not a plain name; it is not opened.")
    judged = report.judging.benchmarks if report.judging is not None else ()
    before, after = _arms(folder, names, data, judged)
    others = range(1, len(list((folder / "seeds").glob("[0-9]*"))) + 1)
    more = tuple(_arms(seed_folder(folder, index), names, data, judged) for index in others)
    report = dataclasses.replace(
        report,
        examples=_examples(file, comparison, before, after),
        before=before,
        after=after,
        doctor=read_pair_report(folder) or report.doctor,
        curves=read_curves(folder),
        images=image_folder(folder),
    )
    return FinishedRun(folder, report, before, after, data, imported, more, record.arms, record)


def _examples(
    file: Path, comparison: Comparison | None, before: Samples, after: Samples
) -> tuple[Example, ...]:
    try:
        return examples_of(comparison, before, after) if comparison is not None else ()
    except KeyError as error:
        raise HarnessError(
            f"{file} names the row {error}, which the run does not hold. Get the run again from "
            "where it came, or call the command that made it again."
        ) from error


def _arms(
    folder: Path, before: Iterable[str], after: Iterable[str], judged: Sequence[str]
) -> tuple[Samples, Samples]:
    one, two = (
        arm_of(folder, arm, names, judged) for arm, names in (("before", before), ("after", after))
    )
    return one, two


def arm_of(folder: Path, arm: str, names: Iterable[str], judged: Sequence[str]) -> Samples:
    """Return the samples of one arm, by benchmark, with a judge's scores where it gave any."""
    return {name: read_journal(_journal(folder, arm, name, judged), Sample) for name in names}


def _journal(folder: Path, arm: str, name: str, judged: Sequence[str]) -> Path:
    return place(folder, arm, name) if name in judged else folder / arm / f"{name}.jsonl"


def _same_run(first: FinishedRun, second: FinishedRun) -> bool:
    """Whether two folders hold the same job with the same answers, as a run and its bundle do."""

    def job(run: FinishedRun) -> tuple[Any, ...]:  # without what a bundle leaves out: paths, keys
        told = run.report
        model = PurePath(told.model).name
        return (told.method, model, told.seed, dict(run.data), told.comparison, told.levels)

    return (
        not first.imported
        and first.after == second.after
        and first.more == second.more
        and job(first) == job(second)
    )


def compare_runs(
    first: FinishedRun, second: FinishedRun, *, seed: int = 0, terms: Terms | None = None
) -> ReportInput:
    """Compare what two methods made of a model, on the rows that both runs asked.

    The first run stands for "before", the second for "after".

    Raises:
        UsageError: if the runs share no benchmark.
        HarnessError: if a benchmark's rows differ between them.
    """
    shared = [name for name in first.after if name in second.after]
    if not shared:
        raise UsageError(
            f"{first.folder} and {second.folder} share no benchmark "
            f"({', '.join(first.after)}; {', '.join(second.after)}). Run both with the same "
            "--bench."
        )
    for name in shared:
        prints = (first.data[name], second.data[name])
        same_data(name, first.after[name], second.after[name], prints)
    columns = {name: columns_of(name, second, first) for name in shared}
    if _same_run(first, second):  # a run compared with itself: no difference, not a small one
        second = dataclasses.replace(second, after=first.after, more=first.more)
    sides = [(run.folder, run.report, run.record) for run in (first, second)]
    words = counted_otherwise(shared, *sides)
    before, after = _chosen(first.after, shared, words), _chosen(second.after, shared, words)
    notes = [first.report.notice] if first.report.notice else []
    for run in (first, second):
        notes += run.report.notes if run.imported else ()
    notes += [f"{name}: {IN_WORDS}" for name in shared if in_words(name, second.report)]
    notes += [f"{name}: {IN_WORDS}, as one side has no tokens" for name in words]
    notes += unlike(shared, sides)
    trained = list(zip(first.more, second.more, strict=False))
    if len(first.more) != len(second.more):
        notes.append(
            f"{first.folder.name} has {len(first.more) + 1} seeds and {second.folder.name} has "
            f"{len(second.more) + 1}; the first {len(trained) + 1} of each are compared."
        )
    arms = called(*sides)
    about = dataclasses.replace(  # nothing that was said of either run by itself
        second.report,
        arms=arms,
        method=f"{second.report.method} (against {first.report.method})",
        seeds=(),
        taken=(),
        looks=None,
        training=None,
        ablation=None,
        rounds=None,
        attribution=(),
        notes=distinct(notes),
    )
    found = conclude(
        about,
        Verdicts(before, after),
        columns,
        seed=seed,
        terms=terms,
        touched=_touched(shared, first, second),
        more=[
            (_chosen(one, shared, words), _chosen(two, shared, words))
            for (_, one), (_, two) in trained
        ],
    )
    if found.overlaps or any(each.notes for each in found.compared.benchmarks):
        told = f"In these notes, before is {arms[0]} and after is {arms[1]}."
        found = dataclasses.replace(found, notes=(*found.notes, told))
    return found


def _touched(names: Sequence[str], *runs: FinishedRun) -> list[ImageOverlap]:
    """Return the rows whose images the training prompts of any of the runs show."""
    found = []
    for name in names:
        each = [
            overlap.touched
            for run in runs
            for overlap in run.report.overlaps
            if overlap.touched.benchmark == name
        ]
        if each:
            ids = distinct(row for touched in each for row in touched.ids)
            # Which rows share no more than a number is known of each run only as a count.
            same = all(touched == each[0] for touched in each)
            number = each[0].by_number if same else 0
            found.append(ImageOverlap(name, max(touched.rows for touched in each), ids, number))
    return found


def report_of(run: FinishedRun) -> ReportInput:
    """Return what the reports of a run show.

    The version before kept no figures of a model by itself: they are made from its rows.

    Raises:
        UsageError: if the package that brings a benchmark is not installed.
    """
    report = run.report
    if report.comparison is not None or report.levels:
        return report
    columns = {name: found for name in run.after if (found := columns_of(name, run))}
    installed = [name for name in columns if name not in run.imported and not is_adhoc_result(name)]
    return conclude_alone(
        report,
        run.after,
        columns,
        judging=report.judging,
        published={name: benchmark(name).published for name in installed},
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
        return adhoc_columns(metrics, [row for run in runs for row in run.after.get(name, ())])
    if not is_adhoc_result(name):
        columns = benchmark(name).under(first.report.protocol).columns
        rows = [row for run in runs for arm in (run.before, run.after) for row in arm.get(name, ())]
        return present(columns, rows)
    comparison = first.report.comparison
    compared = comparison.benchmarks if comparison is not None else ()
    shown: list[MetricResult | MetricLevel] = [
        figure for each in compared if each.name == name for figure in each.figures
    ]
    shown += [level for level in first.report.levels if level.benchmark == name]
    named = {each.column: (each.higher_is_better, each.primary) for each in shown}
    rows = [row for run in runs for arm in (run.before, run.after) for row in arm.get(name, ())]
    return known_columns(named, rows)


def _chosen(samples: Samples, names: Sequence[str], words: Collection[str]) -> Samples:
    return {
        name: tuple(dataclasses.replace(row, tokens=words_in(row.answer)) for row in samples[name])
        if name in words
        else samples[name]
        for name in names
    }


def _inputs(
    folder: Path, record: RunRecord, names: Sequence[str]
) -> tuple[dict[str, str], dict[str, dict[str, bool | None]]]:
    """Return the fingerprint of each benchmark's data, and the metrics of what was imported."""
    imported = {name: dict(metrics) for name, metrics in record.imported.items()}
    wanted = distinct([*names, *imported, *record.data])
    lacking = [name for name in wanted if name not in record.data]
    if lacking:
        raise HarnessError(
            f"{folder / 'settings.json'} does not say which data {', '.join(lacking)} rests on. "
            "Run the same harness command again; it writes the file anew."
        )
    return {name: record.data[name] for name in wanted}, imported


def _of_the_version_before(report: ReportInput, record: RunRecord, folder: Path) -> ReportInput:
    """Give a report the records that its file does not hold.

    Version 0.1 stored a model by itself as a comparison of nothing. Its sentences about a
    comparison stay where they are, and are shown until it is judged again.
    """
    comparison = report.comparison
    if comparison is not None and not comparison.benchmarks:
        # What is said of a judge or a demo follows from records; only an import says more.
        notes = comparison.notes if record.imported else ()
        return dataclasses.replace(report, comparison=None, notes=notes)
    first = report.seed
    return dataclasses.replace(
        report,
        taken=taken_in(folder),
        ablation=kept_ablation(folder),
        seeds=tuple(range(first, first + len(record.seeds))) if record.seeds else (),
    )
