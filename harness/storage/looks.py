"""The ledger of comparisons beside the answer store: how often a question was asked before.

One line of JSON for each look. A look that came to the same figures as an earlier one is that look:
reading a report twice is no second chance.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.records import from_json, to_json
from harness.storage.journal import cannot_write
from harness.storage.reading import parse_json

NAME = "looks.jsonl"


@dataclass(frozen=True)
class Look:
    """One comparison that was shown.

    Attributes:
        baseline: what stood for before: a model, or what a method made of it.
        after: what stood for after.
        seeds: its training seeds.
        rows: compared rows by benchmark.
        figures: fingerprint of what it came to.
        plan: of the gate that asked, where looks are planned.
    """

    baseline: str
    after: str
    seeds: tuple[int, ...]
    rows: Mapping[str, int]
    figures: str
    plan: str = ""


@dataclass(frozen=True)
class Looks:
    """How often something was compared with the same baseline before, on any of the benchmarks.

    Attributes:
        others: with another method, option or checkpoint.
        seeds: with other training seeds.
        rows: with other rows, as another ``--limit`` gives.
        again: with the same of all of these, and yet other scores.
        planned: by a gate under the same plan of looks.
    """

    others: int = 0
    seeds: int = 0
    rows: int = 0
    again: int = 0
    planned: int = 0

    @property
    def note(self) -> str:
        """One sentence for a reader; empty where this is the first look."""
        named = (
            (self.others, "with another method, option or checkpoint"),
            (self.seeds, "with other training seeds"),
            (self.rows, "with other rows"),
            (self.again, "with other answers or scores"),
        )
        told = ", ".join(f"{count} {what}" for count, what in named if count)
        total = sum(count for count, _ in named)
        if not total:
            return ""
        return (
            f"This baseline was compared {total} {'time' if total == 1 else 'times'} before on "
            f"these benchmarks ({told}). Levels and intervals hold for one look: the best of "
            "several is biased upwards (docs/measuring.md, Repeated looks)."
        )


def note_look(folder: Path, look: Look) -> Looks:
    """Enter a look into the ledger of a folder, and count those before it.

    Raises:
        HarnessError: if the ledger cannot be read or written.
    """
    file = folder / NAME
    try:
        lines = file.read_text("utf-8", errors="replace").split("\n") if file.exists() else []
        known = [each for line in lines if (each := _read(line)) is not None]
        if look not in known:
            begin = "\n" if lines and lines[-1] else ""  # after a line that a kill cut off
            with file.open("a", encoding="utf-8") as ledger:
                ledger.write(begin + json.dumps(to_json(look), sort_keys=True) + "\n")
    except OSError as error:
        raise cannot_write(file, error) from error
    return count_looks(known, look)


def count_looks(known: list[Look], look: Look) -> Looks:
    """Count different looks at the same question before this one."""
    asked: dict[str, Look] = {}
    planned: dict[str, Look] = {}
    for each in known:
        if each.baseline == look.baseline and each.rows.keys() & look.rows.keys():
            asked.setdefault(each.figures, each)
            if each.plan == look.plan:
                planned.setdefault(each.figures, each)
    earlier = _before(asked, look)
    found = [_how(each, look) for each in earlier]
    return Looks(
        **{name: found.count(name) for name in ("others", "seeds", "rows", "again")},
        planned=len(_before(planned, look)) if look.plan else 0,
    )


def _before(looks: Mapping[str, Look], look: Look) -> list[Look]:
    """Return the looks before the first one that came to the same figures."""
    figures = list(looks)
    end = figures.index(look.figures) if look.figures in looks else len(figures)
    return list(looks.values())[:end]


def _how(earlier: Look, look: Look) -> str:
    if earlier.after != look.after:
        return "others"
    if earlier.seeds != look.seeds:
        return "seeds"
    return "rows" if earlier.rows != look.rows else "again"


def _read(line: str) -> Look | None:
    """Return a look; a line that was cut or written by another version is passed over."""
    try:
        return from_json(Look, parse_json(line)) if line.strip() else None
    except (ValueError, TypeError, KeyError):
        return None
