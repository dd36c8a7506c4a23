"""The run: align one model with one method, and measure it before and after.

Read :func:`run` and you know the program. Every stage finds its own finished work on disk by the
fingerprint of its inputs, so calling this again continues where it stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import progress
from harness.compare import Comparison, compare, examples_of
from harness.contamination import ImageOverlap, check_contamination, overlaps_of, with_notes
from harness.dpo import read_curves
from harness.engine import ENGINE_VERSION
from harness.evaluate import Evaluation, evaluate
from harness.judge import Verdicts, judge
from harness.model import Model, open_model
from harness.pairs import PairReport, PairSet, make_pairs, pair_diagnostics
from harness.plugins import load
from harness.records import fingerprint, to_json
from harness.report import ReportInput, write_reports
from harness.resolve import Plan, prints_of, resolve, settings_json, versions
from harness.runs import notes_on_before, take_before
from harness.settings import Settings
from harness.storage import Store, image_folder, locked, write_json
from harness.train import Checkpoint, image_ablation_note, merged, train


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


def run(settings: Settings) -> Outcome:
    """Make pairs, train on them, evaluate before and after, compare, and report.

    "Before" comes first: a broken benchmark fails before training is paid for.

    Raises:
        UsageError: if the settings name something that is not there.
        HarnessError: if a stage could not do its work, or another process is at work in the run
            folder; everything finished stays on disk.
    """
    plan = resolve(settings)
    store = Store(settings.out / "store.sqlite")
    model = open_model(plan.model, store=store, device=settings.device, dtype=settings.dtype)
    with locked(plan.folder(model.fingerprint)) as folder:
        _describe(plan, model, folder)

        if settings.baseline is not None:
            take_before(settings.baseline, folder, _prints(plan, model))
        before = _evaluate("before", plan, model, folder)
        pairs = _make_pairs(plan, model, folder)
        doctor = pair_diagnostics(folder, plan.method, plan.options, seed=settings.seed)
        checkpoint = _train(plan, model, pairs, folder)
        notes = _after_training(plan, model, pairs, checkpoint, folder)
        aligned = model.with_adapter(checkpoint.path)
        after = _evaluate("after", plan, aligned, folder)

        verdicts = _judge(plan, aligned, before, after, folder, store)
        touched = _look_for_prompts(plan, store)
        report = _compare(plan, verdicts, touched, pairs, doctor, checkpoint, folder, notes)
        writers = {name: load("reports", name) for name in settings.reports}
        return Outcome(
            folder=folder,
            comparison=report.comparison,
            pairs=pairs,
            checkpoint=checkpoint,
            report=report,
            written=write_reports(report, folder, writers),
            calls=model.calls + aligned.calls,
            reused=all(work.reused for work in (before, pairs, checkpoint, after, verdicts)),
        )


def _describe(plan: Plan, model: Model, folder: Path) -> None:
    measured = {"model": model.fingerprint, "engine": str(ENGINE_VERSION)}
    write_json(folder / "settings.json", settings_json(plan, **measured))
    write_json(folder / "versions.json", versions())


def _prints(plan: Plan, model: Model) -> dict[str, str]:
    asked = plan.settings
    return prints_of(
        plan.benchmarks, plan.inputs, model.fingerprint, asked.limit, asked.max_new_tokens
    )


def _evaluate(arm: str, plan: Plan, model: Model, folder: Path) -> Evaluation:
    return evaluate(
        arm,
        model,
        plan.benchmarks,
        data=plan.data,
        folder=folder,
        fingerprints=_prints(plan, model),
        limit=plan.settings.limit,
        max_new_tokens=plan.settings.max_new_tokens,
    )


def _make_pairs(plan: Plan, model: Model, folder: Path) -> PairSet:
    return make_pairs(
        plan.method,
        plan.prompts,
        model,
        plan.options,
        seed=plan.settings.seed,
        folder=folder,
        fingerprint=fingerprint(model.fingerprint, ENGINE_VERSION, *_wanted(plan)),
        pair_timeout=60 * plan.settings.pair_timeout,
    )


def _train(plan: Plan, model: Model, pairs: PairSet, folder: Path) -> Checkpoint:
    texts = [(pair.prompt.id, pair.chosen, pair.rejected) for pair in pairs.pairs]
    return train(
        plan.method,
        pairs.pairs,
        model,
        plan.options,
        seed=plan.settings.seed,
        folder=folder,
        fingerprint=fingerprint(model.fingerprint, texts, *_wanted(plan)),
    )


def _after_training(
    plan: Plan, model: Model, pairs: PairSet, checkpoint: Checkpoint, folder: Path
) -> list[str]:
    """Do what was asked for beside the training, and return what readers should know of it."""
    notes = [plan.notice] if plan.notice else []
    if plan.settings.image_ablation:
        notes.append(image_ablation_note(checkpoint, pairs.pairs, model, folder))
    if plan.settings.merge:
        progress.say(f"merged      {merged(checkpoint, model, folder)}")
    return notes


def _wanted(plan: Plan) -> tuple[object, ...]:
    """Return what besides the model determines pairs and training."""
    options = to_json(plan.options) if plan.options is not None else None
    return (plan.inputs["method"], plan.inputs["prompts"], options, plan.settings.seed)


def _judge(
    plan: Plan,
    model: Model,
    before: Evaluation,
    after: Evaluation,
    folder: Path,
    store: Store,
) -> Verdicts:
    settings = plan.settings
    if settings.judging.local:
        model.release()  # the judge needs the memory, and nobody asks the model any more
    return judge(
        settings.judging,
        plan.benchmarks,
        before.samples,
        after.samples,
        data=plan.data,
        folder=folder,
        store=store,
        seed=settings.seed,
        device=settings.device,
        dtype=settings.dtype,
    )


def _look_for_prompts(plan: Plan, store: Store) -> tuple[ImageOverlap, ...]:
    return check_contamination(
        plan.prompts,
        plan.benchmarks,
        data=plan.data,
        store=store,
        inputs=plan.inputs,
        limit=plan.settings.limit,
    )


def _compare(
    plan: Plan,
    verdicts: Verdicts,
    touched: Sequence[ImageOverlap],
    pairs: PairSet,
    doctor: PairReport,
    checkpoint: Checkpoint,
    folder: Path,
    notes: list[str],
) -> ReportInput:
    settings = plan.settings
    columns = {benchmark.name: benchmark.columns for benchmark in plan.benchmarks}
    comparison = compare(
        verdicts.before,
        verdicts.after,
        columns,
        seed=settings.seed,
        notes=[*notes, *notes_on_before(folder), *verdicts.notes],
    )
    overlaps = overlaps_of(touched, verdicts.before, verdicts.after, columns, comparison)
    comparison = with_notes(comparison, overlaps)
    options = to_json(plan.options) if plan.options is not None else {}
    return ReportInput(
        comparison=comparison,
        method=settings.method,
        model=settings.model,
        data=settings.data,
        seed=settings.seed,
        options={key: str(value) for key, value in options.items()},
        pairs=len(pairs.pairs),
        dropped=pairs.dropped,
        checkpoint=checkpoint.path.relative_to(folder).as_posix(),
        versions=versions(),
        notice=plan.notice,
        examples=examples_of(comparison, verdicts.before, verdicts.after),
        before=verdicts.before,
        after=verdicts.after,
        doctor=doctor,
        curves=read_curves(folder),
        images=image_folder(folder),
        judging=verdicts.judging,
        overlaps=overlaps,
    )
