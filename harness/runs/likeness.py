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


def unlike(
    names: Sequence[str], sides: Sequence[Measured], called: Sequence[str] = ()
) -> list[str]:
    """Say in what runs were measured otherwise; refuse two engines.

    Args:
        names: the benchmarks that are compared.
        sides: two runs or more.
        called: what each is called; its folder's name where nothing is given.

    Raises:
        HarnessError: if two engines answered.
    """
    runs = list(zip(called or [side[0].name for side in sides], sides, strict=True))
    notes = []
    changed: dict[str, list[str]] = {}
    for name in names:
        prints = [(run, side[2].inputs.get(f"bench:{name}")) for run, side in runs]
        apart = _apart([(run, value) for run, value in prints if value is not None])
        if len(apart) > 1:
            changed.setdefault(" and ".join(apart.values()), []).append(name)
    for versions, benches in changed.items():
        notes.append(
            f"{versions} were measured by different versions of the code of {', '.join(benches)}, "
            "so prompts or scores may differ. Measure them again with one version."
        )
    elsewhere = [run for run, side in runs if _elsewhere(side, names)]
    here = [(run, side) for run, side in runs if run not in elsewhere]
    if elsewhere and here:
        others = "the other side" if len(runs) == 2 else "the others"
        notes.append(
            f"The answers of {', '.join(elsewhere)} were made elsewhere and those of {others} "
            "here: prompts, images and the limit of an answer may differ, so a difference is "
            "not one of the models alone."
        )
    for run, (place, record, _) in here[1:]:
        first, (other, known, _) = here[0]
        if record.engine != known.engine:
            raise HarnessError(
                f"{other if not called else first} was answered by the engine "
                f"{known.engine or 'own'}, and {place if not called else run} by "
                f"{record.engine or 'own'}. Engines differ in rounding, so a difference would not "
                "be one of the models alone. Measure one of them again, with the --engine of the "
                "other."
            )
    protocols = _apart([(run, side[1].protocol) for run, side in here])
    if len(protocols) > 1:
        told = " and ".join(f"{group} by {name}" for name, group in protocols.items())
        notes.append(
            f"By different protocols were measured: {told}. Images, conversations and some "
            "questions differ between them, so a difference is not one of the models alone."
        )
    limits = [(run, side[2].asked.get("max_new_tokens")) for run, side in here]
    cuts = _apart(
        [(run, f"{cut} tokens" if cut else "each benchmark's own limit") for run, cut in limits]
    )
    if len(cuts) > 1:
        told = " and ".join(f"those of {group} at {cut}" for cut, group in cuts.items())
        notes.append(
            f"Answers were cut at different lengths, {told} (--max-new-tokens), so a difference is "
            "not one of the models alone."
        )
    return notes


def _apart(values: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return the runs of each value; those that share one stand in brackets."""
    groups: dict[str, list[str]] = {}
    for run, value in values:
        groups.setdefault(value, []).append(run)
    return {
        value: runs[0] if len(runs) == 1 else f"({', '.join(runs)})"
        for value, runs in groups.items()
    }


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
