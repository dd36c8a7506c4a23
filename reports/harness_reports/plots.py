"""What the pages draw: differences with their intervals, curves, rounds, and gain against cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from harness.compare import Comparison
from harness.dpo import Curve
from harness_reports import numbers, svg, words
from harness_reports.rounds import Line
from harness_reports.svg import ROLES, Mark

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SHAPES = {"gain": "^", "loss": "v"}
_LONG = 48  # steps, from which on a curve is smoothed
_STEPS = 12  # of a training, in the table of its curves
_PANELS = (
    ("loss", ("loss",)),
    ("learning rate", ("learning_rate",)),
    ("margin of the rewards", ("margin",)),
    ("accuracy of the rewards", ("accuracy",)),
    ("rewards", ("reward_chosen", "reward_rejected")),
    ("KL from the start, nats", ("kl",)),
    ("tokens", ("length_chosen", "length_rejected")),
)
"""Titles, and one or two curves: what was chosen is solid, what was rejected is dashed."""
_OVERLAID = {
    "loss": "loss",
    "margin": "margin of the rewards",
    "accuracy": "accuracy of the rewards",
    "kl": "KL from the start, nats",
}
"""What several trainings show in one panel: curve and title."""


class Differing(Protocol):
    """A difference as a comparison and a leaderboard hold it, in the figure's own unit."""

    @property
    def difference(self) -> float | None: ...  # noqa: D102
    @property
    def interval(self) -> tuple[float, float] | None: ...  # noqa: D102
    @property
    def interval_corrected(self) -> tuple[float, float] | None: ...  # noqa: D102
    @property
    def verdict(self) -> str: ...  # noqa: D102
    @property
    def seeds(self) -> tuple[float | None, ...]: ...  # noqa: D102


@dataclass(frozen=True)
class Whisker:
    """One line of a forest plot. Lengths are in percent of the figure's scale, right is better.

    Attributes:
        name: what stands above the line, foreign text.
        told: the difference in the figure's own unit, with its interval.
        verdict: of the difference.
        difference: where the mark stands.
        interval: the thick line.
        corrected: the thin line: the interval at the level of all figures together.
        margin: half of the shaded band.
        seeds: each training's own difference.
    """

    name: str
    told: str
    verdict: str
    difference: float
    interval: tuple[float, float]
    corrected: tuple[float, float] | None
    margin: float
    seeds: tuple[float, ...] = ()


def whisker(
    name: str,
    figure: Differing,
    margin: float,
    *,
    better: bool | None,
    percent: float,
    digits: int,
    unit: str,
) -> Whisker | None:
    """Return the line of a difference; ``None`` where it or its interval is not known.

    Args:
        name: of the line.
        figure: difference, interval, interval at the level of all, verdict and seeds.
        margin: what counts as worse, in the figure's unit.
        better: whether higher is better; where lower is, the line is turned.
        percent: the same margin in percent of the scale, which tells the scale.
        digits: decimals.
        unit: of the figure.
    """
    if figure.difference is None or figure.interval is None or not margin:
        return None
    scale = percent / margin * (-1 if better is False else 1)

    def ends(found: tuple[float, float]) -> tuple[float, float]:
        low, high = sorted(scale * end for end in found)
        return low, high

    told = numbers.difference(figure.difference, figure.interval, digits)
    return Whisker(
        name=words.one_line(name, 34) + (" (lower is better)" if better is False else ""),
        told=f"{told} {words.one_line(unit, 20)}",
        verdict=figure.verdict,
        difference=scale * figure.difference,
        interval=ends(figure.interval),
        corrected=ends(figure.interval_corrected) if figure.interval_corrected else None,
        margin=percent,
        seeds=tuple(scale * each for each in figure.seeds if each is not None),
    )


def forest(comparison: Comparison) -> str:
    """Return the headline differences with their intervals, or an empty string without any."""
    return forest_of(whiskers(comparison), "forest")


def whiskers(comparison: Comparison) -> list[Whisker]:
    """Return the headline differences: gains first, then losses, then what is undecided.

    They are in percent of each figure's scale, which the margin tells, so that a column of 100
    points and one of 2800 stand on one axis.
    """
    found = [
        whisker(
            f"{benchmark.name} {figure.column}",
            figure,
            figure.margin,
            better=figure.higher_is_better,
            percent=comparison.terms.margin_of(benchmark.name),
            digits=figure.digits,
            unit=figure.unit,
        )
        for benchmark, figure in words.heads(comparison)
    ]
    return _ordered([each for each in found if each is not None])


def _ordered(found: Sequence[Whisker]) -> list[Whisker]:
    order = {"gain": 0, "loss": 1, "changed": 2}
    return sorted(found, key=lambda each: order.get(each.verdict, 3))


