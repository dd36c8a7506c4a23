"""The table on stdout: what a run came to, in one look.

The headline figures and what speaks against them stand in it; the others are shown on request. Each
figure is one line: where a terminal is narrow, columns are left out, and no number is cut.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from harness.report import ReportInput
from harness_reports import numbers, rounds, table, words

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

_PLAIN_WIDTH = 132  # where stdout is no terminal: a log keeps the table in one piece
_LONGEST = 40  # letters of a name on one line; a longer one is wrapped
_FILES = {
    "report": "report.md",
    "page": "report.html",
    "pictures": "report_files",
    "junit": "junit.xml",
    "comparison": "comparison.json",
}
_COLOURS = {
    "gain": "dodger_blue1",
    "loss": "dark_orange3",
    "cannot tell": "dim",
    "no change": "dim",
}
"""Gain and loss as in the page, in shades that can be read on white and on black."""


def write(report: ReportInput, folder: Path) -> Path:
    """Print the headline figures to stdout and return the run folder."""
    show(report, folder, sys.stdout)
    return folder


def write_all(report: ReportInput, folder: Path) -> Path:
    """Print every figure to stdout and return the run folder."""
    show(report, folder, sys.stdout, every=True)
    return folder


def show(report: ReportInput, folder: Path, stream: IO[str], *, every: bool = False) -> None:
    """Print notice, table, verdict, notes and where the files lie.

    Args:
        report: what to show.
        folder: of the run.
        stream: where it goes.
        every: also the figures that decide nothing.
    """
    from rich.console import Console
    from rich.text import Text

    terminal = stream.isatty()
    console = Console(file=stream, width=None if terminal else _PLAIN_WIDTH)
    notes = list(report.sentences)
    if report.notice:
        console.print(_text(notes.pop(0), "yellow"))
    console.print()
    if report.comparison is None:
        console.print(_fitting_levels(report, console, every=every))
    else:
        console.print(_fitting(report, console, every=every))
        for note in table.footnotes(table.rows(report.comparison, every=every), report.comparison):
            console.print(_text(note, "dim"))
    if not every and (count := table.left_out(report)):
        console.print(_text(_more(count, folder), "dim"), soft_wrap=True)  # to be copied
    console.print()
    if report.comparison is not None:
        console.print(_text(words.headline(report.comparison, report.arms), "bold"))
        for benchmark in report.comparison.benchmarks:
            for note in words.notes(benchmark, report.arms):
                console.print(_text(f"Note on {benchmark.name}: {note}", "yellow"))
    for name, *cells in rounds.rows(report):
        heads = rounds.head(report)[1:]
        told = ", ".join(f"{h} {cell}" for h, cell in zip(heads, cells, strict=True) if cell)
        console.print(_text(f"{name}: {told}", "dim"))
    for name, text in words.published(report):
        console.print(_text(f"Published, {name}: {text}", "dim"))
    for note in notes:
        console.print(_text(note, "yellow"))
    for label, path in _places(report, folder):
        # A path is printed whole: a wrapped one could not be copied.
        console.print(Text(f"{label:<12}{path}"), soft_wrap=True)


def _more(count: int, folder: Path) -> str:
    figures = "1 more figure" if count == 1 else f"{count} more figures"
    asked = (
        f"harness report {folder} --all"
        if folder != Path(os.devnull)
        else "the same command with --all"
    )
    return f"{figures}: {asked}"


@dataclass(frozen=True)
class _Layout:
    """Which columns there are, and whether cells are as short as possible."""

    columns: tuple[str, ...]
    tall: bool = True
    short: bool = False


_COLUMNS = ("name", "verdict", "before", "after", "difference", "p", "flips", "missing")
_NARROW = (
    _Layout(_COLUMNS, tall=False),
    _Layout(_COLUMNS),
    _Layout(_COLUMNS[:-1]),
    _Layout(_COLUMNS[:-2]),
    _Layout(_COLUMNS[:-2], short=True),
    _Layout(("name", "verdict", "difference", "p"), short=True),
    _Layout(("name", "verdict", "difference"), short=True),
)
"""What is left out first where a terminal is narrow; a number is never cut."""


def _fitting(report: ReportInput, console: Console, *, every: bool = False) -> Table | Text:
    """Return the table with as many columns as fit; below that two lines for each figure."""
    from rich.text import Text

    shown = table.rows(report.compared, every=every)
    for layout in _NARROW:
        cells = [{name: _cell(row, name, layout) for name in layout.columns} for row in shown]
        heads = {name: _head(name, report, layout) for name in layout.columns}
        made = _table([heads[name] for name in layout.columns], [[*row.values()] for row in cells])
        if _fits(made, console):
            return made
    lines: list[Text] = []
    for row in shown:
        figure = row.figure
        told = numbers.difference(figure.difference, figure.interval, figure.digits)
        p = f"p {numbers.p_value(figure.p_holm)}"
        together = f"  {told}  {p}"
        cells = [together] if len(together) <= console.width else [f"  {told}", f"  {p}"]
        lines.append(
            Text.assemble(_text(f"{_whole_name(row)}  "), _cell(row, "verdict", _NARROW[-1]))
        )
        lines += [_text(cell) for cell in cells]
    return Text("\n").join(lines)


def _head(name: str, report: ReportInput, layout: _Layout) -> str:
    coverage = f"{100 * (1 - report.compared.alpha):g}"
    between = " / ".join(report.arms)
    heads = {
        "name": "figure",
        "before": words.one_line(report.arms[0]),
        "after": words.one_line(report.arms[1]),
        "difference": f"difference|[{coverage} % paired]",
        "p": "p" if layout.short else "p|(corrected)",
        "flips": "fixed /|broken",
        "missing": f"missing|{words.one_line(between)}",
    }
    # A head may stand on two lines, a figure with its interval may not.
    return heads.get(name, name).replace("|", "\n" if layout.tall else " ")


def _cell(row: table.Row, name: str, layout: _Layout) -> Text:
    figure = row.figure
    style = "" if row.decides else "dim"
    if name == "verdict":
        colour = style or _COLOURS.get(figure.verdict, "")
        return _text(row.short if layout.short else row.verdict, colour)
    cells = {
        "name": lambda: _name(row, short=layout.short),
        "before": lambda: numbers.figure(figure.before, figure.digits),
        "after": lambda: numbers.figure(figure.after, figure.digits),
        "difference": lambda: numbers.difference(figure.difference, figure.interval, figure.digits),
        "p": lambda: numbers.p_value(figure.p_holm),
        "flips": lambda: row.flips,
        "missing": lambda: row.missing,
    }
    return _text(cells[name](), style)


def _name(row: table.Row, *, short: bool) -> str:
    """Return the first name with how many figures say the same, or all names and who graded."""
    equal = len(row.names) - 1
    name = f"{row.names[0]} (+{equal})" if short and equal else row.name
    if not row.first:
        return f"  {name}"
    graded = not short and words.BUILTIN in words.judges(row.benchmark)
    return f"{row.benchmark.name} {name}{f' [{words.BUILTIN}]' if graded else ''}"


def _whole_name(row: table.Row) -> str:
    return f"{row.benchmark.name} {row.name}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[Text]]) -> Table:
    """Return a table of words to the left and numbers to the right, one line for each row."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    for place, head in enumerate(heads):
        widths = [*(row[place].cell_len for row in rows), *map(len, head.split("\n"))]
        named = place == 0
        made.add_column(
            head,
            justify="left" if named or head == "verdict" else "right",
            min_width=min(max(widths), _LONGEST) if named else max(widths),
            no_wrap=not named,
            overflow="fold",
        )
    for row in rows:
        made.add_row(*row)
    return made


