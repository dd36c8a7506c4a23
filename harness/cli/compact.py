"""The command that puts the answers of many jobs together."""

from __future__ import annotations

from pathlib import Path

import click

from harness.errors import ExitCode


@click.command()
@click.argument("folder", metavar="OUT", type=click.Path(path_type=Path))
def compact(folder: Path) -> ExitCode:
    """Put the answers that jobs of a cluster wrote into one file.

    Such jobs each append to a file of their own below OUT/answers. Runs work with them as they are;
    put together, they are quicker to read. No answer is lost, whenever this is stopped.

    \b
    harness compact runs/my-sweep
    """
    from harness.errors import UsageError
    from harness.storage import compact as put_together

    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}. Name the one that the runs lie in.")
    count = put_together(folder)
    if count:
        click.echo(f"{count} file{'s' if count > 1 else ''} put into {folder / 'store.sqlite'}")
    else:
        click.echo(f"{folder} has no answers in several files; there is nothing to do")
    return ExitCode.DONE
