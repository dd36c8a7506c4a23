"""Figures as SVG that stands in the page: its colours are the page's, its text stays text.

Matplotlib draws with colours that stand for roles (:data:`ROLES`); afterwards they become classes,
so that one drawing serves light and dark, and no style attribute is left that a strict content
security policy would refuse. The same input gives the same bytes.
"""

from __future__ import annotations

import io
import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from harness.compare import Comparison
from harness.dpo import Curve
from harness_reports import numbers, words
from harness_reports.rounds import Line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

ROLES = {
    "ink": "#000001",
    "quiet": "#000002",
    "line": "#000003",
    "gain": "#000004",
    "loss": "#000005",
    "panel": "#000006",
    "paper": "#000007",
}
_BY_COLOUR = {colour: role for role, colour in ROLES.items()}
_SHAPES = {"gain": "^", "loss": "v"}
_WIDTH = 4.6  # inches, 331 units of the drawing: about as wide as a phone
_SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "harness",
    "text.parse_math": False,
    "font.size": 9,
    "axes.edgecolor": ROLES["line"],
    "axes.labelcolor": ROLES["quiet"],
    "text.color": ROLES["ink"],
    "xtick.color": ROLES["quiet"],
    "ytick.color": ROLES["quiet"],
    "axes.facecolor": "none",
    "figure.facecolor": "none",
}
_STEPS = 12  # of a training, in the table of its curves
_SVG = "http://www.w3.org/2000/svg"
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
    with _drawing(0.62 + 0.42 * len(found)) as drawing:
        axes = drawing.subplots()
        for place, each in enumerate(found):
            band = [place - 0.17, place + 0.33]
            axes.fill_betweenx(band, -each.margin, each.margin, color=ROLES["panel"], lw=0)
            axes.plot([0, 0], band, color=ROLES["quiet"], lw=1)
            _interval(axes, place + 0.08, each)
        _framed(axes)
        axes.set_ylim(len(found) - 0.5, -0.6)
        axes.set_yticks([])
        axes.set_xlabel("← worse  ·  difference in % of the scale  ·  better →")
        told = "; ".join(f"{each.name} {each.told}, {each.verdict}" for each in found)
        return _themed(drawing, name, f"Differences with intervals: {told}")


def curves(found: Sequence[Curve]) -> str:
    """Return the training's curves as small panels, or an empty string without any."""
    known = {curve.name: curve.points for curve in found}
    panels = [
        (title, lines)
        for title, wanted in _PANELS
        if (lines := [known[key] for key in wanted if key in known])
    ]
    if not panels:
        return ""
    height = (len(panels) + 1) // 2
    with _drawing(1.55 * height + 0.1) as drawing:
        grid = drawing.subplots(height, 2, squeeze=False)
        for axes, (title, lines) in zip(grid.flat, panels, strict=False):
            for points, role in zip(lines, ("gain", "loss"), strict=False):
                steps, values = zip(*points, strict=True)
                dashes = "-" if role == "gain" else (0, (3, 2))
                axes.plot(steps, values, color=ROLES[role], lw=1.3, ls=dashes)
            axes.set_title(title, fontsize=9, loc="left")
            _framed(axes)
        for axes in list(grid.flat)[len(panels) :]:
            axes.set_visible(False)
        told = "; ".join(
            f"{title} {' and '.join(_ends(points) for points in lines)}" for title, lines in panels
        )
        return _themed(drawing, "curves", f"Training curves, first to last step: {told}")


def values(found: Sequence[Curve]) -> list[list[str]]:
    """Return the curves as a table, its head first: some steps from the first to the last."""
    known = {curve.name: dict(curve.points) for curve in found}
    names = [name for _, wanted in _PANELS for name in wanted if name in known]
    steps = sorted({step for name in names for step in known[name]})
    if not steps:
        return []
    last, count = len(steps) - 1, min(len(steps), _STEPS)
    chosen = [steps[round(last * place / max(count - 1, 1))] for place in range(count)]
    rows = [[f"{step:g}", *(_value(known[name].get(step)) for name in names)] for step in chosen]
    return [["step", *(name.replace("_", " ") for name in names)], *rows]


def _value(value: float | None) -> str:
    return numbers.DASH if value is None else f"{value:.4g}"


def _ends(points: Sequence[tuple[float, float]]) -> str:
    return f"{points[0][1]:.4g} to {points[-1][1]:.4g}"


