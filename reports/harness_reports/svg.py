"""Drawings as SVG that stands in the page: its colours are the page's, its text stays text.

Matplotlib draws with colours that stand for roles (:data:`ROLES`); afterwards they become classes,
so that one drawing serves light and dark, and no style attribute is left that a strict content
security policy would refuse. The same input gives the same bytes. What a reader points at says its
value by the style sheet alone, without a script (:class:`Mark`).
"""

from __future__ import annotations

import io
import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from harness_reports import words

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
    "figure.dpi": 72,  # that of the SVG, so that places on the canvas are places in it
}
_T = TypeVar("_T")
_SVG = "http://www.w3.org/2000/svg"


@dataclass(frozen=True)
class Mark:
    """What says its value when it is pointed at.

    Attributes:
        axes: its panel.
        told: the text, foreign or not.
        points: that are shown then, in the panel's units.
        ends: of the part of the x axis that answers; ``None`` where the line through the points
            does.
    """

    axes: Axes
    told: str
    points: Sequence[tuple[float, float]]
    ends: tuple[float, float] | None = None


@contextmanager
def drawn(height: float) -> Iterator[Drawing]:
    """Give a drawing without any global state left behind; glyphs that a font lacks are no news."""
    import matplotlib
    from matplotlib.figure import Figure as Drawing

    with matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield Drawing(figsize=(_WIDTH, height), layout="constrained")


@contextmanager
def panels(titles: Sequence[str], height: float = 1.55) -> Iterator[tuple[Drawing, list[Axes]]]:
    """Give a drawing of small panels, two beside each other, with their titles."""
    lines = (len(titles) + 1) // 2
    with drawn(height * lines + 0.1) as drawing:
        grid = list(drawing.subplots(lines, 2, squeeze=False).flat)
        for axes, title in zip(grid, titles, strict=False):
            axes.set_title(words.one_line(title, 34), fontsize=9, loc="left")
            framed(axes)
        for axes in grid[len(titles) :]:
            axes.set_visible(False)
        yield drawing, grid[: len(titles)]


def framed(axes: Axes) -> None:
    """Leave only the lower edge of a panel."""
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=2, labelsize=8)


def thinned(points: Sequence[_T], most: int = 40) -> list[_T]:
    """Return at most that many of the points, evenly from the first to the last."""
    last, count = len(points) - 1, min(len(points), most)
    return [points[round(last * place / max(count - 1, 1))] for place in range(count)]


def reach(axes: Axes, places: Sequence[float]) -> list[tuple[float, float]]:
    """Return the part of the x axis that lies nearest to each of the ascending places."""
    low, high = sorted(axes.get_xlim())
    middles = [(one + two) / 2 for one, two in pairwise(places)]
    return list(zip([low, *middles], [*middles, high], strict=True))


def themed(drawing: Drawing, name: str, told: str, marks: Iterable[Mark] = ()) -> str:
    """Return the SVG with classes for colours, plain attributes for styles, and ids of its own.

    Args:
        drawing: what is shown.
        name: of the drawing, before its ids; no other drawing of the page has it.
        told: the same in words.
        marks: what says its value when it is pointed at.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    text = io.StringIO()
    FigureCanvasSVG(drawing).print_svg(text, metadata={"Date": None})
    root = ET.fromstring(text.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)
        _restyled(parent, name)
    for mark in marks:
        root.append(_pointed(mark, drawing.bbox.height))
    for key in ("width", "height"):
        root.attrib.pop(key, None)
    root.set("role", "img")
    root.set("aria-label", words.visible(told))
    ET.register_namespace("", _SVG)
    return ET.tostring(root, encoding="unicode")


def _pointed(mark: Mark, height: float) -> ET.Element:
    """Return what answers to a pointer, and what is shown then."""
    group = _element("g", "at")
    box, place = mark.axes.bbox, mark.axes.transData.transform
    points = [(float(x), height - float(y)) for x, y in map(place, mark.points)]
    if mark.ends is None:
        text = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        group.append(_element("polyline", "hit", points=text))
    else:
        left, right = (float(place((end, 0))[0]) for end in mark.ends)
        size = {"width": f"{right - left:.1f}", "height": f"{box.height:.1f}"}
        group.append(_element("rect", "hit", x=f"{left:.1f}", y=f"{height - box.y1:.1f}", **size))
        for x, y in points:
            group.append(_element("circle", "fill-ink", cx=f"{x:.1f}", cy=f"{y:.1f}", r="2.2"))
    at = {"x": f"{box.x1:.1f}", "y": f"{height - box.y1 + 7:.1f}"}
    label = _element("text", "fill-ink", **at, **{"text-anchor": "end", "font-size": "8"})
    label.text = words.one_line(mark.told, 40)
    group.append(label)
    return group


def _element(tag: str, kind: str, **attributes: str) -> ET.Element:
    return ET.Element(f"{{{_SVG}}}{tag}", {"class": kind, **attributes})


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
