"""Two runs beside each other: what they are called, and whether they were measured alike."""

from __future__ import annotations

from pathlib import Path

from harness.errors import HarnessError
from harness.report import ReportInput

Measured = tuple[Path, ReportInput]


def unlike(first: Measured, second: Measured) -> list[str]:
    """Say that two runs were measured by different protocols, where they were.

    Raises:
        HarnessError: if two engines answered: a difference would be partly theirs.
    """
    (one, before), (two, after) = first, second
    if before.engine != after.engine:
        raise HarnessError(
            f"{one} was answered by the engine {before.engine or 'own'}, and {two} by "
            f"{after.engine or 'own'}. Engines differ in rounding, so a difference would not be "
            "one of the models alone. Measure one of them again, with the --engine of the other."
        )
    if before.protocol == after.protocol:
        return []
    return [
        f"{one.name} was measured by the protocol {before.protocol} and {two.name} "
        f"by {after.protocol}: images, conversations and some questions differ between them, so a "
        "difference is not one of the models alone."
    ]


def called(first: Measured, second: Measured) -> tuple[str, str]:
    """Call two runs by their methods, else by their folders, else by their places."""
    methods, folders = (
        (first[1].method, second[1].method),
        (first[0].resolve().stem, second[0].resolve().stem),
    )
    if methods[0] != methods[1]:
        return methods
    if folders[0] != folders[1]:
        return folders
    return f"{folders[0]} (first)", f"{folders[1]} (second)"
