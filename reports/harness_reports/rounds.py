"""The rounds of a run as a table that every report shows: what went in, and what came out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.report import ReportInput
from harness.stages import Round, RoundFigure
from harness_reports import numbers


@dataclass(frozen=True)
class Line:
    """One figure over the rounds.

    Attributes:
        name: of the figure, foreign text.
        points: round and value; round 0 is the model before the first.
        intervals: of each point, shifted from the difference; ``None`` where it is not known.
    """

    name: str
    points: tuple[tuple[int, float], ...]
    intervals: tuple[tuple[float, float] | None, ...]


def head(report: ReportInput) -> tuple[str, ...]:
    """Return the names of the table's columns; empty for a run without rounds."""
    if report.rounds is None:
        return ()
    return ("", "before", *(f"round {each.number}" for each in report.rounds.each))


def rows(report: ReportInput) -> list[tuple[str, ...]]:
    """Return the rows of the table: counts, margins of the pairs, and headline figures."""
    if report.rounds is None:
        return []
    each = report.rounds.each
    found = [
        _counts("prompts", each, lambda one: str(one.prompts)),
        _counts("pairs", each, lambda one: str(one.pairs)),
    ]
    if report.rounds.asked.replay:
        found.append(_counts("pairs of earlier rounds", each, lambda one: str(one.replayed)))
    found += [_counts("margin of its pairs under the reference, nats", each, _margin("before"))]
    found += [_counts("margin after the round", each, _margin("after"))]
    for name, figures in _figures(report).items():
        some = next(figure for figure in figures if figure is not None)
        cells = ("not evaluated" if one is None else _cell(one) for one in figures)
        found.append((name, numbers.figure(some.before, some.digits), *cells))
    return found


def lines(report: ReportInput) -> list[Line]:
    """Return the curves of the headline figures over the rounds that were evaluated."""
    found = []
    for name, figures in _figures(report).items():
        points: list[tuple[int, float]] = []
        intervals: list[tuple[float, float] | None] = []
        for number, figure in enumerate(figures, 1):
            if figure is None or figure.before is None or figure.after is None:
                continue
            if not points:
                points.append((0, figure.before))
                intervals.append(None)
            points.append((number, figure.after))
            ends = figure.interval
            low, high = (figure.before + end for end in ends) if ends else (None, None)
            intervals.append((low, high) if low is not None and high is not None else None)
        if points:
            found.append(Line(name, tuple(points), tuple(intervals)))
    return found


def _figures(report: ReportInput) -> dict[str, list[RoundFigure | None]]:
    each = report.rounds.each if report.rounds is not None else ()
    named = [{f"{f.benchmark} {f.column}": f for f in one.figures} for one in each]
    names = dict.fromkeys(name for figures in named for name in figures)
    return {name: [figures.get(name) for figures in named] for name in names}


def _counts(name: str, each: tuple[Round, ...], told: Callable[[Round], str]) -> tuple[str, ...]:
    return (name, "", *map(told, each))


def _margin(when: str) -> Callable[[Round], str]:
    def told(one: Round) -> str:
        found = getattr(one.training, when) if one.training is not None else None
        return numbers.DASH if found is None else numbers.signed(found.margin, 2)

    return told


def _cell(figure: RoundFigure) -> str:
    change = numbers.difference(figure.difference, figure.interval, figure.digits)
    return f"{numbers.figure(figure.after, figure.digits)} ({change})"
