"""The command that does the whole job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.judge import judge_flags, judge_settings
from harness.cli.options import (
    ACCEPT_MISSING,
    ALPHA,
    BENCH,
    DATA,
    DEVICE,
    DTYPE,
    EVENTS,
    LIMIT,
    MARGIN,
    MAX_NEW_TOKENS,
    NPROC,
    OUT,
    QUIET,
    key_values,
    named,
    split,
)
from harness.errors import ExitCode

if TYPE_CHECKING:
    from harness.run import Outcome


@click.command()
@click.option(
    "--method", required=True, metavar="NAME", help="Method to try: harness list methods."
)
@BENCH
@click.option(
    "--model",
    default="tinyworld",
    show_default=True,
    metavar="PATH_OR_ID",
    help="LLaVA checkpoint: folder or hub id; or the embedded one.",
)
@DATA
@click.option(
    "--prompts",
    default="tinyworld",
    show_default=True,
    metavar="FILE",
    help="Training prompts, JSON lines with image, question and reference.",
)
@click.option("--preset", metavar="NAME", help="Options preset; by default the one that fits.")
@click.option(
    "--set",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="One option of the method; repeat for more.",
)
@click.option("--seed", default=0, show_default=True, help="Seed of everything random.")
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Train with so many seeds, from --seed on, and compare over all of them.",
)
@LIMIT
@MAX_NEW_TOKENS
@click.option("--max-prompts", type=click.IntRange(min=1), help="Only the first prompts.")
@click.option(
    "--report",
    "reports",
    default="markdown,html",
    show_default=True,
    metavar="A,B",
    help="Reports to write, joined by commas.",
)
@DEVICE
@DTYPE
@NPROC
@OUT
@click.option(
    "--baseline",
    metavar="BUNDLE|RUN",
    type=click.Path(path_type=Path),
    help="Take the answers before from there, where they are the same ones.",
)
@click.option(
    "--pair-timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    metavar="MINUTES",
    help="How long a method may take from one pair to the next.",
)
@click.option(
    "--image-ablation", is_flag=True, help="Ask whether the trained model needs the image."
)
@click.option("--merge", is_flag=True, help="Write base and adapter as one checkpoint too.")
@MARGIN
@ALPHA
@ACCEPT_MISSING
@judge_flags
@EVENTS
@QUIET
def run(
    bench: str,
    reports: str,
    options: tuple[str, ...],
    seeds: int,
    accept_missing: str | None,
    nproc: int,
    events: bool,
    quiet: bool,
    **asked: Any,
) -> int:
    """Make pairs, train on them, evaluate before and after, compare.

    \b
    harness run --method seva --bench mmvet,pope
    harness run --method seva --bench pope --model ./llava-1.5-7b-hf --data hub --prompts p.jsonl
    harness run --method seva --bench pope --set noise_step=800 --set learning_rate=5e-5
    """
    from harness.model import run_distributed
    from harness.progress import Reporter, showing
    from harness.records import distinct
    from harness.run_seeds import run_seeds
    from harness.settings import Settings

    settings = Settings(
        benches=split(bench, "--bench"),
        reports=distinct(("json", *split(reports, "--report"))),
        options=key_values(options),
        judging=judge_settings(asked),
        accept_missing=named(accept_missing),
        **asked,
    )

    def job() -> ExitCode:
        with showing(Reporter(quiet=quiet, events=events)) as reporter:
            outcome = run_seeds(settings, seeds)
            if events:
                reporter.event("done", **_summary(outcome))
            else:
                _show(outcome)
        return ExitCode.UNSCORED if outcome.comparison.missing else ExitCode.DONE

    return run_distributed(nproc, job)


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
        click.echo("This run was done already: everything was reused, the model was not asked.")
    else:
        click.echo(f"The model was asked {outcome.calls} times; other answers were known.")
