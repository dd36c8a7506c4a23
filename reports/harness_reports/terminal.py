"""The table on stdout: what a run came to, in one look."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from harness.compare import BenchmarkComparison, Comparison, MetricResult
from harness.report import ReportInput
from harness_reports import numbers, rounds, words

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

_LEAST = 9  # signs of a name or verdict on one line
_PLAIN_WIDTH = 132  # where stdout is no terminal: a log keeps the table in one piece
_FILES = {
    "report": "report.md",
    "page": "report.html",
    "pictures": "report_files",
    "junit": "junit.xml",
    "comparison": "comparison.json",
}
_COLOURS = {"gain": "green", "loss": "red", "no change": "dim", "cannot tell": "yellow"}


def write(report: ReportInput, folder: Path) -> Path:
    """Print the table to stdout and return the run folder."""
    show(report, folder, sys.stdout)
    return folder


def show(report: ReportInput, folder: Path, stream: IO[str]) -> None:
    """Print notice, table, verdict, notes and where the files lie."""
    from rich.console import Console
    from rich.text import Text

    terminal = stream.isatty()
    console = Console(file=stream, width=None if terminal else _PLAIN_WIDTH)
    notes = list(report.sentences)
    if report.notice:
        console.print(_text(notes.pop(0), "yellow"))
    if report.comparison is None:
        console.print(_fitting_levels(report, console))
    else:
        console.print(_fitting(report.comparison, console))
        console.print(_text(words.headline(report.comparison), "bold"))
        for benchmark in report.comparison.benchmarks:
            for note in words.notes(benchmark):
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


_COLUMNS = ("name", "before", "after", "difference", "flips", "missing", "verdict")
_NARROW: tuple[tuple[str, ...], ...] = (
    _COLUMNS,
    _COLUMNS,
    tuple(name for name in _COLUMNS if name != "missing"),
    ("name", "before", "after", "difference", "verdict"),
    ("name", "after", "difference", "verdict"),
    ("name", "difference", "verdict"),
    ("name", "difference"),
)
"""What is left out first where a terminal is narrow; a number is never cut."""


def _fitting(comparison: Comparison, console: Console) -> Table | Text:
    """Return the table with as many columns as fit; below that a few lines for each figure."""
    from rich.text import Text

    for number, chosen in enumerate(_NARROW):
        table = _table(comparison, chosen, tall=number > 0)
        if _fits(table, console):
            return table
    lines = []
    for benchmark, figure, first in _figures(comparison):
        name, *rest, verdict = _row(benchmark, figure, first=first)
        lines += [name.plain.strip(), *(f"  {cell}" for cell in rest if cell.plain)]
        lines.append(f"  {verdict}")
    return Text("\n".join(lines))


def _fits(table: Table, console: Console) -> bool:
    """Say whether a table is as wide as the terminal at most; on that itself rich never says no."""
    room = console.options.update_width(_PLAIN_WIDTH * 10)
    return console.measure(table, options=room).minimum <= console.width


def _table(comparison: Comparison, chosen: Sequence[str], *, tall: bool) -> Table:
    from rich import box
    from rich.table import Table

    coverage = f"{100 * (1 - comparison.alpha):g}"
    heads = {
        "name": "benchmark",
        "before": "before",
        "after": "after",
        "difference": f"difference|[{coverage} % paired]",
        "flips": "fixed /|broken",
        "missing": "missing|before / after",
        "verdict": "verdict",
    }
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    rows = [
        dict(zip(_COLUMNS, _row(benchmark, figure, first=first), strict=True))
        for benchmark, figure, first in _figures(comparison)
    ]
    for name in chosen:
        words_only = name in ("name", "verdict")
        # A head may stand on two lines, a figure with its interval may not.
        parts = heads[name].split("|")
        head = ("\n" if tall else " ").join(parts)
        cells = [*(row[name].cell_len for row in rows), *map(len, head.split("\n"))]
        table.add_column(
            head,
            justify="left" if words_only else "right",
            min_width=_LEAST if words_only else max(cells),
            no_wrap=not words_only,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(row[name] for name in chosen))
    return table


def _figures(comparison: Comparison) -> Iterator[tuple[BenchmarkComparison, MetricResult, bool]]:
    for benchmark in comparison.benchmarks:
        ordered = sorted(benchmark.figures, key=lambda figure: not figure.primary)
        for position, figure in enumerate(ordered):
            yield benchmark, figure, position == 0


_LEVEL_COLUMNS = ("benchmark", "figure", "95 % interval", "rows", "images", "missing")


def _fitting_levels(report: ReportInput, console: Console) -> Table | Text:
    """Return the figures of one model that was measured by itself, as :func:`_fitting` does."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    rows = list(_levels(report))
    for count in range(len(_LEVEL_COLUMNS), 2, -1):
        # What is missing stays to the last: it says whether the figure can be believed.
        chosen = [*range(min(count, 3)), *range(len(_LEVEL_COLUMNS) - max(count - 3, 0), 6)]
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for place in chosen:
            least = max(row[place].cell_len for row in rows) if place else _LEAST
            table.add_column(
                _LEVEL_COLUMNS[place],
                justify="right" if place else "left",
                min_width=least,
                no_wrap=place > 0,
                overflow="fold",
            )
        for row in rows:
            table.add_row(*(row[place] for place in chosen))
        if _fits(table, console):
            return table
    lines = []
    for name, *rest in rows:
        lines.append(name.plain.strip())
        lines += [f"  {head} {cell}" for head, cell in zip(_LEVEL_COLUMNS[1:], rest, strict=True)]
    return Text("\n".join(lines))


def _levels(report: ReportInput) -> Iterator[tuple[Text, ...]]:
    last = ""
    for level in report.levels:
        style = "" if level.primary else "dim"
        cells = [
            _name(level.benchmark, level.column, level.benchmark in report.graded)
            if level.benchmark != last
            else f"  {level.column}",
            numbers.figure(level.figure, level.digits),
            numbers.level_interval(level.interval, level.digits),
            str(level.samples),
            str(level.clusters),
            str(level.missing),
        ]
        yield tuple(_text(cell, style) for cell in cells)
        last = level.benchmark


def _row(benchmark: BenchmarkComparison, figure: MetricResult, *, first: bool) -> list[Text]:
    style = "" if figure.primary else "dim"
    graded = words.BUILTIN in words.judges(benchmark)
    name = _name(benchmark.name, figure.column, graded) if first else f"  {figure.column}"
    cells = [
        name,
        numbers.figure(figure.before, figure.digits),
        numbers.figure(figure.after, figure.digits),
        numbers.difference(figure.difference, figure.interval, figure.digits),
        words.flips(benchmark) if figure.column == benchmark.flips_in else "",
        words.missing(benchmark) if first else "",
    ]
    verdict = _text(words.verdict(figure), style or _COLOURS.get(figure.verdict, ""))
    return [*(_text(cell, style) for cell in cells), verdict]


def _name(benchmark: str, column: str, graded: bool) -> str:
    return f"{benchmark} {column}{f' [{words.BUILTIN}]' if graded else ''}"


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
