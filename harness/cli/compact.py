"""The command that puts the answers of many jobs together."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import PATH
from harness.errors import ExitCode


@click.command()
@click.argument("folder", metavar="OUT", type=PATH)
def compact(folder: Path) -> ExitCode:
    """Merge the answers that jobs of a cluster wrote into one file.

    Each of those jobs appends to its own file below OUT/answers. Runs can read these files as they
    are; one file is faster to read. No answer is lost if this command is interrupted.

    \b
    harness compact runs/my-sweep
    """
    from harness.errors import UsageError
    from harness.storage import compact as put_together

    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}. Name the one that the runs lie in.")
    count = put_together(folder)
    if count:
        click.echo(f"{count} file{'s' if count > 1 else ''} merged into {folder / 'store.sqlite'}")
    else:
        click.echo(f"{folder} has no answers in several files; there is nothing to do")
    return ExitCode.DONE
