"""Tables of the commands: plain text, in columns where they fit and in short lines where not."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence

from harness.errors import plain
from harness.progress import duration

DASH = "–"
BETTER = {True: "higher is better", False: "lower is better", None: "neither is better"}
_NARROWEST = 20
_UNBOUNDED = 1_000_000  # where stdout is no terminal, nothing has to fit


def text_table(
    rows: Sequence[Sequence[str]],
    *,
    head: Sequence[str] = (),
    right: Sequence[int] = (),
    width: int | None = None,
) -> list[str]:
    """Return the lines of a table; foreign text in it cannot control a terminal.

    Args:
        rows: cells, all rows of one length.
        head: names of the columns; none, no head line.
        right: places of the columns that are aligned to the right.
        width: columns of the terminal; by default those of this one. A table that is wider is
            written row by row instead, each cell on lines of its own after its column's name,
            broken between words.
    """
    from rich.cells import cell_len

    safe = [tuple(plain(cell) for cell in row) for row in ([head, *rows] if head else rows)]
    if not safe:
        return []
    widths = [max(cell_len(row[place]) for row in safe) for place in range(len(safe[0]))]
    width = _columns() if width is None else width
    if sum(widths) + 2 * (len(widths) - 1) > width:
        return _stacked(safe[1:] if head else safe, head, width)
    lines = []
    for row in safe:
        gaps = [" " * (widths[place] - cell_len(cell)) for place, cell in enumerate(row)]
        cells = [
            gap + cell if at in right else cell + gap
            for at, (cell, gap) in enumerate(zip(row, gaps, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def columns_that_fit(
    first: Sequence[str], columns: Sequence[Sequence[str]], width: int | None = None
) -> list[list[Sequence[str]]]:
    """Return columns in blocks that each fit the terminal beside the first column."""
    from rich.cells import cell_len

    def widest(column: Sequence[str]) -> int:
        return max(cell_len(plain(cell)) for cell in column)

    room = (_columns() if width is None else width) - widest(first)
    blocks: list[list[Sequence[str]]] = []
    left = 0
    for column in columns:
        needed = 2 + widest(column)
        if not blocks or needed > left:
            blocks.append([])
            left = room
        blocks[-1].append(column)
        left -= needed
    return blocks


def _columns() -> int:
    return shutil.get_terminal_size((_UNBOUNDED, 0)).columns


def _stacked(rows: Sequence[Sequence[str]], head: Sequence[str], width: int) -> list[str]:
    lines = []
    for first, *rest in rows:
        lines += [first] if first else []
        names = [f"{name}: " for name in head[1:]] or [""] * len(rest)
        for name, cell in zip(names, rest, strict=True):
            lines += textwrap.wrap(
                name + cell if cell else "",
                max(width, _NARROWEST),
                initial_indent="  ",
                subsequent_indent="    ",
                break_long_words=False,
                break_on_hyphens=False,
            )
    return lines


def time_of(seconds: float | None, unknown: str = DASH) -> str:
    """Return a time in the unit that suits its length; ``unknown`` where it is not known."""
    return unknown if seconds is None else duration(seconds)
