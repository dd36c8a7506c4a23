"""Commands that take the results of other harnesses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.help import SectionedGroup
from harness.cli.options import PATH, say_next
from harness.errors import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.runs import Imported


@click.group("import", cls=SectionedGroup)
def import_() -> None:
    """Import results of lmms-eval or VLMEvalKit."""


_OUT = click.option("--out", required=True, metavar="RUN", type=PATH, help="Folder to write.")


_NAME = click.option("--name", metavar="NAME", help="Name in reports; by default the folder's.")


@import_.command("lmms-eval")
@click.argument("files", metavar="DIR_OR_FILES", nargs=-1, required=True, type=PATH)
@_OUT
@_NAME
def import_lmms(files: tuple[Path, ...], out: Path, name: str | None) -> None:
    """Import *_samples_*.jsonl of lmms-eval (--log_samples).

    \b
    harness import lmms-eval logs/base --out runs/base
    harness import lmms-eval logs/tuned --out runs/tuned
    harness compare runs/base runs/tuned
    """
    from harness.runs import read_lmms

    left_out: list[str] = []
    _write(read_lmms(files, left_out), left_out, out, "lmms-eval", name)


@import_.command("vlmevalkit")
@click.argument("files", metavar="DIR_OR_FILES", nargs=-1, required=True, type=PATH)
@_OUT
@_NAME
def import_vlmevalkit(files: tuple[Path, ...], out: Path, name: str | None) -> None:
    """Import result files of VLMEvalKit, such as *_result.xlsx and *_auxmatch.xlsx.

    \b
    harness import vlmevalkit llava_MMBench_DEV_EN_result.xlsx --out runs/base
    """
    from harness.runs import read_vlmevalkit

    left_out: list[str] = []
    _write(read_vlmevalkit(files, left_out), left_out, out, "VLMEvalKit", name)


def _write(
    found: Sequence[Imported], left_out: Sequence[str], out: Path, source: str, name: str | None
) -> None:
    from harness.runs import write_import

    write_import(found, out, source=source, name=name or out.name)
    for each in found:
        metrics = ", ".join(each.metrics)
        click.echo(plain(f"{each.name}: {len(each.samples)} rows; {metrics}"))
        for note in each.notes:
            click.echo(plain(f"    {note}"))
    for told in left_out:
        click.echo(plain(f"left out: {told}"))
    say_next("compare", out, "RUN")
