"""Ask a model every row of a benchmark and score the answers, one record per row.

The loop is ours, the documents and the per-answer scoring are lmms-eval's. A row whose answer or
verdict is missing is journalled with the reason, never as zero, and is requested again.
The first rows go ahead of the others: when none of them can be measured, nothing more is asked.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from unicodedata import is_normalized, normalize

from harness import progress
from harness.benchmark import Benchmark, Row, Task
from harness.context import Context, EvalPlan
from harness.errors import FOREIGN, HarnessError, reason_of
from harness.model import AnyModel, ask_each
from harness.records import (
    FIRST,
    MISSING,
    REFUSED,
    Answer,
    Request,
    Sample,
    Scored,
    as_read,
    failed,
    none_measured,
    settled,
)
from harness.storage import Journal, Throughput, journal_of, note_throughput, save_thumbnail

_BATCH = 32


@dataclass(frozen=True)
class Evaluation:
    """All samples of one arm (``before`` or ``after``), by benchmark."""

    samples: Mapping[str, tuple[Sample, ...]]
    reused: bool


def evaluate(arm: str, model: AnyModel, context: Context[EvalPlan]) -> Evaluation:
    """Return every benchmark's samples, from the journals as far as they go.

    Raises:
        HarnessError: if none of a benchmark's first rows can be measured; it says why.
    """
    plan, folder = context.plan, context.folder
    prints = plan.prints(model.fingerprint)
    samples: dict[str, tuple[Sample, ...]] = {}
    reused = True
    for benchmark in plan.benchmarks:
        path = folder / arm / f"{benchmark.name}.jsonl"
        journal = journal_of(path, prints[benchmark.name], Sample)
        if not journal.complete or not all(map(settled, journal.rows)):
            reused = False
            _drop_missing(journal)
            asked = plan.settings
            asking = _Asking(arm, model, benchmark, plan.data, folder, asked.max_new_tokens)
            asking.fill(journal, asked.limit)
        samples[benchmark.name] = tuple(journal.rows)
    return Evaluation(samples, reused)


def _drop_missing(journal: Journal[Sample]) -> None:
    """Keep the rows before the first missing one; answers behind it are still in the store."""
    first = next((i for i, row in enumerate(journal.rows) if not settled(row)), None)
    if first is not None:
        journal.forget(first)


@dataclass(frozen=True)
class _Asking:
    """One benchmark put to one model."""

    arm: str
    model: AnyModel
    benchmark: Benchmark
    data: str | Path
    folder: Path
    max_new_tokens: int | None

    def fill(self, journal: Journal[Sample], limit: int | None) -> None:
        """Ask what the journal lacks and write it there."""
        with progress.bar(f"{self.arm} {self.benchmark.name}", None, "answers") as bar:
            bar.advance(0, "loading the benchmark")
            task = Task(self.benchmark.task, self.data)
            for note in self.benchmark.prepare(task):
                progress.say(f"{self.benchmark.name}: {note}")
            total = len(task) if limit is None else min(limit, len(task))
            bar.expect(total)
            done = len(journal.rows)
            bar.advance(done, "taken from an earlier call" if done else "asking the model")
            calls, began = self.model.calls, time.monotonic()
            if not done:
                done = self._first(journal, task, total, bar)
            waiting: list[Sample] = []
            for sample in self._samples(task, done, total):
                waiting.append(sample)
                bar.advance(1, "asking the model")
                if len(waiting) >= _BATCH:
                    journal.append(*waiting)
                    waiting.clear()
            journal.append(*waiting)
            journal.finish()
            asked, seconds = self.model.calls - calls, time.monotonic() - began
            if asked:
                throughput = Throughput(self.arm, self.benchmark.name, asked, round(seconds, 3))
                note_throughput(self.folder, throughput)

    def _first(self, journal: Journal[Sample], task: Task, total: int, bar: progress.Bar) -> int:
        """Ask few rows at a time until one can be measured, and return how many that took.

        Rows that cannot be read say nothing of the model: only asked ones are counted.
        """
        seen: list[Sample] = []
        limit = self._limit(task)
        while len(seen) < total:
            seen += self._samples(task, len(seen), min(len(seen) + FIRST, total))
            if not all(self._tells_nothing(sample, limit) for sample in seen):
                break
            asked = [sample for sample in seen if sample.prompt]
            if len(asked) >= FIRST or len(seen) == total:
                what = f"{self.benchmark.name} ({self.arm})"
                rows = asked[:FIRST] or seen
                raise HarnessError(none_measured(what, rows, limit, self.model.source))
        journal.append(*seen)
        bar.advance(len(seen), "asking the model")
        return len(seen)

    def _tells_nothing(self, sample: Sample, limit: int) -> bool:
        """Say whether a row holds no measurement; one that waits for a judge counts as one."""
        waits = self.benchmark.rubric is not None and None in sample.scores.values()
        return failed(sample, limit) and not (waits and sample.answer)

    def _limit(self, task: Task) -> int:
        return self.max_new_tokens or self.benchmark.max_new_tokens or task.max_new_tokens

    def _samples(self, task: Task, start: int, stop: int) -> Iterator[Sample]:
        limit = self._limit(task)

        def requests(row: Row) -> Iterator[Request]:
            if row.problem is None:
                choices = _choices(self.benchmark, row)
                yield Request(row.text, row.images, max_new_tokens=limit, choices=choices)

        rows = (_worded(self.benchmark, row) for row in task.rows(start, stop))
        for row, answers in ask_each(self.model, rows, requests):
            answer = answers[0] if answers else Answer(None, finish=MISSING, error=row.problem)
            save_thumbnail(self.folder, row.image, row.images)
            yield sample_of(task, self.benchmark, row, answer)


def _worded(benchmark: Benchmark, row: Row) -> Row:
    """Put the protocol's question in the place of the task's; the row stays the same one."""
    if benchmark.wording is None or row.problem is not None:
        return row
    try:
        return replace(row, text=benchmark.question(row))
    except FOREIGN as error:
        return replace(row, problem=f"the row cannot be asked: {reason_of(error)}")


def _choices(benchmark: Benchmark, row: Row) -> tuple[str, ...]:
    """Return what to ask beside the question; a fault here comes up again when it is scored."""
    try:
        return benchmark.asked(row)
    except FOREIGN:
        return ()


def _composed(answer: str, target: str) -> str:
    """Compose an answer's accented letters as the reference does; scorers compare sign by sign.

    Precomposed (NFC) unless the reference is not; what the model said is kept as it was.
    """
    if answer.isascii():
        return answer
    return normalize("NFC" if is_normalized("NFC", target) else "NFD", answer)


def sample_of(task: Task, benchmark: Benchmark, row: Row, answer: Answer) -> Sample:
    """Score one answer; whatever a scorer cannot digest is refused with the reason.

    That is one odd answer where others pass. Where none of the first rows passes, the caller
    stops, and the reason names the place in the benchmark's code.
    """
    read = as_read(answer)
    error, scored = read.error, Scored({}, benchmark.judge)
    groups: Mapping[str, str] = {}
    units: Mapping[str, str] = {}
    scores: Mapping[str, float | None] = {}
    try:
        if row.problem is None:
            groups = benchmark.groups(row.doc)
            units = {**benchmark.units(row.doc), **benchmark.row_units(task, row)}
        if read.text is not None:
            scored = benchmark.score(task, row, _composed(read.text, row.target))
            scores = {**scored.scores, **benchmark.logit(row, read)}
    except FOREIGN as refusal:
        error = error or f"{REFUSED}: {reason_of(refusal)}"
    if read.text is None:
        error = error or "the model gave no answer"
    elif any(value is None for value in scored.scores.values()):
        error = ": ".join(filter(None, (f"no verdict from {scored.judge}", scored.verdict)))
    return Sample(
        id=row.id,
        content=row.content,
        cluster=row.image,
        prompt=row.text,
        target=row.target,
        answer=read.text,
        tokens=read.tokens,
        finish=read.finish,
        error=error,
        scores=scores,
        judge=scored.judge,
        verdict=scored.verdict,
        groups=groups,
        units=units,
        thought=read.thought,
    )
