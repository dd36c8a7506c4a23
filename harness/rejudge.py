"""A finished run judged again: nothing is asked of the model, everything after it is made anew."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.benchmark import Benchmark, benchmark, expand
from harness.compare import compare, examples_of
from harness.contamination import overlaps_of, with_notes
from harness.errors import HarnessError, UsageError
from harness.judge import Verdicts, judge, last_judging
from harness.plugins import load
from harness.records import Sample, distinct
from harness.report import ReportInput, write_reports
from harness.resolve import data_of
from harness.runs import FinishedRun, open_run
from harness.settings import JudgeSettings
from harness.storage import Store, locked, read_journal, read_json


@dataclass(frozen=True)
class Rejudged:
    """What judging a run again came to.

    Attributes:
        report: what the reports were written from.
        written: the files of the reports, by name.
        calls: questions that reached the judge.
    """

    report: ReportInput
    written: Mapping[str, Path]
    calls: int


def rejudge(
    folder: Path,
    settings: JudgeSettings,
    *,
    only_missing: bool = False,
    reports: Sequence[str] = (),
    device: str = "auto",
    dtype: str = "auto",
) -> Rejudged:
    """Judge the stored answers of a run, and write its comparison and reports anew.

    Args:
        folder: the run folder.
        settings: who judges.
        only_missing: keep the verdicts that are there.
        reports: besides those that the run wrote.
        device: where a local judge runs.
        dtype: its precision.

    Raises:
        UsageError: if there is no such run or judge, or the run's data are not there.
        HarnessError: if data or judge have changed, or a file is damaged.
    """
    run = open_run(folder)
    if run.more:
        raise UsageError(
            f"{folder} holds several seeds together, whose verdicts come from their own runs. "
            "Run harness run with --seeds and --judge again: nothing is generated twice."
        )
    asked = asked_of(folder)
    benchmarks = benchmarks_of_run(run, asked)
    writers = {name: load("reports", name) for name in _reports(asked, reports)}
    before, after = (
        {
            bench.name: read_journal(folder / arm / f"{bench.name}.jsonl", Sample)
            for bench in benchmarks
        }
        for arm in ("before", "after")
    )
    with locked(folder):
        verdicts = judge(
            settings,
            benchmarks,
            before,
            after,
            data=data_of(str(asked["data"])),
            folder=folder,
            store=Store(folder.parent / "store.sqlite"),
            seed=run.report.seed,
            device=device,
            dtype=dtype,
            only_missing=only_missing,
        )
        report = _compared(run.report, benchmarks, verdicts)
        return Rejudged(report, write_reports(report, folder, writers), verdicts.calls)


def _compared(old: ReportInput, benchmarks: Sequence[Benchmark], verdicts: Verdicts) -> ReportInput:
    outdated = old.judging.notes if old.judging is not None else ()
    kept = [note for note in old.comparison.notes if note not in outdated]
    columns = {bench.name: bench.columns for bench in benchmarks}
    comparison = compare(
        verdicts.before,
        verdicts.after,
        columns,
        seed=old.comparison.seed,
        draws=old.comparison.draws,
        margin=old.comparison.margin,
        alpha=old.comparison.alpha,
        notes=[*kept, *verdicts.notes],
    )
    overlaps = overlaps_of(
        [overlap.touched for overlap in old.overlaps],
        verdicts.before,
        verdicts.after,
        columns,
        comparison,
    )
    comparison = with_notes(comparison, overlaps, old.overlaps)
    return dataclasses.replace(
        old,
        comparison=comparison,
        overlaps=overlaps,
        examples=examples_of(comparison, verdicts.before, verdicts.after),
        before=verdicts.before,
        after=verdicts.after,
        judging=verdicts.judging,
    )


def like_last(folder: Path, settings: JudgeSettings) -> JudgeSettings:
    """Return settings with the judge of last time.

    Raises:
        UsageError: if no judge was ever named for this run, or there is no such run.
    """
    open_run(folder)
    last = last_judging(folder)
    if last is None:
        raise UsageError(
            f"The answers in {folder} were marked by the built-in grader alone. Name a judge, for "
            "example --judge openai:MODEL@http://localhost:8000/v1"
        )
    return dataclasses.replace(settings, judge=last[1].judge, judgings=last[1].judgings)


def asked_of(folder: Path) -> dict[str, Any]:
    """Read what was asked of a run or a measurement: its data, benchmarks and reports.

    Raises:
        HarnessError: if its settings do not say so, as those of imported results.
    """
    file = folder / "settings.json"
    try:
        asked: dict[str, Any] = read_json(file)["asked"]
        reports = asked.get("reports", ())
        return {"data": asked["data"], "benches": asked["benches"], "reports": reports}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HarnessError(
            f"{file} does not say what was asked of the run ({error!r}). Only the folder of a "
            "harness run or harness eval can be judged; call the same command again to restore it."
        ) from error


def benchmarks_of_run(run: FinishedRun, asked: Mapping[str, Any]) -> list[Benchmark]:
    """Return the benchmarks whose answers a run holds, as it was asked for them."""
    wanted = [benchmark(name) for name in expand(asked["benches"])]
    return [bench for bench in wanted if bench.name in run.after]


def _reports(asked: Mapping[str, Any], more: Sequence[str]) -> tuple[str, ...]:
    return distinct(("json", *map(str, asked["reports"]), *more))
