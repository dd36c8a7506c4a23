"""The command that does the whole job."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import (
    ALLOW_URLS,
    BENCH,
    DATA,
    EVENTS,
    LIMIT,
    MAX_NEW_TOKENS,
    NAMES,
    PAIR_IMAGES,
    PATH,
    QUIET,
    TRACK,
    comparison_flags,
    engine_values,
    judge_flags,
    judge_settings,
    key_values,
    model_flags,
    say_next,
    terms_of,
)
from harness.cli.recipes import RecipeCommand
from harness.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from harness.progress import Reporter
    from harness.run import Outcome
    from harness.settings import Settings
    from harness.stages import StageState


_ROUNDS = {"round_prompts": "prompts", "replay": "replay", "round_reference": "reference"}


@click.command(cls=RecipeCommand)
@click.option(
    "--method", required=True, metavar="NAME", help="Alignment method; see harness list methods."
)
@BENCH
@click.option(
    "--model",
    default="tinyworld",
    show_default=True,
    metavar="PATH_OR_ID",
    help="Model to align: folder or hub id of a safetensors checkpoint, or the built-in demo.",
)
@DATA
@click.option(
    "--prompts",
    default="tinyworld",
    show_default=True,
    metavar="FILE|DIR",
    help="Training prompts: image, question and, if known, reference answer; see docs/pairs.md.",
)
@click.option(
    "--pairs",
    metavar="FILE|DIR",
    help="Existing preference pairs, for --method given; see docs/pairs.md.",
)
@PAIR_IMAGES
@ALLOW_URLS
@click.option(
    "--preset",
    metavar="NAME",
    help="Preset of the method's options, such as paper; by default the one that fits.",
)
@click.option(
    "--set",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set one option of the method; may be repeated.",
)
@click.option(
    "--holdout",
    type=click.FloatRange(min=0, max=0.5),
    metavar="SHARE",
    help="Share of the pairs held out of training, such as 0.05, to measure margin and accuracy.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Random seed of pairs, training and intervals.",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    metavar="N",
    default=1,
    show_default=True,
    help="Train with N seeds, starting at --seed, and compare over all of them.",
)
@LIMIT
@MAX_NEW_TOKENS
@click.option(
    "--max-prompts", type=click.IntRange(min=1), metavar="N", help="Use only the first N prompts."
)
@click.option(
    "--report",
    "reports",
    type=NAMES,
    default="markdown,html",
    show_default=True,
    metavar="A,B",
    help="Reports to write, comma-separated; see harness list reports.",
)
@TRACK
@model_flags
@click.option(
    "--baseline",
    metavar="BUNDLE|RUN",
    type=PATH,
    help="Reuse the answers of the model before from this run or bundle, where nothing differs.",
)
@click.option(
    "--pair-timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    metavar="MINUTES",
    help="Longest time a method may take for one pair.",
)
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Make pairs and train N times, each time with the model of the previous round.",
)
@click.option(
    "--round-prompts",
    type=click.Choice(["same", "fresh"]),
    default="same",
    show_default=True,
    help="Ask all prompts in every round, or divide them among the rounds.",
)
@click.option(
    "--replay",
    type=click.FloatRange(min=0, max=1),
    default=0.0,
    metavar="SHARE",
    help="In later rounds, also train on this share of the pairs of earlier rounds.",
)
@click.option(
    "--round-reference",
    type=click.Choice(["previous", "base"]),
    default="previous",
    show_default=True,
    help="Reference model of DPO in later rounds: the model of the previous round, or the base.",
)
@click.option("--eval-rounds", is_flag=True, help="Evaluate the model of every round.")
@click.option(
    "--image-ablation",
    is_flag=True,
    help="After training, measure how much answers depend on the image.",
)
@click.option(
    "--attribution",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="For N rows, show in the HTML report which image regions the answers depend on.",
)
@click.option(
    "--merge", is_flag=True, help="Also write base and adapter merged into one checkpoint."
)
@click.option(
    "--merge-dtype",
    type=click.Choice(["auto", "float32"]),
    default="auto",
    show_default=True,
    help="Number format of the merged checkpoint; auto is that of the model.",
)
@comparison_flags
@judge_flags
@click.option(
    "--only",
    type=NAMES,
    default="",
    metavar="STAGE,...",
    help="Run only these stages: before, pairs, train, after, judge, report; the stages that they "
    "depend on must be done.",
)
@click.option(
    "--part",
    metavar="K/N",
    help="With --only pairs: ask about every Nth prompt from the Kth on, as one of N jobs whose "
    "answers the pair stage then finds.",
)
@EVENTS
@QUIET
def run(
    seeds: int,
    nproc: int,
    only: tuple[str, ...],
    part: str | None,
    events: bool,
    quiet: bool,
    **asked: Any,
) -> int:
    """Make pairs, train on them, evaluate before and after, and compare.

    \b
    harness run --method seva --bench mmvet,pope
    harness run --method seva --bench pope --data hub --model DIR --prompts FILE
    harness run --method seva --bench pope --preset paper --set noise_step=800
    harness run --method given --bench pope --pairs rlaif-v.parquet
    harness run --method seva --bench mmvet,pope --only before,pairs
    harness run --method seva --bench mmvet,pope --only pairs --part 1/4
    """
    from harness.model import run_distributed
    from harness.progress import Reporter, showing
    from harness.run import run_seeds

    settings = settings_of(**asked)

    def job() -> ExitCode:
        with showing(Reporter(quiet=quiet, events=events)) as reporter:
            if part is not None:
                _part(settings, seeds, only, part, reporter)
                return ExitCode.DONE
            if only and not _stages(settings, seeds, only, reporter):
                return ExitCode.DONE
            outcome = run_seeds(settings, seeds)
            if events:
                reporter.event("done", **_summary(outcome))
            else:
                _show(outcome)
        return ExitCode.UNSCORED if outcome.comparison.missing else ExitCode.DONE

    return run_distributed(nproc, job)


def settings_of(
    bench: tuple[str, ...],
    reports: tuple[str, ...],
    track: tuple[str, ...],
    options: tuple[str, ...],
    engine_options: tuple[str, ...],
    holdout: float | None,
    margin: str | None,
    alpha: float | None,
    accept_missing: tuple[str, ...],
    rounds: int,
    **asked: Any,
) -> Settings:
    """Return the settings that the options of a run mean."""
    from harness.records import distinct
    from harness.settings import Settings, round_settings

    given = {name: asked.pop(key) for key, name in _ROUNDS.items()}
    return Settings(
        benches=bench,
        reports=distinct(("json", *reports, *track)),
        options=key_values(options if holdout is None else (*options, f"holdout={holdout}")),
        engine_options=engine_values(engine_options),
        judging=judge_settings(asked),
        rounds=round_settings(rounds, **given),
        **dataclasses.asdict(terms_of(margin, alpha, accept_missing)),
        **asked,
    )


def _stages(settings: Settings, seeds: int, only: tuple[str, ...], reporter: Reporter) -> bool:
    """Do single stages for every seed; return whether the report is wanted and can be made."""
    from harness.run import run_only
    from harness.stages import REPORT, checked_stages, require

    stages = checked_stages(only)
    for seed in range(settings.seed, settings.seed + seeds):
        folder, states = run_only(dataclasses.replace(settings, seed=seed), stages)
        if REPORT in stages:
            require(REPORT, states, folder)
        else:
            _tell(folder, states, reporter)
    return REPORT in stages


def _part(
    settings: Settings, seeds: int, only: tuple[str, ...], text: str, reporter: Reporter
) -> None:
    """Answer one part of the prompts ahead of the pair stage, for every seed."""
    from harness.run import run_part
    from harness.stages import PAIRS, PairPart

    part = PairPart.read(text)
    if only != (PAIRS,):
        raise UsageError(
            f"--part {text} answers a part of the prompts ahead of the pair stage and does nothing "
            "else. Give --only pairs with it, and run the stages without it when all parts are "
            "done."
        )
    for seed in range(settings.seed, settings.seed + seeds):
        _tell(*run_part(dataclasses.replace(settings, seed=seed), part), reporter)


def _tell(folder: Path, states: Sequence[StageState], reporter: Reporter) -> None:
    from harness.records import to_json
    from harness.stages import told

    if reporter.events:
        found = [{**to_json(each), "state": each.state} for each in states]
        reporter.event("stages", folder=str(folder), stages=found)
    else:
        click.echo(told(states, folder))


def _summary(outcome: Outcome) -> dict[str, Any]:
    from harness.records import to_json

    return {
        "folder": str(outcome.folder),
        "checkpoint": str(outcome.checkpoint.path),
        "reports": {name: str(path) for name, path in outcome.written.items()},
        "reused": outcome.reused,
        "calls": outcome.calls,
        "missing": outcome.comparison.missing,
        "notes": outcome.report.sentences,
        "comparison": to_json(outcome.comparison),
    }


def _show(outcome: Outcome) -> None:
    from harness.plugins import load

    load("reports", "terminal")(outcome.report, outcome.folder)
    if outcome.reused:
        click.echo("This run was already done: all results were reused, without a model call.")
    else:
        click.echo(f"{outcome.calls:,} model calls; the other answers came from the cache.")
    say_next("gate", outcome.folder)
