"""One model, measured and nothing else: a run folder with a single arm.

Two of them are compared with ``harness compare``, one is the baseline of ``harness gate``, and the
answers of one serve as the arm before of ``harness run --baseline``. A server's model, which cannot
be trained here, can be measured all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.conclude import conclude_alone
from harness.context import Context
from harness.evaluate import evaluate
from harness.judge import judge
from harness.model import open_model, short_name
from harness.plugins import load
from harness.report import ReportInput, write_reports
from harness.resolve import resolve_eval, versions
from harness.settings import EvalSettings
from harness.storage import Store, image_folder, locked, write_json


@dataclass(frozen=True)
class EvalResult:
    """What a measurement came to.

    Attributes:
        folder: of the run.
        report: the figures, and what a reader of them has to know.
        calls: how often the model was asked, and not the store.
        judge_calls: questions that reached a judge.
    """

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
    store = Store(asked.out / "store.sqlite")
    model = open_model(
        plan.model,
        store=store,
        device=asked.device,
        dtype=asked.dtype,
        protocol=plan.protocol,
    )
    model = model if asked.adapter is None else model.with_adapter(asked.adapter)
    with locked(plan.folder(model.fingerprint)) as folder:
        context = Context(plan, folder, store)
        plan.record(model.fingerprint).write(folder)
        write_json(folder / "versions.json", versions())
        found = evaluate("after", model, context)
        if asked.judging.local:
            model.release()  # the judge needs the memory, and nobody asks the model any more
        nothing = {name: () for name in plan.columns}
        verdicts = judge(context, nothing, found.samples)
        about = ReportInput(
            comparison=None,
            method=f"eval of {Path(short_name(asked.model)).name}",
            model=asked.model,
            data=asked.data,
            versions=versions(),
            notice=plan.notice,
            images=image_folder(folder),
            protocol=plan.protocol,
        )
        report = conclude_alone(
            about,
            verdicts.after,
            plan.columns,
            judging=verdicts.judging,
            published={bench.name: bench.published for bench in plan.benchmarks},
        )
        write_reports(report, folder, {"json": load("reports", "json")})
        return EvalResult(folder, report, model.calls, verdicts.calls)
