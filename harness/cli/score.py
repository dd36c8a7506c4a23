"""The command ``score``: answers that exist already, as an arm of our benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.cli.eval import summary
from harness.cli.help import SectionedCommand
from harness.cli.options import (
    BENCH,
    DATA,
    EVENTS,
    LIMIT,
    OUT,
    PATH,
    QUIET,
    judge_flags,
    judge_settings,
    say_next,
)
from harness.errors import ExitCode

_FORMATS = ("llava", "lmms-eval", "vlmevalkit", "pope", "jsonl")


@click.command(cls=SectionedCommand)
@click.argument("answers", metavar="ANSWERS", nargs=-1, required=True, type=PATH)
@BENCH
@click.option(
    "--format",
    "kind",
    type=click.Choice(_FORMATS),
    help="Format of the files; by default detected from their columns.",
)
@click.option("--name", metavar="NAME", help="Name in reports; by default the file's or folder's.")
@click.option("--answer-column", "answer", metavar="NAME", help="Column that holds the answers.")
@click.option(
    "--id-column",
    "row_id",
    metavar="NAME",
    help="Column with the rows' ids; NAME=COLUMN says which column of the data they are of.",
)
@DATA
@LIMIT
@OUT
@judge_flags
@EVENTS
@QUIET
def score(
    answers: tuple[Path, ...],
    bench: tuple[str, ...],
    kind: str | None,
    name: str | None,
    answer: str | None,
    row_id: str | None,
    events: bool,
    quiet: bool,
    **asked: Any,
) -> ExitCode:
    """Score answers that exist already; no model is asked.

    Compare two such runs, or one with a run, with: harness compare RUN RUN.

    \b
    harness score llava_pope.jsonl --bench pope --data ./data
    harness score out.xlsx --bench mmbench --data ./data --judge openai:gpt-4o
    """
    from harness.eval import score_answers
    from harness.plugins import load
    from harness.progress import Reporter, showing
    from harness.runs import Scoring
    from harness.settings import EvalSettings

    run = answers[0].stem if answers[0].is_file() else answers[0].name
    wanted = Scoring(answers, name or run, kind, answer, row_id)
    settings = EvalSettings(benches=bench, judging=judge_settings(asked), **asked)
    with showing(Reporter(quiet=quiet, events=events)) as reporter:
        found = score_answers(wanted, settings)
        if events:
            shown = summary(found.folder, found.report)
            reporter.event("done", **shown, judge_calls=found.judge_calls)
        else:
            load("reports", "terminal")(found.report, found.folder)
            say_next("compare", found.folder, "RUN")
    return ExitCode.UNSCORED if found.report.missing else ExitCode.DONE
