"""Comparisons entered into the ledger of looks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness import progress
from harness.compare import Comparison
from harness.errors import HarnessError
from harness.records import fingerprint
from harness.storage import Look, Looks, note_look


def looked(
    folder: Path,
    comparison: Comparison,
    arms: tuple[str, str],
    seeds: Sequence[int],
    *,
    plan: str = "",
) -> Looks:
    """Enter a comparison into the ledger and return how often the question was asked before.

    Args:
        folder: where the ledger lies: beside the answer store.
        comparison: what is looked at.
        arms: what stands for before and after, see :attr:`harness.storage.RunRecord.arms`.
        seeds: training seeds.
        plan: of a gate.
    """
    figures = [
        (each.name, figure.column, figure.samples, figure.before, figure.after, figure.difference)
        for each in comparison.benchmarks
        for figure in each.figures
    ]
    rows = {each.name: each.samples for each in comparison.benchmarks}
    look = Look(*arms, tuple(seeds), rows, fingerprint(figures), plan)
    try:
        return note_look(folder, look)
    except HarnessError as error:
        progress.say(f"This look is not counted: {error}")
        return Looks()
