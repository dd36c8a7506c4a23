"""Comparisons entered into the ledger of looks, and made again at the level of a planned look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness import progress
from harness.compare import Comparison, Terms
from harness.errors import HarnessError
from harness.judge import Verdicts
from harness.records import fingerprint
from harness.report import ReportInput, conclude
from harness.runs.finished import FinishedRun, columns_of
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

    The ledger lies beside the answer store; arms are :attr:`harness.storage.RunRecord.arms`.
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


def compare_again(run: FinishedRun, terms: Terms) -> ReportInput:
    """Compare a run's own arms again under other terms.

    Raises:
        UsageError: if it holds one model's answers only.
    """
    recorded = run.report.compared
    like = replace(
        recorded,
        margin=terms.margin,
        alpha=terms.alpha,
        accepted=terms.accept_missing,
        margins=terms.margins,
    )
    return conclude(
        run.report,
        Verdicts(run.before, run.after, run.report.judging),
        {each.name: columns_of(each.name, run) for each in recorded.benchmarks},
        like=like,
        touched=[overlap.touched for overlap in run.report.overlaps],
        more=run.more,
    )
