"""The command that writes reports of a finished run again."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import NAMES, PATH, TRACK, say_next
from harness.errors import ExitCode


@click.command()
@click.argument("folder", metavar="RUN", type=PATH)
@click.option(
    "--report",
    "reports",
    type=NAMES,
    default="terminal",
    show_default=True,
    metavar="A,B",
    help="Reports to write, comma-separated; see harness list reports.",
)
@click.option(
    "--all",
    "every",
    is_flag=True,
    help="On the terminal every figure, not only the headline; the same as --report terminal-all.",
)
@TRACK
def report(folder: Path, reports: tuple[str, ...], every: bool, track: tuple[str, ...]) -> ExitCode:
    """Write the reports of a finished run or eval again.

    \b
    harness report runs/seva-tinyworld-1a2b3c4d --all
    harness report runs/seva-tinyworld-1a2b3c4d --report terminal,markdown
    harness report runs/seva-tinyworld-1a2b3c4d --track wandb
    """
    from harness.report import write_reports, writers_of
    from harness.runs import open_evidence, report_of

    found = report_of(open_evidence(folder))
    if every:
        reports = ("terminal-all", *(name for name in reports if name != "terminal"))
    writers = writers_of((*reports, *track))
    # A bundle is a file: its reports go beside it.
    into = folder if folder.is_dir() else folder.with_suffix(".report")
    for path in write_reports(found, into, writers).values():
        if path != into:  # what the terminal showed
            click.echo(path)
    say_next("bundle" if folder.is_dir() else "verify", folder)
    return ExitCode.UNSCORED if found.missing else ExitCode.DONE
