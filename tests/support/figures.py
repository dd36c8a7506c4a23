"""Figures of a benchmark from documents and answers, for values computed by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.benchmark import Benchmark, Row
from harness.plugins import load
from harness.records import Sample

Score = Callable[[Any, Row, str], Any]


class Bare:
    """A task of which a scorer needs no more than its folder and helpers of lmms-eval's module."""

    def __init__(self, folder: Path | None = None, module: Any = None) -> None:
        self.folder, self._module = folder, module

    def helper(self, name: str) -> Any:
        return getattr(self._module, name)


def row_of(doc: Mapping[str, Any], number: int = 0, target: str = "") -> Row:
    return Row(str(number), "", f"image {number}", "", (), target, doc)


def samples_of(
    benchmark: Benchmark, answers: Iterable[tuple[Mapping[str, Any], str]], task: Any
) -> list[Sample]:
    """Score answers to documents, each an image of its own."""
    made = []
    for number, (doc, answer) in enumerate(answers):
        row = row_of(doc, number)
        scores = benchmark.score(task, row, answer).scores
        made.append(
            Sample(
                *(row.id, row.content, row.image, row.text, row.target, answer, 1, "stop"),
                scores=scores,
                groups=benchmark.groups(doc),
                units=benchmark.units(doc),
            )
        )
    return made


def figure(benchmark: Benchmark, name: str, samples: Iterable[Sample]) -> float:
    """Return a column's figure; rows it does not apply to are left out, as in a report."""
    column = next(c for c in benchmark.columns if c.name == name)
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        if column.applies(sample):
            groups.setdefault(column.group(sample), []).append(sample)
    counted = [column.count(rows) for rows in groups.values()]
    totals = np.sum([counters for counters in counted if counters is not None], axis=0)
    return float(column.value(np.asarray(totals, dtype=float)))


def figures(
    name: str, answers: Iterable[tuple[Mapping[str, Any], str]], task: Any = None
) -> Callable[[str], float]:
    """Return what gives each column's figure of a benchmark for these answers."""
    benchmark: Benchmark = load("benchmarks", name)
    samples = samples_of(benchmark, answers, task or Bare())
    return lambda column: figure(benchmark, column, samples)
