"""The figures of one model on the terminal, for ``eval`` and ``judge``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from harness.eval import EvalResult


def show(found: EvalResult) -> None:
    """Print a measurement's figures, notes and folder."""
    from harness.errors import plain
    from harness.states import cut_share, sentences

    rows = [("benchmark", "figure", "95 % interval", "rows", "images", "missing", "cut")]
    last = ""
    for level in found.levels:
        name = level.column if level.benchmark == last else f"{level.benchmark} {level.column}"
        known = level.figure is not None
        figure = f"{level.figure:.{level.digits}f}" if known else "–"
        ends = "–"
        if level.interval is not None:
            ends = "[{:.{d}f}, {:.{d}f}]".format(*level.interval, d=level.digits)
        rows.append(
            (
                name if level.benchmark != last else f"  {name}",
                figure,
                ends,
                str(level.samples),
                str(level.clusters),
                str(level.missing),
                f"{100 * cut_share(found.states[level.benchmark]):.1f} %",
            )
        )
        last = level.benchmark
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True)]
        click.echo("  ".join(cells))
    for name, counts in found.states.items():
        for sentence in sentences({"": counts}):
            click.echo(f"{name}: {plain(sentence)}")
    for note in found.notes:
        click.echo(note)
    click.echo(f"run  {found.folder}{os.sep}")
