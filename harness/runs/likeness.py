"""Whether two finished runs were measured alike, and what a reader has to know where they were not.

Only what changes no row is noted; other rows or data are refused elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import HarnessError
from harness.report import ReportInput
from harness.runs.imports import IN_WORDS
from harness.storage import RunRecord

Measured = tuple[Path, ReportInput, RunRecord]
"""Folder of a finished run, what was reported, and what was asked."""


def in_words(name: str, report: ReportInput) -> bool:
    """Say whether the lengths of a benchmark's answers are in words, not in tokens."""
    return any(note.startswith(f"{name}: ") and note.endswith(IN_WORDS) for note in report.notes)


def counted_otherwise(names: Sequence[str], first: Measured, second: Measured) -> tuple[str, ...]:
    """Return the benchmarks whose answers one side counts in words and the other in tokens."""
    return tuple(name for name in names if in_words(name, first[1]) != in_words(name, second[1]))


def unlike(names: Sequence[str], first: Measured, second: Measured) -> list[str]:
    """Say in what two runs were measured otherwise; refuse two engines.

    Raises:
        HarnessError: if two engines answered.
    """
    (one, before, asked), (two, after, other) = first, second
    notes = []
    records = (asked, other)
    changed = [
        name
        for name in names
        if len({each.inputs.get(f"bench:{name}") for each in records} - {None}) > 1
    ]
    if changed:
        notes.append(
            f"{one.name} and {two.name} were measured by different versions of the code of "
            f"{', '.join(changed)}, so prompts or scores may differ. Measure one of them again."
        )
    elsewhere = [side[0].name for side in (first, second) if _elsewhere(side, names)]
    if elsewhere:
        if len(elsewhere) == 1:
            notes.append(
                f"The answers of {elsewhere[0]} were made elsewhere and those of the other side "
                "here: prompts, images and the limit of an answer may differ, so a difference is "
                "not one of the models alone."
            )
        return notes
    if before.engine != after.engine:
        raise HarnessError(
            f"{one} was answered by the engine {before.engine or 'own'}, and {two} by "
            f"{after.engine or 'own'}. Engines differ in rounding, so a difference would not be "
            "one of the models alone. Measure one of them again, with the --engine of the other."
        )
    if before.protocol != after.protocol:
        notes.append(
            f"{one.name} was measured by the protocol {before.protocol} and {two.name} "
            f"by {after.protocol}: images, conversations and some questions differ between them, "
            "so a difference is not one of the models alone."
        )
    cuts = [each.asked.get("max_new_tokens") for each in records]
    if cuts[0] != cuts[1]:
        at = [f"{cut} tokens" if cut else "each benchmark's own limit" for cut in cuts]
        notes.append(
            f"Answers of {one.name} were cut at {at[0]} and those of {two.name} at {at[1]} "
            "(--max-new-tokens), so a difference is not one of the models alone."
        )
    return notes


def _elsewhere(side: Measured, names: Sequence[str]) -> bool:
    """Whether the answers are an import, or were given to ``harness score``."""
    _, report, record = side
    return bool(record.imported) or any(in_words(name, report) for name in names)


def run_name(place: Path) -> str:
    """Return the name of a run's folder or bundle; a model's name in it may hold dots."""
    return place.resolve().name.removesuffix(".zip")


def called(first: Measured, second: Measured) -> tuple[str, str]:
    """Call two runs by their methods, else by their folders, else by their places."""
    methods, folders = (
        (first[1].method, second[1].method),
        (run_name(first[0]), run_name(second[0])),
    )
    if methods[0] != methods[1]:
        return methods
    if folders[0] != folders[1]:
        return folders
    return f"{folders[0]} (first)", f"{folders[1]} (second)"
