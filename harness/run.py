"""The run: align one model with one method, and measure it before and after.

Read :func:`run` and you know the whole. Every stage finds its own finished work on disk by the
fingerprint of its inputs, so calling this again continues where it stopped.

:func:`run_seeds` repeats it with further training seeds, each in a folder of its own. Their joint
result lies in a folder beside them that holds every row of every seed, so that it can be reported,
bundled and verified like any run: the first seed at its top, the others below ``seeds/``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness import progress
from harness.compare import Comparison, Terms
from harness.context import Context, EvalPlan, Plan
from harness.dpo import read_curves, read_effect, training_of
from harness.errors import UsageError
from harness.judge import Verdicts, judge
from harness.model import Model, open_checkpoint
from harness.pairs import PairSet
from harness.records import Samples, to_json
from harness.report import (
    TWO_SEEDS,
    ReportInput,
    conclude,
    each_round,
    note_records,
    write_reports,
    writers_of,
)
from harness.resolve import resolve, versions
from harness.runs import (
    FinishedRun,
    collect_seeds,
    columns_of,
    looked,
    open_run,
    take_before,
    taken_in,
)
from harness.settings import Settings
from harness.stages import (
    AFTER,
    BEFORE,
    JUDGE,
    PAIRS,
    TRAIN,
    Ablation,
    Checkpoint,
    Evaluation,
    PairPart,
    StageState,
    Trained,
    ablation,
    align,
    answer_part,
    attribute,
    bars_of,
    check_contamination,
    check_knobs,
    check_rounds,
    evaluate,
    merged,
    pairs_after_parts,
    preflight_once,
    require,
    round_folder,
    stages_of_plan,
)
from harness.storage import (
    RunRecord,
    Store,
    image_folder,
    locked,
    open_store,
    reopen,
    spread,
    write_json,
)

_TOO_FEW = 2


@dataclass(frozen=True)
class Outcome:
    """What a run came to, and where it lies.

    ``calls`` counts the requests that reached the model in this call, and not the store; ``reused``
    says whether every stage's work was found done.
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
    with _begun(settings) as (context, model):
        plan, folder = context.plan, context.folder
        terms, record = _terms(settings), plan.record(model.fingerprint, model.answered_by)
        progress.current().stages(bars_of(plan))
        preflight_once(context, model)
        before = _before(context, model)
        trained, blanked = _trained(context, model)
        pairs, checkpoint = trained.pairs, trained.checkpoint
        aligned = model.with_adapter(checkpoint.path)
        after = evaluate("after", aligned, context)
        rounds = _answers_of_rounds(trained, model, context)
        arms = (before.samples, after.samples)
        explained = attribute(context, (model, aligned), *arms, settings.attribution)
        aligned.release()  # nobody asks it any more; a judge or the caller needs the memory
        verdicts = judge(context, before.samples, after.samples)
        report = conclude(
            replace(_about(context, trained, blanked), attribution=explained),
            verdicts,
            plan.columns,
            seed=settings.seed,
            terms=terms,
            touched=check_contamination(context),
        )
        if settings.eval_rounds:
            report = with_rounds(report, rounds, before.samples, context)
        if alone:
            looks = looked(settings.out, report.compared, record.arms, [settings.seed])
            report = replace(report, looks=looks)
        return Outcome(
            folder=folder,
            comparison=report.compared,
            pairs=pairs,
            checkpoint=checkpoint,
            report=report,
            written=write_reports(report, folder, writers_of(settings.reports)),
            calls=model.calls + trained.calls + aligned.calls,
            reused=all(work.reused for work in (before, pairs, checkpoint, after, verdicts)),
        )


