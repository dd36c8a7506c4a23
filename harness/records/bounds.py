"""What values an option may have, declared once beside its type and checked wherever it is set.

    rank: Annotated[int, Bounds(least=1, most=8192)] = 128

A subclass that gives the option another default keeps the bounds: those of every class count.
"""

from __future__ import annotations

import inspect
import math
import re
import sys
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, get_type_hints

from harness.errors import UsageError, near_miss


def typed_number(text: str) -> float:
    """Read a number as a person types it; NaN for anything else, also for Python's ``0_5``."""
    try:
        return float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        return math.nan


@dataclass(frozen=True)
class Bounds:
    """What a number, a text, or each part of a tuple may be. ``None`` as a value is always allowed.

    Attributes:
        least: the smallest number allowed.
        above: every number allowed is greater.
        most: the largest number allowed.
        below: every number allowed is smaller.
        among: the texts allowed; empty allows all.
        pattern: whether a text must be a regular expression.
    """

    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None
    among: tuple[str, ...] = ()
    pattern: bool = False

    def problem(self, value: Any) -> str | None:
        """Say what the value would have to be, or ``None`` where it is allowed."""
        if isinstance(value, tuple | list):
            return next((told for part in value if (told := self.problem(part))), None)
        if isinstance(value, str):
            return self._text(value)
        finite = isinstance(value, int | float) and abs(value) <= sys.float_info.max
        if isinstance(value, int | float) and not (finite and self._inside(value)):
            return f"it must be {self._range()}"
        return None

    def _inside(self, value: float) -> bool:
        return (
            (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.most is None or value <= self.most)
            and (self.below is None or value < self.below)
        )

    def _range(self) -> str:
        told = [
            f"{word} {limit:g}"
            for word, limit in (
                ("at least", self.least),
                ("above", self.above),
                ("at most", self.most),
                ("below", self.below),
            )
            if limit is not None
        ]
        return " and ".join(told) or "a finite number"

    def _text(self, value: str) -> str | None:
        if self.among and value not in self.among:
            return f"it must be one of {', '.join(self.among)}.{near_miss(value, self.among)}"
        if self.pattern:
            try:
                re.compile(value)
            except re.error as error:
                return f"it must be a regular expression ({error})"
        return None


def check_bounds(options: Any, option: str = "--set ") -> None:
    """Refuse a dataclass instance with a value outside of its bounds.

    Args:
        options: the instance.
        option: what stands before ``KEY=VALUE`` on the command line.

    Raises:
        UsageError: names the option, its value, and what is allowed.
    """
    for name, bounds in bounds_of(options.__class__):
        value = getattr(options, name)
        told = bounds.problem(value)
        if told is not None:
            end = "" if told.endswith("?") else "."
            raise UsageError(
                f"{name} is {value}; {told.rstrip('.')}{end} Give another with "
                f"{option}{name}=VALUE."
            )


@cache
def bounds_of(kind: Any) -> tuple[tuple[str, Bounds], ...]:
    """Return the bounds of a dataclass's fields, those of its base classes included."""
    known = {field.name for field in fields(kind)}
    return tuple(
        (name, bounds)
        for each in reversed(kind.__mro__)
        if inspect.get_annotations(each)
        for name, hint in get_type_hints(each, include_extras=True).items()
        if name in known
        for bounds in getattr(hint, "__metadata__", ())
        if isinstance(bounds, Bounds)
    )
