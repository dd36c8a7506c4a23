"""The command that writes reports of a finished run again."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.next_step import say_next
from harness.cli.options import NAMES, TRACK
from harness.errors import ExitCode


@click.command()
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "--report",
    "reports",
    type=NAMES,
    default="terminal",
    show_default=True,
    metavar="A,B",
    help="Reports to write, comma-separated; see harness list reports.",
)
@TRACK
def report(folder: Path, reports: tuple[str, ...], track: tuple[str, ...]) -> ExitCode:
    """Write the reports of a finished run or eval again.

    \b
    harness report runs/seva-tinyworld-1a2b3c4d --report terminal,markdown
    harness report runs/seva-tinyworld-1a2b3c4d --track wandb
    """
    from harness.report import write_reports, writers_of
    from harness.runs import open_evidence, report_of

    found = report_of(open_evidence(folder))
    writers = writers_of((*reports, *track))
    for name, path in write_reports(found, folder, writers).items():
        if name != "terminal":
            click.echo(path)
    say_next("bundle" if folder.is_dir() else "verify", folder)
    return ExitCode.UNSCORED if found.missing else ExitCode.DONE
