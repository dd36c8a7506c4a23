"""The table of results as every report shows it: which rows there are, and what a cell says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.compare import BenchmarkComparison, Comparison, MetricLevel, MetricResult, deciding
from harness.report import ReportInput
from harness_reports import numbers, words

_FEW = 10  # rows of similar length, below which a difference over them says nothing
SIGNS = {"gain": "▲", "loss": "▼"}


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        benchmark: whose figure it is.
        figure: what is shown.
        names: of the figure, and of secondary figures with exactly the same values.
        first: of the benchmark's lines.
        decides: the verdict of the run rests on it.
        mark: ``*`` or ``†`` where the interval excludes zero and the verdict does not follow it,
            see :func:`footnotes`.
    """

    benchmark: BenchmarkComparison
    figure: MetricResult
    names: tuple[str, ...]
    first: bool
    decides: bool
    mark: str

    @property
    def name(self) -> str:
        """All of the names."""
        return ", ".join(self.names)

    @property
    def verdict(self) -> str:
        """The verdict with its sign and what it was measured against."""
        return _signed(self.figure, words.verdict(self.figure)) + self.mark

    @property
    def short(self) -> str:
        """The verdict in as few letters as possible."""
        return _signed(self.figure, self.figure.verdict) + self.mark

    @property
    def flips(self) -> str:
        """How many rows were fixed and how many broken, in the figure that flips are read from."""
        return words.flips(self.benchmark) if self.benchmark.flips_in in self.names else ""

    @property
    def missing(self) -> str:
        """Missing rows before and after, once for each benchmark."""
        return words.missing(self.benchmark) if self.first else ""


def rows(comparison: Comparison, *, every: bool = True) -> list[Row]:
    """Return the lines of the table, of each benchmark the headline figures first.

    Args:
        comparison: what is shown.
        every: also figures that decide nothing; those that say the same are one line.
    """
    decisive = {(each.name, figure.column) for each, figure in deciding(comparison)}
    found = []
    for benchmark in comparison.benchmarks:
        shown = [
            (figure, (benchmark.name, figure.column) in decisive)
            for figure in sorted(benchmark.figures, key=lambda figure: not figure.primary)
        ]
        for place, (figure, decides, names) in enumerate(_alike(shown, every=every)):
            mark = _mark(figure, comparison.alpha)
            found.append(Row(benchmark, figure, names, place == 0, decides, mark))
    return found


def _alike(
    shown: list[tuple[MetricResult, bool]], *, every: bool
) -> Iterator[tuple[MetricResult, bool, tuple[str, ...]]]:
    together: dict[tuple[Any, ...], list[tuple[MetricResult, bool]]] = {}
    for figure, decides in shown:
        if decides or every:
            said = (figure.before, figure.after, figure.interval, figure.samples, figure.unit)
            key = (figure.column,) if decides else (*said, figure.verdict)
            together.setdefault(key, []).append((figure, decides))
    for (figure, decides), *others in together.values():
        yield figure, decides, (figure.column, *(other.column for other, _ in others))


def levels(report: ReportInput, *, every: bool = True) -> list[tuple[MetricLevel, str, bool]]:
    """Return the lines of one model by itself: figure, name, and whether its benchmark begins."""
    together: dict[tuple[Any, ...], list[MetricLevel]] = {}
    for level in report.levels:
        if level.primary or every:
            said = (level.benchmark, level.figure, level.interval, level.samples, level.missing)
            key = (level.benchmark, level.column) if level.primary else (*said, level.unit)
            together.setdefault(key, []).append(level)
    found, last = [], None
    for level, *others in together.values():
        name = ", ".join(each.column for each in (level, *others))
        found.append((level, name, level.benchmark != last))
        last = level.benchmark
    return found


def left_out(report: ReportInput) -> int:
    """Return how many lines are left out where not every figure is shown."""
    if report.comparison is None:
        return len(levels(report)) - len(levels(report, every=False))
    return len(rows(report.comparison)) - len(rows(report.comparison, every=False))


def footnotes(shown: list[Row], comparison: Comparison) -> list[str]:
    """Say why an interval may exclude zero where the verdict claims no difference."""
    level = f"{comparison.alpha:g}"
    told = {
        "*": f"By itself this interval excludes zero; p, corrected over the figures, is above "
        f"{level}, so no difference is claimed.",
        "†": f"p is at most {level}, but rows that are missing or could not be read might reverse "
        "the difference.",
    }
    return [f"{mark} {text}" for mark, text in told.items() if any(r.mark == mark for r in shown)]


def _mark(figure: MetricResult, alpha: float) -> str:
    ends = figure.interval
    if figure.verdict not in ("no worse", "cannot tell") or ends is None or figure.p_holm is None:
        return ""
    if ends[0] <= 0 <= ends[1]:
        return ""
    return "†" if figure.p_holm <= alpha else "*"


def _signed(figure: MetricResult, verdict: str) -> str:
    sign = SIGNS.get(figure.verdict)
    return f"{sign} {verdict}" if sign else verdict


def alike(benchmark: BenchmarkComparison) -> str:
    """Return the headline difference over the rows whose answers are similar in length."""
    own = benchmark.length
    if own.matched < _FEW and own.difference is not None:
        return "too few rows"
    return numbers.difference(own.difference, own.interval, digits(benchmark))


def digits(benchmark: BenchmarkComparison) -> int:
    """Return the decimals of a benchmark's headline figure."""
    return next((figure.digits for figure in benchmark.figures if figure.primary), 1)
