"""The command ``eval``: measure one model, without a method and without training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import (
    BENCH,
    DATA,
    EVENTS,
    LIMIT,
    MAX_NEW_TOKENS,
    PATH,
    QUIET,
    engine_values,
    judge_flags,
    judge_settings,
    model_flags,
    say_next,
)
from harness.cli.recipes import RecipeCommand
from harness.errors import ExitCode

if TYPE_CHECKING:
    from harness.report import ReportInput


@click.command("eval", cls=RecipeCommand)
@BENCH
@click.option(
    "--model",
    default="tinyworld",
    show_default=True,
    metavar="PATH_OR_ID",
    help="Folder or hub id of a checkpoint, openai:MODEL[@URL], or the built-in demo.",
)
@click.option("--adapter", metavar="DIR", type=PATH, help="PEFT adapter to apply.")
@DATA
@LIMIT
@MAX_NEW_TOKENS
@model_flags
@judge_flags
@EVENTS
@QUIET
def evaluate(bench: tuple[str, ...], nproc: int, events: bool, quiet: bool, **asked: Any) -> int:
    """Evaluate one model alone.

    Compare two such runs with: harness compare RUN RUN.

    \b
    harness eval --bench mmvet,pope
    harness eval --bench pope --data hub --model ./llava --adapter ./my-adapter
    harness eval --bench pope --data hub --model openai:llava@http://host:8000/v1
    """
    from harness.eval import measure
    from harness.model import run_distributed
    from harness.plugins import load
    from harness.progress import Reporter, showing
    from harness.settings import EvalSettings

    engine_options = engine_values(asked.pop("engine_options"))
    judging = judge_settings(asked)
    wanted = EvalSettings(benches=bench, judging=judging, engine_options=engine_options, **asked)

    def job() -> ExitCode:
        with showing(Reporter(quiet=quiet, events=events)) as reporter:
            found = measure(wanted)
            if events:
                calls = {"calls": found.calls, "judge_calls": found.judge_calls}
                reporter.event("done", **summary(found.folder, found.report), **calls)
            else:
                load("reports", "terminal")(found.report, found.folder)
                click.echo(f"{found.calls:,} model calls; the other answers came from the cache.")
                say_next("compare", found.folder, "RUN")
        return ExitCode.UNSCORED if found.report.missing else ExitCode.DONE

    return run_distributed(nproc, job)


def summary(folder: Path, report: ReportInput) -> dict[str, Any]:
    """Return the figures of one model for a program that reads stdout."""
    from harness.records import to_json

    return {
        "folder": str(folder),
        "levels": [to_json(level) for level in report.levels],
        "notes": report.sentences,
        "missing": report.missing,
    }
