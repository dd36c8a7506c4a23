"""A finished run judged again: nothing is asked of the model, everything after it is made anew."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.benchmark import benchmark, expand
from harness.context import Context, EvalPlan
from harness.errors import HarnessError, UsageError
from harness.judge import judge, last_judging, read_prompts
from harness.records import Sample, Samples, distinct
from harness.report import ReportInput, conclude, conclude_alone, write_reports, writers_of
from harness.resolve import data_of
from harness.run import with_rounds
from harness.runs import FinishedRun, open_run, refuse_changed
from harness.settings import EvalSettings, JudgeSettings
from harness.stages import round_folder
from harness.storage import RunRecord, locked, open_store, read_journal


@dataclass(frozen=True)
class Rejudged:
    """What judging a run again came to; ``calls`` counts the questions that reached the judge."""

    report: ReportInput
    written: Mapping[str, Path]
    calls: int


def rejudge(
    folder: Path, settings: JudgeSettings, *, reports: Sequence[str] = (), device: str = "auto"
) -> Rejudged:
    """Judge the stored answers of a run or of one model, and write its result and reports anew.

    Args:
        folder: the run folder.
        settings: who judges.
        reports: besides those that the run wrote.
        device: where a local judge runs.

    Raises:
        UsageError: if there is no such run or judge, or the run's data are not there.
        HarnessError: if data or judge have changed, or a file is damaged.
    """
    refuse_changed(folder)  # its result and manifest would be written anew
    run, record = open_run(folder), RunRecord.read(folder)
    if run.more:
        raise UsageError(
            f"{folder} holds several seeds together, whose verdicts come from their own runs. "
            "Run harness run with --seeds and --judge again: nothing is generated twice."
        )
    plan = _plan(run, record, settings, device)
    names = distinct(("json", *record.reports, *reports))
    writers = writers_of(names)
    before = _answers(folder, "before", plan) if run.before else {n: () for n in plan.columns}
    with locked(folder):
        context = Context(plan, folder, open_store(folder.parent))
        after, made = _answers(folder, "after", plan), run.report.rounds
        rounds = {
            number: _answers(round_folder(folder, number), "after", plan)
            for number in (made.evaluated if made is not None else ())
        }
        verdicts = judge(context, before, after)
        if run.report.comparison is None:
            report = conclude_alone(
                run.report,
                verdicts.after,
                plan.columns,
                judging=verdicts.judging,
                published={bench.name: bench.published for bench in plan.benchmarks},
            )
        else:
            report = conclude(
                run.report,
                verdicts,
                plan.columns,
                like=run.report.comparison,
                touched=[overlap.touched for overlap in run.report.overlaps],
            )
            if made is not None and made.each[-1].figures:
                report = with_rounds(report, rounds, before, context)
        return Rejudged(report, write_reports(report, folder, writers), verdicts.calls)


def like_last(folder: Path, settings: JudgeSettings) -> JudgeSettings:
    """Return settings with the judge of last time.

    Raises:
        UsageError: if no judge was ever named for this run, or there is no such run.
    """
    open_run(folder)
    last = last_judging(folder)
    if last is None:
        raise UsageError(
            f"The answers in {folder} were scored by the built-in grader alone. Name a judge, for "
            "example --judge openai:MODEL@http://localhost:8000/v1"
        )
    judging = last[1]
    asked = RunRecord.read(folder).asked.get("judging") or {}
    prompts = settings.prompts or tuple(map(str, asked.get("prompts", ())))
    given = tuple(each.note for each in read_prompts(prompts).values()) if judging.prompts else ()
    if not settings.prompts and given != judging.prompts:
        raise UsageError(
            f"The verdicts in {folder} were given with prompts that the run does not name: "
            f"{' '.join(judging.prompts)} Name them with --judge-prompt BENCH=FILE."
        )
    return dataclasses.replace(
        settings,
        judge=judging.judge,
        judgings=judging.judgings,
        accept_judge=settings.accept_judge or (judging.judge if judging.accepted else None),
        prompts=prompts if judging.prompts else settings.prompts,
    )


def _plan(run: FinishedRun, record: RunRecord, settings: JudgeSettings, device: str) -> EvalPlan:
    """Return what was measured then, with the judge of now."""
    data = record.asked.get("data")
    if not isinstance(data, str) or not record.benches:
        raise HarnessError(
            f"{run.folder / 'settings.json'} does not say what was asked of the run. Only the "
            "folder of a harness run or harness eval can be judged; call the same command again "
            "to restore it."
        )
    wanted = [benchmark(name).under(run.report.protocol) for name in expand(record.benches)]
    return EvalPlan(
        settings=EvalSettings(record.benches, data=data, device=device, judging=settings),
        benchmarks=tuple(bench for bench in wanted if bench.name in run.after),
        model=run.report.model,
        data=data_of(data),
        notice=run.report.notice,
        inputs=record.inputs,
        seed=run.report.seed,
        protocol=run.report.protocol,
    )


def _answers(folder: Path, arm: str, plan: EvalPlan) -> Samples:
    return {name: read_journal(folder / arm / f"{name}.jsonl", Sample) for name in plan.columns}
