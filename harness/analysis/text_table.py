"""Tables of plain text that fit a terminal: a row becomes lines where it is too wide."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence


def text_table(rows: Sequence[Sequence[str]], width: int, *, numbers: bool = False) -> list[str]:
    """Return the lines of a table; no cell is ever cut.

    Args:
        rows: the head first.
        width: signs on a line. A table that needs more has one line for each cell.
        numbers: align all columns but the first to the right.
    """
    head, *body = rows
    widths = [max(len(row[place]) for row in rows) for place in range(len(head))]
    if sum(widths) + 2 * (len(widths) - 1) <= width:
        return [
            "  ".join(
                cell.rjust(own) if numbers and place else cell.ljust(own)
                for place, (cell, own) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
    return [
        f"{'  ' if place else ''}{name} {cell}"
        for row in body
        for place, (name, cell) in enumerate(zip(head, row, strict=True))
        if cell
    ]


def stdout_width() -> int:
    """Return how many signs a line of the terminal has; a file or pipe has no limit."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
