"""One arm by itself: the answers of a model, or answers that exist already, in a run folder.

Two of them are compared with ``harness compare``, one is the baseline of ``harness gate``, and the
answers of one serve as the arm before of ``harness run --baseline``. A server's model, which cannot
be trained here, can be measured all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.context import Context, EvalPlan
from harness.judge import judge
from harness.model import open_model, short_name
from harness.plugins import load
from harness.records import Sample, Samples
from harness.report import ReportInput, conclude_alone, write_reports
from harness.resolve import resolve_eval, versions
from harness.runs import SCORED, Scoring, score_given
from harness.settings import EvalSettings
from harness.stages import evaluate
from harness.storage import (
    RunRecord,
    image_folder,
    journal_of,
    locked,
    open_store,
    reopen,
    save_thumbnail,
    write_json,
)


@dataclass(frozen=True)
class EvalResult:
    """What a measurement came to; ``calls`` counts what reached the model, not the store."""

    folder: Path
    report: ReportInput
    calls: int
    judge_calls: int = 0


def measure(asked: EvalSettings) -> EvalResult:
    """Ask one model every row and write a run folder with the arm ``after``.

    Raises:
        UsageError: if something named is not there.
        HarnessError: if a benchmark cannot be measured; finished answers stay on disk.
    """
    plan = resolve_eval(asked)
    store = open_store(asked.out)
    model = open_model(
        plan.model,
        adapter=asked.adapter,
        store=store,
        device=asked.device,
        dtype=asked.dtype,
        protocol=plan.protocol,
        engine=plan.engine,
    )
    with locked(plan.folder(model.fingerprint)) as folder:
        context = Context(plan, folder, store)
        _record(context, model.fingerprint, model.answered_by)
        found = evaluate("after", model, context)
        model.release()  # nobody asks it any more; a judge or the caller needs the memory
        what = f"eval of {Path(short_name(asked.model)).name}"
        return replace(_concluded(context, found.samples, what), calls=model.calls)


def score_answers(wanted: Scoring, asked: EvalSettings) -> EvalResult:
    """Score answer files and write a run folder with the arm ``after``; no model is asked.

    Raises:
        UsageError: if answers match no row, several match one, or columns are unknown.
        HarnessError: if a file is damaged, or a benchmark cannot be scored.
    """
    plan = resolve_eval(replace(asked, model=wanted.name))
    given = score_given(wanted, plan)
    with locked(plan.folder(given.digest)) as folder:
        context = Context(plan, folder, open_store(asked.out))
        _record(context, given.digest)
        prints = plan.prints(given.digest)
        for name, rows in given.samples.items():
            journal = journal_of(folder / "after" / f"{name}.jsonl", prints[name], Sample)
            if not journal.complete:
                journal.forget(0)
                journal.append(*rows)
                journal.finish()
        for row in given.rows:
            save_thumbnail(folder, row.image, row.images)
        return _concluded(context, given.samples, f"{SCORED}{wanted.name}", given.notes)


def _record(context: Context[EvalPlan], model: str, engine: str = "") -> None:
    """Write what was asked, of which model, with which versions."""
    context.plan.record(model, engine).write(context.folder)
    write_json(context.folder / "versions.json", versions())
    reopen(context.folder, "settings.json", "versions.json")


def _concluded(
    context: Context[EvalPlan], samples: Samples, what: str, notes: Sequence[str] = ()
) -> EvalResult:
    """Judge an arm's open answers, put its figures together and write them down."""
    plan, folder = context.plan, context.folder
    verdicts = judge(context, {name: () for name in plan.columns}, samples)
    about = ReportInput(
        comparison=None,
        method=what,
        model=str(plan.settings.model),
        data=plan.settings.data,
        versions=versions(),
        notice=plan.notice,
        notes=tuple(notes),
        images=image_folder(folder),
        protocol=plan.protocol,
        engine=RunRecord.read(folder).engine,
    )
    report = conclude_alone(
        about,
        verdicts.after,
        plan.columns,
        judging=verdicts.judging,
        published={bench.name: bench.published for bench in plan.benchmarks},
    )
    write_reports(report, folder, {"json": load("reports", "json")})
    return EvalResult(folder, report, 0, verdicts.calls)
