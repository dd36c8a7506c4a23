"""Results of other harnesses as one side of a comparison, without asking any model again.

An import is a run folder with an arm ``after`` and nothing else. What the other harness did not
write down cannot be had: without images, rows are matched by question and target only, and where no
image is named every row counts as independent. Each import says so in its notes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.benchmark import adhoc_columns
from harness.errors import HarnessError, UsageError
from harness.plugins import load
from harness.records import Sample, distinct, fingerprint, to_json
from harness.report import ReportInput, conclude_alone, write_reports
from harness.storage import RunRecord, journal_of


@dataclass(frozen=True)
class Imported:
    """One benchmark as another harness measured it, named with its prefix.

    Metrics have a direction, the headline first; notes say what could not be had or was left out.
    """

    name: str
    samples: tuple[Sample, ...]
    metrics: Mapping[str, bool | None]
    notes: tuple[str, ...]


def write_import(found: Sequence[Imported], out: Path, *, source: str, name: str) -> Path:
    """Write a run folder that ``harness compare`` takes, with the name that reports call the model.

    Raises:
        UsageError: if the folder holds another run, or nothing was found.
        HarnessError: if it cannot be written.
    """
    if not found:
        raise UsageError("There is nothing to import in what was named. Name result files.")
    if (out / "comparison.json").exists() or (out / "before").exists():
        raise UsageError(f"{out} holds a run already. Name a new folder with --out.")
    notes = distinct(f"{each.name}: {note}" for each in found for note in each.notes)
    inputs = {}
    for each in found:
        rows = fingerprint([(row.id, row.content) for row in each.samples])
        inputs[f"data:{each.name}"] = f"import:{rows}"
        written = fingerprint([to_json(row) for row in each.samples])
        journal = journal_of(out / "after" / f"{each.name}.jsonl", written, Sample)
        if not journal.complete:
            journal.forget(0)  # of an import that was killed
            journal.append(*each.samples)
            journal.finish()
    record = RunRecord(
        asked={"benches": [each.name for each in found]},
        inputs=inputs,
        imported={each.name: each.metrics for each in found},
        source=source,
    )
    record.write(out)
    about = ReportInput(comparison=None, method=name, model=name, data=source, notes=notes)
    report = conclude_alone(
        about,
        {each.name: each.samples for each in found},
        {each.name: adhoc_columns(each.metrics, each.samples) for each in found},
    )
    write_reports(report, out, {"json": load("reports", "json")})
    return out


def all_but(
    readers: Sequence[Callable[[], Imported]], left_out: list[str] | None
) -> tuple[Imported, ...]:
    """Read everything that can be imported, and note why the rest cannot."""
    found: list[Imported] = []
    errors: list[HarnessError] = []
    for read in readers:
        try:
            found.append(_once(read()))
        except HarnessError as error:
            errors.append(error)
    if errors and (left_out is None or not found):
        raise errors[0]
    if left_out is not None:
        left_out += map(str, errors)
    return tuple(found)


def _once(found: Imported) -> Imported:
    """Take each row once, and say how many stand there again; refuse rows that differ."""
    first: dict[str, Sample] = {}
    again: list[str] = []
    differing: list[str] = []
    for row in found.samples:
        if row.id not in first:
            first[row.id] = row
        else:
            (again if first[row.id] == row else differing).append(row.id)
    if differing:
        raise HarnessError(
            f"{len(differing)} rows of {found.name} stand in the file more than once, with other "
            f"answers or scores, such as {', '.join(differing[:3])}. Nothing of it was taken. Keep "
            "one answer to each row, or evaluate again."
        )
    if not again:
        return found
    note = (
        f"{len(again)} rows stand in the file more than once, each time the same, such as "
        f"{', '.join(again[:3])}"
    )
    return replace(found, samples=tuple(first.values()), notes=(*found.notes, note))


def note_on_images(samples: Sequence[Sample]) -> str:
    """Say what is known of which rows share an image."""
    clusters = len({row.cluster for row in samples})
    if clusters == len(samples):
        return (
            "no shared images are named in the file, so every row counts as independent; where "
            "rows share an image in truth, intervals come out too narrow"
        )
    return f"{clusters} images for {len(samples)} rows, identified by their names in the file"


IN_WORDS = "lengths are in words"
"""How the note ends that says so of a benchmark."""


def words_in(text: str | None) -> int:
    """Return the length of an answer in words, where tokens were not counted."""
    return len(text.split()) if text else 0
