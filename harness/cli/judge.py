"""The command ``judge``: stored answers judged again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.eval import summary
from harness.cli.options import JSON, NAMES, PATH, QUIET, judge_flags, judge_settings, say_next
from harness.errors import ExitCode

if TYPE_CHECKING:
    from harness.rejudge import Rejudged


@click.command()
@click.argument("folder", metavar="RUN", type=PATH)
@judge_flags
@click.option("--only-missing", is_flag=True, hidden=True)  # the name of version 0.0
@click.option(
    "--report",
    "reports",
    type=NAMES,
    metavar="A,B",
    default="",
    help="Additional reports to write.",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    help="Where a local judge runs.",
)
@JSON
@QUIET
def judge(
    folder: Path, reports: tuple[str, ...], device: str, events: bool, quiet: bool, **asked: Any
) -> ExitCode:
    """Judge the stored answers of a run or eval again.

    The model is not called, and the judge only for verdicts that are missing. Without --judge, the
    judge of last time is asked.

    \b
    harness judge runs/seva-tinyworld-1a2b3c4d --judge openai:gpt-4o-2024-11-20
    harness judge runs/seva-tinyworld-1a2b3c4d --judge hf:./Qwen2.5-7B-Instruct
    harness judge runs/seva-tinyworld-1a2b3c4d
    """
    from harness.plugins import load
    from harness.progress import Reporter, showing
    from harness.rejudge import like_last, rejudge

    del asked["only_missing"]
    named = asked["judge"] is not None
    settings = judge_settings(asked)
    settings = settings if named else like_last(folder, settings)
    with showing(Reporter(quiet=quiet, events=False)):
        done = rejudge(folder, settings, reports=reports, device=device)
    if events:
        click.echo(json.dumps(_summary(done, folder)))
    else:
        load("reports", "terminal")(done.report, folder)
        click.echo(f"{done.calls:,} judge calls; the other verdicts came from the cache.")
        say_next("report", folder, "--report", "html")
    return ExitCode.UNSCORED if done.report.missing else ExitCode.DONE


def _summary(done: Rejudged, folder: Path) -> dict[str, Any]:
    from harness.records import to_json

    if done.report.comparison is not None:
        return to_json(done.report.comparison)
    return {**summary(folder, done.report), "calls": 0, "judge_calls": done.calls}
