"""The table on stdout: what a run came to, in one look."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

from harness.compare import BenchmarkComparison, Comparison, MetricResult
from harness.report import ReportInput
from harness_reports import numbers, words

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

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
    if report.notice:
        console.print(_text(report.notice, "yellow"))
    console.print(_table(report.comparison))
    console.print(_text(words.headline(report.comparison), "bold"))
    for benchmark in report.comparison.benchmarks:
        for note in words.notes(benchmark):
            console.print(_text(f"Note on {benchmark.name}: {note}", "yellow"))
    for note in report.comparison.notes:
        if note != report.notice:
            console.print(_text(note, "yellow"))
    for label, path in _places(report, folder):
        # A path is printed whole: a wrapped one could not be copied.
        console.print(Text(f"{label:<12}{path}"), soft_wrap=True)


def _table(comparison: Comparison) -> Table:
    from rich import box
    from rich.table import Table

    coverage = f"{100 * (1 - comparison.alpha):g}"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("benchmark", overflow="fold")
    table.add_column("before", justify="right", no_wrap=True)
    table.add_column("after", justify="right", no_wrap=True)
    table.add_column(f"difference [{coverage} % paired]", justify="right")
    table.add_column("fixed / broken", justify="right")
    table.add_column("missing before / after", justify="right")
    table.add_column("verdict", overflow="fold")
    for benchmark in comparison.benchmarks:
        ordered = sorted(benchmark.figures, key=lambda figure: not figure.primary)
        for position, figure in enumerate(ordered):
            table.add_row(*_row(benchmark, figure, first=position == 0))
    return table


def _row(benchmark: BenchmarkComparison, figure: MetricResult, *, first: bool) -> list[Text]:
    style = "" if figure.primary else "dim"
    name = f"{benchmark.name} {figure.column}" if first else f"  {figure.column}"
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


def _places(report: ReportInput, folder: Path) -> list[tuple[str, Path]]:
    """Return what lies there: a bundle has no checkpoint, and one of several seeds lies beside."""
    places = {**_FILES, "checkpoint": report.checkpoint}
    found = [(label, Path(os.path.normpath(folder / name))) for label, name in places.items()]
    return [(label, path) for label, path in found if path.exists()]


def _text(text: str, style: str = "") -> Text:
    """Return text that is shown as it is: no markup, no control characters."""
    from rich.text import Text

    return Text(words.visible(text), style=style)