def forest_of(found: Sequence[Whisker], name: str) -> str:
    """Return whiskers below each other: gains first, then losses, then what is undecided."""
    if not found:
        return ""
    found = _ordered(found)
    with svg.drawn(0.62 + 0.42 * len(found)) as drawing:
        axes = drawing.subplots()
        for place, each in enumerate(found):
            band = [place - 0.17, place + 0.33]
            axes.fill_betweenx(band, -each.margin, each.margin, color=ROLES["panel"], lw=0)
            axes.plot([0, 0], band, color=ROLES["quiet"], lw=1)
            _interval(axes, place + 0.08, each)
        svg.framed(axes)
        axes.set_ylim(len(found) - 0.5, -0.6)
        axes.set_yticks([])
        axes.set_xlabel("← worse  ·  difference in % of the scale  ·  better →")
        told = "; ".join(f"{each.name} {each.told}, {each.verdict}" for each in found)
        return svg.themed(drawing, name, f"Differences with intervals: {told}")


def _interval(axes: Axes, place: float, each: Whisker) -> None:
    role = each.verdict if each.verdict in _SHAPES else "ink"
    if each.corrected is not None:
        axes.plot(each.corrected, [place, place], color=ROLES[role], lw=0.8)
    axes.plot(each.interval, [place, place], color=ROLES[role], lw=2.4, solid_capstyle="butt")
    for value in each.seeds:
        axes.plot([value], [place + 0.14], "|", color=ROLES["quiet"], ms=4)
    axes.plot([each.difference], [place], _SHAPES.get(each.verdict, "o"), color=ROLES[role], ms=6)
    across = axes.get_yaxis_transform()
    axes.text(0, place - 0.32, each.name, transform=across, weight="bold")
    axes.text(1, place - 0.32, each.told, transform=across, ha="right", color=ROLES["quiet"])


def curves(found: Sequence[Curve]) -> str:
    """Return the training's curves as small panels, or an empty string without any."""
    known = {curve.name: curve.points for curve in found}
    shown = {
        title: lines
        for title, wanted in _PANELS
        if (lines := [known[key] for key in wanted if key in known])
    }
    if not shown:
        return ""
    marks = []
    with svg.panels(list(shown)) as (drawing, grid):
        for axes, (title, lines) in zip(grid, shown.items(), strict=True):
            for points, role, dashes in zip(
                lines, ("gain", "loss"), ("-", (0, (3, 2))), strict=False
            ):
                smooth = points if title == "learning rate" else smoothed(points)
                if smooth is not points:
                    axes.plot(*zip(*points, strict=True), color=ROLES[role], lw=0.5, alpha=0.5)
                axes.plot(*zip(*smooth, strict=True), color=ROLES[role], lw=1.3, ls=dashes)
            marks += _steps(axes, lines)
        told = "; ".join(
            f"{title} {' and '.join(map(ends, lines))}" for title, lines in shown.items()
        )
        return svg.themed(drawing, "curves", f"Training curves, first to last step: {told}", marks)


