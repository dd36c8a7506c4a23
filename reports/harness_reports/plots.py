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
from typing import TYPE_CHECKING, Any

from harness.compare import Comparison, MetricResult
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


def forest(comparison: Comparison) -> str:
    """Return the headline differences with their intervals, or an empty string without any.

    Differences are in percent of each figure's scale, which the margin tells, so that a column of
    100 points and one of 2800 stand on one axis.
    """
    rows = [
        (f"{benchmark.name} {figure.column}", figure, comparison.terms.margin_of(benchmark.name))
        for benchmark, figure in words.heads(comparison)
        if figure.difference is not None and figure.interval is not None and figure.margin
    ]
    if not rows:
        return ""
    with _drawing(0.62 + 0.42 * len(rows)) as drawing:
        axes = drawing.subplots()
        for place, (_, _, margin) in enumerate(rows):
            height = [place - 0.5 if place else -0.85, place + 0.5]
            axes.fill_betweenx(height, -margin, margin, color=ROLES["panel"], lw=0)
        axes.axvline(0, color=ROLES["quiet"], lw=1)
        for place, (name, figure, margin) in enumerate(rows):
            _interval(axes, place, name, figure, margin / figure.margin)
        _framed(axes)
        axes.set_ylim(len(rows) - 0.5, -0.85)
        axes.set_yticks([])
        axes.set_xlabel("after minus before, % of the scale")
        told = ", ".join(
            f"{words.one_line(n, 60)} {numbers.difference(f.difference, f.interval, f.digits)}"
            for n, f, _ in rows
        )
        return _themed(drawing, "forest", f"Differences with intervals: {told}")


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
        names = ", ".join(title for title, _ in panels)
        return _themed(drawing, "curves", f"Training curves: {names}")


def rounds(found: Sequence[Line]) -> str:
    """Return headline figures over the rounds with their intervals; empty without any."""
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
        return _themed(drawing, "rounds", f"Figures after each round, before is 0: {names}")


def _interval(axes: Axes, place: int, name: str, figure: MetricResult, scale: float) -> None:
    assert figure.difference is not None
    assert figure.interval is not None
    role = figure.verdict if figure.verdict in _SHAPES else "ink"
    low, high = (scale * end for end in figure.interval)
    axes.plot([low, high], [place, place], color=ROLES[role], lw=2, solid_capstyle="butt")
    shape = _SHAPES.get(figure.verdict, "o")
    axes.plot([scale * figure.difference], [place], shape, color=ROLES[role], ms=6)
    across, up = axes.get_yaxis_transform(), place - 0.3
    lower = " (lower is better)" if figure.higher_is_better is False else ""
    axes.text(0, up, words.one_line(name, 34) + lower, transform=across, weight="bold")
    told = numbers.difference(figure.difference, figure.interval, figure.digits)
    told += f" {words.one_line(figure.unit, 20)}"
    # The lines of the axes shall not run through the words.
    ground = {"facecolor": ROLES["paper"], "edgecolor": "none", "pad": 0.6}
    axes.text(1, up, told, transform=across, ha="right", color=ROLES["quiet"], bbox=ground)


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