def run_only(settings: Settings, stages: Collection[str]) -> tuple[Path, tuple[StageState, ...]]:
    """Do single stages of a run, of :data:`harness.stages.STAGES` all but the report.

    Args:
        settings: of the whole run.
        stages: which; they are done in the order of a run.

    Returns:
        The run folder, and how far each stage is.

    Raises:
        UsageError: as :func:`run`; and if a stage needs one that is not done.
        HarnessError: as :func:`run`.
    """
    if settings.rounds is not None and PAIRS in stages and TRAIN not in stages:
        raise UsageError(
            "In rounds, pairs are made with the model that the round before trained. Name both "
            "stages: --only pairs,train"
        )
    with _begun(settings) as (context, model):
        if {PAIRS, TRAIN}.intersection(stages):
            preflight_once(context, model)
        if BEFORE in stages:
            _before(context, model)
        if PAIRS in stages and settings.rounds is None:
            pairs_after_parts(context, model)
        for stage in (each for each in (TRAIN, AFTER, JUDGE) if each in stages):
            if not (stage == TRAIN and PAIRS in stages):  # rounds make the pairs as they train
                require(stage, _states(context, model), context.folder)
            trained, _ = _trained(context, model)
            aligned = model.with_adapter(trained.checkpoint.path)
            if stage == AFTER:
                evaluate(AFTER, aligned, context)
                _answers_of_rounds(trained, model, context)
            elif stage == JUDGE:
                arms = [(BEFORE, model), (AFTER, aligned)]
                judge(context, *(evaluate(arm, who, context).samples for arm, who in arms))
        note_records(context.folder)
        return context.folder, _states(context, model)


def run_part(settings: Settings, part: PairPart) -> tuple[Path, tuple[StageState, ...]]:
    """Let the method ask about a part of the prompts, for the pair stage to find the answers.

    Parts may run at once, also on several machines; the first does the preflight.

    Raises:
        UsageError: if the settings name what does not exist or ask for rounds; for too many parts.
        HarnessError: if the method hangs or yields an invalid pair; answers stay in the store.
    """
    with _begun(settings, part) as (context, model):
        if part.number == 1:
            preflight_once(context, model)
        answer_part(context, model, part)
        return context.folder, _states(context, model)


def _states(context: Context[Plan], model: Model) -> tuple[StageState, ...]:
    return stages_of_plan(context.plan, model, context.folder)


@contextlib.contextmanager
def _begun(
    settings: Settings, part: PairPart | None = None
) -> Iterator[tuple[Context[Plan], Model]]:
    """Resolve what was asked, take the run folder or a part's, and write down what was asked."""
    plan = resolve(settings)
    check_knobs(plan.method, plan.options)
    check_rounds(plan)
    _terms(settings).check(plan.columns)
    if part is not None:
        part.check(plan)
        spread(settings.out)  # parts on several machines must not share a file of SQLite
    store = open_store(settings.out)
    model = model_of(plan, store)
    folder = plan.folder(model.fingerprint)
    with locked(folder if part is None else part.folder(folder)):
        if part is None or not (folder / "settings.json").is_file():
            plan.record(model.fingerprint, model.answered_by).write(folder)
            write_json(folder / "versions.json", versions())
            reopen(folder, "settings.json", "versions.json")
        try:
            yield Context(plan, folder, store), model
        finally:
            with contextlib.suppress(Exception):  # a broken device hides neither result nor error
                model.release()


def model_of(plan: Plan, store: Store | None = None) -> Model:
    """Open the model that a run starts from; no weights are loaded yet.

    Raises:
        UsageError: if there is no such model, or it cannot be used as the plan says.
    """
    asked = plan.settings
    return open_checkpoint(
        plan.model,
        store=store,
        device=asked.device,
        dtype=asked.dtype,
        protocol=plan.protocol,
        engine=plan.engine,
    )


def _terms(settings: Settings) -> Terms:
    return Terms(settings.margin, settings.alpha, settings.accept_missing, settings.margins)


def _before(context: Context[Plan], model: Model) -> Evaluation:
    if context.plan.settings.baseline is not None:
        take_before(context, model.fingerprint)
    return evaluate(BEFORE, model, context)


