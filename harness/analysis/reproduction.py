"""Published figures of a method beside those of a run here, and why the two may differ.

A method's package brings ``published.json``: the columns of its paper's table with the figures of
the base model and of the method's variants, where each row was read, and known causes of a gap,
each with the switch that shows its share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HarnessError, UsageError
from harness.plugins import find
from harness.records import from_json
from harness.storage import read_json

if TYPE_CHECKING:
    from harness.report import ReportInput

FILE = "published.json"


@dataclass(frozen=True)
class PublishedColumn:
    """One column of a paper's table.

    Attributes:
        name: as the paper has it.
        bench: the benchmark here.
        metric: its column here.
        figures: one per variant, in their order; ``None`` where none is published.
        lower: whether lower is better.
    """

    name: str
    bench: str
    metric: str
    figures: tuple[float | None, ...]
    lower: bool = False


@dataclass(frozen=True)
class Cause:
    """Why a published figure and one measured here may differ.

    Attributes:
        columns: which columns it moves; empty for all.
        cause: what differs.
        switch: what to type to see its share.
    """

    columns: tuple[str, ...]
    cause: str
    switch: str


@dataclass(frozen=True)
class Ledger:
    """What a paper has published.

    Attributes:
        paper: which, and where its tables were read.
        model: the model that was aligned.
        variants: the rows of the table, the base first.
        sources: where each row was read.
        columns: of the table.
        causes: of a gap.
    """

    paper: str
    model: str
    variants: tuple[str, ...]
    sources: Mapping[str, str]
    columns: tuple[PublishedColumn, ...]
    causes: tuple[Cause, ...]


def ledger_of(method: str) -> Ledger:
    """Return what the paper of an installed method has published.

    Raises:
        UsageError: if there is no such method, or its package brings no published figures.
        HarnessError: if the file is damaged.
    """
    spec = find_spec(find("methods", method).module.split(":")[0].split(".")[0])
    file = Path(str(spec.origin)).parent / FILE if spec is not None else Path(FILE)
    if not file.is_file():
        raise UsageError(
            f"The package of the method '{method}' brings no published figures ({FILE}). Those of "
            "seva and sima do, where they are installed."
        )
    try:
        ledger = from_json(Ledger, read_json(file))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HarnessError(f"{file} is damaged ({error}). Install the package again.") from error
    for column in ledger.columns:
        if len(column.figures) != len(ledger.variants):
            raise HarnessError(f"{file}: {column.name} has not one figure per variant.")
    return ledger


def measured(
    report: ReportInput, columns: Sequence[PublishedColumn]
) -> list[tuple[float | None, float | None]]:
    """Return each column's figures before and after in a run; one model alone stands after."""
    found: dict[tuple[str, str], tuple[float | None, float | None]] = {}
    for level in report.levels:
        found[level.benchmark, level.column] = (None, level.figure)
    if report.comparison is not None:
        for benchmark in report.comparison.benchmarks:
            for figure in benchmark.figures:
                found[benchmark.name, figure.column] = (figure.before, figure.after)
    return [found.get((column.bench, column.metric), (None, None)) for column in columns]
