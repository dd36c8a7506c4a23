"""Drawings in letters, for what shows no pictures: Markdown on GitHub, a log, a mail."""

from __future__ import annotations

from collections.abc import Sequence

from harness.compare import Comparison
from harness.dpo import Curve
from harness_reports import plots, svg, table

_BLOCKS = "▁▂▃▄▅▆▇█"
_WIDTH = 41  # places of the drawing; odd, so that zero has one of its own


def forest(comparison: Comparison) -> str:
    """Return a line for each headline difference, right is better; empty where none is known.

    Lengths are in percent of each figure's scale, as in :func:`harness_reports.plots.forest`.
    """
    found = plots.whiskers(comparison)
    if not found:
        return ""
    reach = max(abs(end) for each in found for end in each.interval) or 1.0
    name = max(len(each.name) for each in found)
    lines = [f"{'':{name}}  {'← worse':<{_WIDTH // 2}}0{'better →':>{_WIDTH // 2}}"]
    for each in found:
        mark = table.SIGNS.get(each.verdict, "●")
        drawn = _drawn(each.interval, each.difference, mark, reach)
        lines.append(f"{each.name:<{name}}  {drawn}  {each.told}".rstrip())
    return "\n".join([*lines, f"{'':{name}}  {_scale(reach)}"])


def curves(found: Sequence[Curve]) -> list[list[str]]:
    """Return for each training curve its name, a line in letters, and its first and last value."""
    rows = []
    for name, points in plots.named(found):
        values = [value for _, value in svg.thinned(points, 24)]
        low, high = min(values), max(values)
        steps = [round((len(_BLOCKS) - 1) * (v - low) / ((high - low) or 1)) for v in values]
        rows.append([name, "".join(_BLOCKS[step] for step in steps), plots.ends(points)])
    return rows


def _drawn(ends: Sequence[float], value: float, mark: str, reach: float) -> str:
    places = [" "] * _WIDTH
    low, high = (_place(end, reach) for end in ends)
    places[low : high + 1] = "─" * (high + 1 - low)
    places[_WIDTH // 2] = "┼" if low <= _WIDTH // 2 <= high else "│"
    places[_place(value, reach)] = mark
    return "".join(places)


def _place(value: float, reach: float) -> int:
    half = _WIDTH // 2
    return half + round(half * value / reach)


def _scale(reach: float) -> str:
    ends = f"-{reach:.3g} %", f"+{reach:.3g} % of the scale"
    return f"{ends[0]:<{_WIDTH - len(ends[1])}}{ends[1]}"