def _fits(table: Table, console: Console) -> bool:
    """Say whether a table is as wide as the terminal at most; on that itself rich never says no."""
    room = console.options.update_width(_PLAIN_WIDTH * 10)
    return console.measure(table, options=room).minimum <= console.width


_LEVEL_COLUMNS = ("benchmark", "figure", "95 % interval", "rows", "images", "missing")


def _fitting_levels(report: ReportInput, console: Console, *, every: bool = False) -> Table | Text:
    """Return the figures of one model that was measured by itself, as :func:`_fitting` does."""
    from rich.text import Text

    rows = _levels(report, every=every)
    for count in range(len(_LEVEL_COLUMNS), 2, -1):
        # What is missing stays to the last: it says whether the figure can be believed.
        chosen = [*range(min(count, 3)), *range(len(_LEVEL_COLUMNS) - max(count - 3, 0), 6)]
        made = _table(
            [_LEVEL_COLUMNS[place] for place in chosen],
            [[row[place] for place in chosen] for row in rows],
        )
        if _fits(made, console):
            return made
    lines = []
    for name, *rest in rows:
        lines.append(name.plain.strip())
        lines += [f"  {head} {cell}" for head, cell in zip(_LEVEL_COLUMNS[1:], rest, strict=True)]
    return Text("\n".join(lines))


def _levels(report: ReportInput, *, every: bool) -> list[list[Text]]:
    found = []
    for level, name, first in table.levels(report, every=every):
        tag = f" [{words.BUILTIN}]" if level.benchmark in report.graded else ""
        cells = [
            f"{level.benchmark} {name}{tag}" if first else f"  {name}",
            numbers.figure(level.figure, level.digits),
            numbers.level_interval(level.interval, level.digits),
            str(level.samples),
            str(level.clusters),
            str(level.missing),
        ]
        found.append([_text(cell, "" if level.primary else "dim") for cell in cells])
    return found


def _places(report: ReportInput, folder: Path) -> list[tuple[str, Path]]:
    """Return what lies there: a bundle has no checkpoint, and one of several seeds lies beside."""
    places = dict(_FILES)
    if report.comparison is not None:
        places["checkpoint"] = report.checkpoint
    found = [(label, Path(os.path.normpath(folder / name))) for label, name in places.items()]
    # A damaged record may name what no file system can hold; Path.exists would raise then.
    return [(label, path) for label, path in found if os.path.exists(path)]


def _text(text: str, style: str = "") -> Text:
    """Return text that is shown as it is: no markup, no control characters."""
    from rich.text import Text

    return Text(words.visible(text), style=style)
