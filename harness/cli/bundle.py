"""Commands about evidence: pack a run, check what others packed, take what others measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import JSON, PATH, say_next
from harness.cli.tables import text_table
from harness.errors import ExitCode, plain

if TYPE_CHECKING:
    from harness.runs import Verification


@click.command()
@click.argument("run", metavar="RUN", type=PATH)
@click.option("--out", metavar="FILE", type=PATH, help="File to write; by default RUN.zip.")
@click.option(
    "--images", is_flag=True, help="Include thumbnails, where the images' licences allow it."
)
def bundle(run: Path, out: Path | None, images: bool) -> None:
    """Pack a finished run into one file, without weights or paths.

    \b
    harness bundle runs/seva-tinyworld-1a2b3c4d --out seva.zip
    harness verify seva.zip
    """
    from harness.runs import bundle as pack

    packed = pack(run, out, images=images)
    size = packed.path.stat().st_size / 1e6
    click.echo(f"{packed.path}: {packed.members} members, {size:.2f} MB")
    click.echo(f"sha256 {packed.digest}")
    say_next("verify", packed.path)


@click.command()
@click.argument("path", metavar="BUNDLE|RUN", type=PATH)
@JSON
def verify(path: Path, events: bool) -> ExitCode:
    """Recompute every number and verdict of a run from its rows.

    Hashes are checked too. No model is needed.

    \b
    harness verify seva.zip
    """
    from harness.records import to_json
    from harness.runs import verify as check

    found = check(path)
    if events:
        click.echo(json.dumps({**to_json(found), "passed": found.passed}))
    else:
        _tell(found)
        say_next("report", path)
    return ExitCode.DONE if found.passed else ExitCode.FAILED


def _tell(found: Verification) -> None:
    from harness.runs import ALONE, OLDER

    click.echo(f"{found.path}" + (f"  sha256 {found.digest}" if found.digest else ""))
    for line in found.changed:
        click.echo(plain(f"CHANGED  {line}"))
    rows = []
    for check in found.checks:
        rows.append((f"{check.benchmark} {check.part}", check.outcome))
        rows += [("", line) for line in check.details]
    for line in text_table(rows):
        click.echo(line)
    if found.passed and any(check.outcome == ALONE for check in found.checks):
        click.echo(f"The {found.rows} rows are as they were written; they claim no number.")
    elif found.passed and any(check.outcome == OLDER for check in found.checks):
        click.echo(
            f"The {found.rows} rows are as they were written. Another version of the harness "
            "computed the figures; see those of this version with: harness report RUN"
        )
    elif found.passed:
        click.echo(f"Every number and verdict follows from the {found.rows} rows.")
    else:
        click.echo("Not verified: see the lines above.")
