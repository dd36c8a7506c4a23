"""The run: align one model with one method, and measure it before and after.

Read :func:`run` and you know the whole. Every stage finds its own finished work on disk by the
fingerprint of its inputs, so calling this again continues where it stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness import progress
from harness.compare import Comparison, Terms
from harness.conclude import conclude, each_round
from harness.contamination import check_contamination
from harness.context import Context, Plan
from harness.dpo import read_curves, read_effect
from harness.evaluate import evaluate
from harness.judge import judge
from harness.model import open_model
from harness.pairs import PairSet
from harness.plugins import load
from harness.preflight import check_knobs, preflight_once
from harness.records import to_json
from harness.report import ReportInput, write_reports
from harness.resolve import resolve, versions
from harness.runs import looked, take_before, taken_in
from harness.settings import Settings
from harness.storage import Store, image_folder, locked, write_json
from harness.train import (
    Ablation,
    Checkpoint,
    Trained,
    ablation,
    align,
    check_rounds,
    merged,
    round_folder,
)


@dataclass(frozen=True)
class Outcome:
    """What a run came to, and where it lies.

    Attributes:
        folder: the run folder.
        comparison: the result.
        pairs: what was trained on.
        checkpoint: what came out of the training.
        report: what the reports were written from.
        written: the files of the reports, by name.
        calls: how many requests reached the model in this call, and not the store.
        reused: whether every stage's work was found done.
    """

    folder: Path
    comparison: Comparison
    pairs: PairSet
    checkpoint: Checkpoint
    report: ReportInput
    written: Mapping[str, Path]
    calls: int
    reused: bool


def run(settings: Settings, *, alone: bool = True) -> Outcome:
    """Make pairs, train on them, evaluate before and after, compare, and report.

    "Before" comes first: a broken benchmark fails before training is paid for.

    Args:
        settings: what the user asked for.
        alone: its result is looked at by itself, not as one seed of several.

    Raises:
        UsageError: if the settings name something that is not there.
        HarnessError: if a stage could not do its work, or another process is at work in the run
            folder; everything finished stays on disk.
    """
    plan = resolve(settings)
    check_knobs(plan.method, plan.options)
    check_rounds(plan)
    terms = Terms(settings.margin, settings.alpha, settings.accept_missing, settings.margins)
    terms.check(plan.columns)
    store = Store(settings.out / "store.sqlite")
    model = open_model(
        plan.model,
        store=store,
        device=settings.device,
        dtype=settings.dtype,
        protocol=plan.protocol,
    )
    with locked(plan.folder(model.fingerprint)) as folder:
        context = Context(plan, folder, store)
        record = plan.record(model.fingerprint)
        record.write(folder)
        write_json(folder / "versions.json", versions())

        preflight_once(context, model)
        take_before(context, model.fingerprint)
        before = evaluate("before", model, context)
        trained = align(context, model)
        pairs, checkpoint = trained.pairs, trained.checkpoint
        blanked = (
            ablation(checkpoint, pairs.pairs, model, folder) if settings.image_ablation else None
        )
        if settings.merge:
            made = merged(checkpoint, model, folder, pairs.pairs, settings.merge_dtype)
            progress.say(f"merged      {made}")
        aligned = model.with_adapter(checkpoint.path)
        after = evaluate("after", aligned, context)
        between = {
            number: evaluate(f"rounds/{number}/after", model.with_adapter(path), context)
            for number, path in trained.models.items()
            if settings.eval_rounds
        }
        if settings.judging.local:
            aligned.release()  # the judge needs the memory, and nobody asks the model any more
        verdicts = judge(context, before.samples, after.samples)

        report = conclude(
            _about(context, trained, blanked),
            verdicts,
            plan.columns,
            seed=settings.seed,
            terms=terms,
            touched=check_contamination(context),
        )
        if settings.eval_rounds:
            found = {
                number: judge(_within(context, number), before.samples, arm.samples).after
                for number, arm in between.items()
            }
            report = each_round(report, found, plan.columns)
        if alone:
            looks = looked(settings.out, report.compared, record.arms, [settings.seed])
            report = replace(report, looks=looks)
        writers = {name: load("reports", name) for name in settings.reports}
        return Outcome(
            folder=folder,
            comparison=report.compared,
            pairs=pairs,
            checkpoint=checkpoint,
            report=report,
            written=write_reports(report, folder, writers),
            calls=model.calls + trained.calls + aligned.calls,
            reused=all(work.reused for work in (before, pairs, checkpoint, after, verdicts)),
        )


def _within(context: Context[Plan], number: int) -> Context[Plan]:
    return replace(context, folder=round_folder(context.folder, number))


def _about(context: Context[Plan], trained: Trained, blanked: Ablation | None) -> ReportInput:
    """Say what was trained on what, for the reports."""
    plan, folder = context.plan, context.folder
    options = to_json(plan.options) if plan.options is not None else {}
    return ReportInput(
        comparison=None,
        method=plan.settings.method,
        model=plan.settings.model,
        data=plan.settings.data,
        seed=plan.seed,
        options={key: str(value) for key, value in options.items()},
        pairs=len(trained.pairs.pairs),
        dropped=trained.pairs.dropped,
        checkpoint=trained.checkpoint.path.relative_to(folder).as_posix(),
        versions=versions(),
        notice=plan.notice,
        doctor=trained.doctor,
        curves=read_curves(folder),
        training=read_effect(folder),
        images=image_folder(folder),
        taken=taken_in(folder),
        ablation=blanked,
        rounds=trained.rounds,
        protocol=plan.protocol,
        notes=plan.notes,
    )