def _trained(context: Context[Plan], model: Model) -> tuple[Trained, Ablation | None]:
    """Make pairs and train, and do what is asked of the checkpoint."""
    settings, folder = context.plan.settings, context.folder
    trained = align(context, model)
    pairs, checkpoint = trained.pairs.pairs, trained.checkpoint
    blanked = ablation(checkpoint, pairs, model, folder) if settings.image_ablation else None
    if settings.merge:
        made = merged(checkpoint, model, folder, pairs, settings.merge_dtype)
        progress.say(f"merged      {made}")
    return trained, blanked


def _answers_of_rounds(
    trained: Trained, model: Model, context: Context[Plan]
) -> dict[int, Samples]:
    """Evaluate the model of every round but the last, where that was asked."""
    if not context.plan.settings.eval_rounds:
        return {}
    arms = {
        number: evaluate(f"rounds/{number}/after", model.with_adapter(path), context)
        for number, path in trained.models.items()
    }
    return {number: arm.samples for number, arm in arms.items()}


def with_rounds(
    report: ReportInput, rounds: Mapping[int, Samples], before: Samples, context: Context[EvalPlan]
) -> ReportInput:
    """Let the judge mark the answers of single rounds, and add their figures."""
    places = {
        number: replace(context, folder=round_folder(context.folder, number)) for number in rounds
    }
    arms = {number: judge(places[number], before, rounds[number]).after for number in rounds}
    return each_round(report, arms, context.plan.columns)


def _about(context: Context[Plan], trained: Trained, blanked: Ablation | None) -> ReportInput:
    """Say what was trained on what, for the reports."""
    plan, folder = context.plan, context.folder
    # A method that trains as another does has options of its own, and not those of the training.
    trains = training_of(plan.method, plan.options)
    asked = (each for each in (plan.options, trains) if each is not None)
    options = {name: value for each in asked for name, value in to_json(each).items()}
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
        engine=RunRecord.read(folder).engine,
    )


def run_seeds(settings: Settings, count: int) -> Outcome:
    """Run a method with ``count`` seeds from ``settings.seed`` on, and compare over all of them.

    Returns:
        The first seed's outcome with the joint folder, comparison and reports; ``calls`` and
        ``reused`` are those of all seeds together.

    Raises:
        UsageError: see :func:`run`.
        HarnessError: see :func:`run`; finished seeds stay on disk.
    """
    if count == 1:
        return run(settings)
    if count == _TOO_FEW:
        progress.say(TWO_SEEDS)
    writers = writers_of(settings.reports)  # a wrong name costs nothing yet
    outcomes = []
    with progress.current().repeated(count):
        for seed in range(settings.seed, settings.seed + count):
            progress.say(f"Seed {seed}: {seed - settings.seed + 1} of {count}.")
            outcomes.append(run(replace(settings, seed=seed, reports=("json",)), alone=False))
    first = outcomes[0]
    folder = first.folder.with_name(f"{first.folder.name}-seeds{count}")
    with locked(first.folder):
        collect_seeds(folder, [outcome.folder for outcome in outcomes])
        runs = [open_run(outcome.folder) for outcome in outcomes]
        report = _together(first, runs, settings.seed)
        looks = looked(settings.out, report.compared, runs[0].arms, report.seeds)
        report = replace(report, looks=looks)
        written = write_reports(report, folder, writers)
    return replace(
        first,
        folder=folder,
        comparison=report.compared,
        report=report,
        written=written,
        calls=sum(outcome.calls for outcome in outcomes),
        reused=all(outcome.reused for outcome in outcomes),
    )


def _together(first: Outcome, runs: Sequence[FinishedRun], seed: int) -> ReportInput:
    (before, after), *more = [(run.before, run.after) for run in runs]
    about = replace(
        first.report,
        seeds=tuple(run.report.seed for run in runs),
        checkpoint=(Path("..") / first.folder.name / first.report.checkpoint).as_posix(),
    )
    return conclude(
        about,
        Verdicts(before, after, first.report.judging),
        {name: columns_of(name, *runs) for name in before},
        seed=seed,
        terms=first.comparison.terms,
        touched=[overlap.touched for overlap in first.report.overlaps],
        more=more,
    )
