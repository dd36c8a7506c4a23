"""Ask a model every row of a benchmark and score the answers, one record per row.

The loop is ours, the documents and the per-answer scoring are lmms-eval's. A row whose answer or
verdict could not be had is journalled as missing, never as zero, and is asked again next time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import progress
from harness.benchmark import Benchmark, Row, Task
from harness.context import Context, EvalPlan
from harness.errors import blaming
from harness.model import ask_each
from harness.records import Answer, Request, Sample
from harness.storage import Journal, Throughput, journal_of, note_throughput, save_thumbnail

_BATCH = 32


@dataclass(frozen=True)
class Evaluation:
    """All samples of one arm (``before`` or ``after``), by benchmark."""

    samples: Mapping[str, tuple[Sample, ...]]
    reused: bool


def evaluate(arm: str, model: Any, context: Context[EvalPlan]) -> Evaluation:
    """Return every benchmark's samples, from the journals as far as they go.

    Args:
        arm: names the folder of the journals and the bars.
        model: whom to ask.
        context: the benchmarks, their data, and the run folder.
    """
    plan, folder = context.plan, context.folder
    prints = plan.prints(model.fingerprint)
    samples: dict[str, tuple[Sample, ...]] = {}
    reused = True
    for benchmark in plan.benchmarks:
        path = folder / arm / f"{benchmark.name}.jsonl"
        journal = journal_of(path, prints[benchmark.name], Sample)
        if not journal.complete or any(row.error is not None for row in journal.rows):
            reused = False
            _drop_missing(journal)
            _fill(journal, arm, model, benchmark, plan.data, folder, plan.settings.limit)
        samples[benchmark.name] = tuple(journal.rows)
    return Evaluation(samples, reused)


def _drop_missing(journal: Journal[Sample]) -> None:
    """Keep the rows before the first missing one; answers behind it are still in the store."""
    first = next((i for i, row in enumerate(journal.rows) if row.error is not None), None)
    if first is not None:
        journal.forget(first)


def _fill(
    journal: Journal[Sample],
    arm: str,
    model: Any,
    benchmark: Benchmark,
    data: str | Path,
    folder: Path,
    limit: int | None,
) -> None:
    with progress.bar(f"{arm} {benchmark.name}", None, "answers") as bar:
        bar.advance(0, "loading the benchmark")
        task = Task(benchmark.task, data)
        total = len(task) if limit is None else min(limit, len(task))
        bar.expect(total)
        done = len(journal.rows)
        bar.advance(done, "taken from an earlier call" if done else "asking the model")
        waiting: list[Sample] = []
        calls, began = model.calls, time.monotonic()
        for row, answer in _answered(model, task, benchmark, done, total):
            waiting.append(_sample(task, benchmark, row, answer))
            save_thumbnail(folder, row.image, row.images)
            bar.advance(1, "asking the model")
            if len(waiting) >= _BATCH:
                journal.append(*waiting)
                waiting.clear()
        journal.append(*waiting)
        journal.finish()
        asked, seconds = model.calls - calls, time.monotonic() - began
        if asked:
            note_throughput(folder, Throughput(arm, benchmark.name, asked, round(seconds, 3)))


def _answered(
    model: Any, task: Task, benchmark: Benchmark, start: int, stop: int
) -> Iterator[tuple[Row, Answer]]:
    limit = benchmark.max_new_tokens or task.max_new_tokens

    def requests(row: Row) -> Iterator[Request]:
        yield Request(row.text, row.images, max_new_tokens=limit, choices=benchmark.asked(row))

    for row, (answer,) in ask_each(model, task.rows(start, stop), requests):
        yield row, answer


def _sample(task: Task, benchmark: Benchmark, row: Row, answer: Answer) -> Sample:
    error, judge, verdict = answer.error, benchmark.judge, None
    scores: Mapping[str, float | None] = {}
    if answer.text is None:
        error = error or "the model gave no answer"
    else:
        with blaming(f"Scoring row {row.id} of {benchmark.name}"):
            scored = benchmark.score(task, row, answer.text)
        scores, judge, verdict = scored.scores, scored.judge, scored.verdict
        if any(value is None for value in scores.values()):
            error = f"no verdict from {judge}"
        scores = {**scores, **benchmark.logit(row, answer)}
    return Sample(
        id=row.id,
        content=row.content,
        cluster=row.image,
        prompt=row.text,
        target=row.target,
        answer=answer.text,
        tokens=answer.tokens,
        finish=answer.finish,
        error=error,
        scores=scores,
        judge=judge,
        verdict=verdict,
        groups=benchmark.groups(row.doc),
        units=benchmark.units(row.doc),
    )