def rounds(found: Sequence[Line], number: int = 0) -> str:
    """Return headline figures over the rounds with their intervals; empty without any.

    ``number`` tells several such drawings of one page apart.
    """
    if not found:
        return ""
    height = (len(found) + 1) // 2
    with _drawing(1.55 * height + 0.1) as drawing:
        grid = drawing.subplots(height, 2, squeeze=False)
        for axes, line in zip(grid.flat, found, strict=False):
            places, values = zip(*line.points, strict=True)
            axes.axhline(values[0], color=ROLES["line"], lw=1)
            for place, ends in zip(places, line.intervals, strict=True):
                if ends is not None:
                    axes.plot([place, place], list(ends), color=ROLES["quiet"], lw=1.3)
            axes.plot(places, values, "o-", color=ROLES["gain"], lw=1.3, ms=4)
            axes.set_title(words.one_line(line.name, 34), fontsize=9, loc="left")
            axes.set_xticks(list(places))
            _framed(axes)
        for axes in list(grid.flat)[len(found) :]:
            axes.set_visible(False)
        names = ", ".join(words.one_line(line.name, 60) for line in found)
        return _themed(
            drawing, f"rounds{number or ''}", f"Figures after each round, before is 0: {names}"
        )


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
    height = (len(found) + 1) // 2
    with _drawing(1.75 * height + 0.1) as drawing:
        grid = drawing.subplots(height, 2, squeeze=False)
        for axes, each in zip(grid.flat, found, strict=False):
            axes.axhline(0, color=ROLES["line"], lw=1)
            for steps, gain, verdict, label in each.points:
                role = ROLES[verdict if verdict in _SHAPES else "ink"]
                axes.plot([steps], [gain], _SHAPES.get(verdict, "o"), color=role, ms=4)
                axes.annotate(
                    label, (steps, gain), (3, 2), textcoords="offset points", fontsize=7, color=role
                )
            axes.set_title(words.one_line(each.name, 34), fontsize=9, loc="left")
            axes.margins(0.12)
            _framed(axes)
        for axes in list(grid.flat)[len(found) :]:
            axes.set_visible(False)
        names = ", ".join(words.one_line(each.name, 60) for each in found)
        told = "Gain in % of the scale by optimiser steps; the numbers stand in the table above"
        return _themed(drawing, "costs", f"{told}: {names}")


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


def _framed(axes: Axes) -> None:
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=2, labelsize=8)


class _drawing:  # noqa: N801  (a context manager, used like a function)
    """Give a drawing without any global state left behind; glyphs that a font lacks are no news."""

    def __init__(self, height: float) -> None:
        self.height = height

    def __enter__(self) -> Drawing:
        import matplotlib
        from matplotlib.figure import Figure as Drawing

        self._settings = matplotlib.rc_context(_SETTINGS)
        self._settings.__enter__()
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        warnings.simplefilter("ignore")
        return Drawing(figsize=(_WIDTH, self.height), layout="constrained")

    def __exit__(self, *error: Any) -> None:
        self._warnings.__exit__(*error)
        self._settings.__exit__(*error)


def _themed(drawing: Drawing, name: str, told: str) -> str:
    """Return the SVG with classes for colours, plain attributes for styles, and ids of its own."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    text = io.StringIO()
    FigureCanvasSVG(drawing).print_svg(text, metadata={"Date": None})
    root = ET.fromstring(text.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)
        _restyled(parent, name)
    for key in ("width", "height"):
        root.attrib.pop(key, None)
    root.set("role", "img")
    root.set("aria-label", words.visible(told))
    ET.register_namespace("", _SVG)
    return ET.tostring(root, encoding="unicode")


def _restyled(element: ET.Element, name: str) -> None:
    given = dict(element.attrib)
    element.attrib.clear()
    for pair in given.pop("style", "").split(";"):
        key, _, value = pair.partition(":")
        if value and key.strip() != "font":
            given[key.strip()] = value.strip()
        elif value:
            size, weight = re.search(r"([\d.]+)px", value), "bold" if "bold" in value else None
            given |= {"font-size": size[1]} if size else {}
            given |= {"font-weight": weight} if weight else {}
    classes = []
    for key, value in given.items():
        role = _BY_COLOUR.get(value.lower())
        if role is not None:
            classes.append(f"{key}-{role}")
        elif key == "id":
            element.set("id", f"{name}-{value}")
        elif key.endswith("}href"):
            element.set("href", value.replace("#", f"#{name}-"))
        else:
            element.set(key, value.replace("url(#", f"url(#{name}-"))
    if element.tag == f"{{{_SVG}}}text" and "fill" not in given:
        classes.append("fill-ink")
    if classes:
        element.set("class", " ".join(sorted(classes)))