def smoothed(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """Return the mean over a twelfth of a curve around each point; a short curve as it is."""
    if len(points) < _LONG:
        return points
    reach = len(points) // 24
    around = (points[max(0, at - reach) : at + reach + 1] for at in range(len(points)))
    means = (sum(value for _, value in near) / len(near) for near in around)
    return [(step, mean) for (step, _), mean in zip(points, means, strict=True)]


def _steps(axes: Axes, lines: Sequence[Sequence[tuple[float, float]]]) -> list[Mark]:
    """Return marks that say the values of all lines of a panel at one step."""
    chosen = [step for step, _ in svg.thinned(lines[0])]
    values = [dict(points) for points in lines]
    marks = []
    for step, ends in zip(chosen, svg.reach(axes, chosen), strict=True):
        there = [value[step] for value in values if step in value]
        told = f"step {step:g}: {' / '.join(map(_value, there))}"
        marks.append(Mark(axes, told, [(step, value) for value in there], ends))
    return marks


def overlaid(runs: Mapping[str, Sequence[Curve]], places: Mapping[str, int]) -> str:
    """Return the curves of several trainings over each other; empty with fewer than two.

    Args:
        runs: curves by the name of the run.
        places: numbers that stand at the ends of the lines.
    """
    shown = {
        title: lines
        for key, title in _OVERLAID.items()
        if len(lines := {run: found for run, own in runs.items() if (found := _of(own, key))}) > 1
    }
    if not shown:
        return ""
    marks = []
    with svg.panels(list(shown), 1.9) as (drawing, grid):
        for axes, lines in zip(grid, shown.values(), strict=True):
            for run, points in lines.items():
                line = svg.thinned(smoothed(points))
                axes.plot(*zip(*line, strict=True), color=ROLES["quiet"], lw=0.8)
                axes.annotate(
                    str(places[run]),
                    line[-1],
                    (2, -2),
                    textcoords="offset points",
                    fontsize=7,
                    annotation_clip=False,
                )
                told = f"{words.one_line(run, 24)}: {_value(points[-1][1])}"
                marks.append(Mark(axes, told, line))
        told = f"Training curves of {len(runs)} runs over each other: {', '.join(shown)}"
        return svg.themed(drawing, "curves", told, marks)


def _of(own: Sequence[Curve], key: str) -> list[tuple[float, float]]:
    return [point for curve in own if curve.name == key for point in curve.points]


def lasts(runs: Mapping[str, Sequence[Curve]]) -> list[list[str]]:
    """Return the first and last values of several trainings as a table, its head first."""
    rows = [
        [run, *(ends(points) if (points := _of(own, key)) else numbers.DASH for key in _OVERLAID)]
        for run, own in runs.items()
        if own
    ]
    return [["run", *_OVERLAID.values()], *rows] if rows else []


def named(found: Sequence[Curve]) -> list[tuple[str, Sequence[tuple[float, float]]]]:
    """Return the curves that are shown, in their order, with their names in words."""
    known = {curve.name: curve.points for curve in found}
    names = [name for _, wanted in _PANELS for name in wanted if name in known]
    return [(name.replace("_", " "), known[name]) for name in names]


def values(found: Sequence[Curve]) -> list[list[str]]:
    """Return the curves as a table, its head first: some steps from the first to the last."""
    shown = {name: dict(points) for name, points in named(found)}
    steps = sorted({step for points in shown.values() for step in points})
    rows = [
        [f"{step:g}", *(_value(points.get(step)) for points in shown.values())]
        for step in svg.thinned(steps, _STEPS)
    ]
    return [["step", *shown], *rows] if rows else []


def _value(value: float | None) -> str:
    return numbers.DASH if value is None else f"{value:.4g}"


def ends(points: Sequence[tuple[float, float]]) -> str:
    """Return the first and last value of a curve."""
    return f"{points[0][1]:.4g} to {points[-1][1]:.4g}"


def rounds(found: Sequence[Line], number: int = 0) -> str:
    """Return headline figures over the rounds with their intervals; empty without any.

    ``number`` tells several such drawings of one page apart.
    """
    if not found:
        return ""
    marks = []
    with svg.panels([line.name for line in found]) as (drawing, grid):
        for axes, line in zip(grid, found, strict=True):
            places, values = zip(*line.points, strict=True)
            axes.axhline(values[0], color=ROLES["line"], lw=1)
            for place, ends in zip(places, line.intervals, strict=True):
                if ends is not None:
                    axes.plot([place, place], list(ends), color=ROLES["quiet"], lw=1.3)
            axes.plot(places, values, "o-", color=ROLES["gain"], lw=1.3, ms=4)
            axes.set_xticks(list(places))
            for point, ends in zip(line.points, svg.reach(axes, places), strict=True):
                told = f"{f'round {point[0]}' if point[0] else 'before'}: {_value(point[1])}"
                marks.append(Mark(axes, told, [point], ends))
        names = ", ".join(words.one_line(line.name, 60) for line in found)
        told = f"Figures after each round, before is 0: {names}"
        return svg.themed(drawing, f"rounds{number or ''}", told, marks)


@dataclass(frozen=True)
class Cost:
    """One figure of several runs by what they cost.

    Attributes:
        name: of the figure, foreign text.
        points: optimiser steps, gain in percent of the scale, verdict, and what names the run.
    """

    name: str
    points: tuple[tuple[int, float, str, str], ...]


def costs(found: Sequence[Cost]) -> str:
    """Return a panel for each figure, gain against optimiser steps; empty without any."""
    if not found:
        return ""
    with svg.panels([each.name for each in found], 1.75) as (drawing, grid):
        for axes, each in zip(grid, found, strict=True):
            axes.axhline(0, color=ROLES["line"], lw=1)
            for steps, gain, verdict, label in each.points:
                role = ROLES[verdict if verdict in _SHAPES else "ink"]
                axes.plot([steps], [gain], _SHAPES.get(verdict, "o"), color=role, ms=4)
                axes.annotate(
                    label, (steps, gain), (3, 2), textcoords="offset points", fontsize=7, color=role
                )
            axes.margins(0.12)
        names = ", ".join(words.one_line(each.name, 60) for each in found)
        told = "Gain in % of the scale by optimiser steps; the numbers stand in the table above"
        return svg.themed(drawing, "costs", f"{told}: {names}")
