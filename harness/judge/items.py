"""From stored answers to what is judged, and from replies back to samples with scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.benchmark import Benchmark, JudgePrompt, Row, Rubric, Task, UnparsableReply
from harness.errors import FOREIGN, HarnessError, reason_of
from harness.judge.protocol import Reply
from harness.judge.uncertainty import combined
from harness.records import Sample, Scored

ARMS = ("before", "after")


@dataclass(frozen=True, eq=False)
class JudgeItem:
    """One answer of one arm on its way to the judge, who never learns the arm.

    The row has no images, which no judge sees; ``ask`` is ``None`` where rules decide, or where
    nothing can be asked and ``error`` says why.
    """

    benchmark: str
    rubric: Rubric
    task: Task
    arm: str
    sample: Sample
    row: Row
    ask: JudgePrompt | None = None
    error: str | None = None

    @property
    def ruled(self) -> bool:
        """Whether rules decide it and no judge is needed."""
        return self.ask is None and self.error is None

    def read(self, reply: str) -> Scored:
        """Return the verdict.

        Raises:
            UnparsableReply: if the reply is not in the agreed form.
        """
        with _one_row():
            return self.rubric.read(self.task, self.row, self.sample.answer or "", reply)


@contextmanager
def _one_row() -> Iterator[None]:
    """Let whatever the code of a benchmark raises cost the row that it is about, and no other."""
    try:
        yield
    except (HarnessError, UnparsableReply):
        raise
    except FOREIGN as error:
        raise UnparsableReply(f"the benchmark's code failed: {reason_of(error)}") from error


def items_of(
    benchmark: Benchmark, task: Task, arms: Mapping[str, Sequence[Sample]], data: str | Path
) -> Iterator[JudgeItem]:
    """Yield every answer that is to be judged, with its question."""
    assert benchmark.rubric is not None
    wanted: dict[int, list[tuple[str, Sample]]] = {}
    for arm, samples in arms.items():
        for sample in samples:
            if sample.answer is not None:
                wanted.setdefault(int(sample.id), []).append((arm, sample))
    for index, answers in sorted(wanted.items()):
        row = next(task.rows(index, index + 1), None)
        for arm, sample in answers:
            if row is None or row.content != sample.content:
                raise HarnessError(
                    f"Row {index} of {benchmark.name} in {data} is not the one that was answered. "
                    "The data has changed since the run: put the old data back, or run again."
                )
            bare = row.bare()
            item = JudgeItem(benchmark.name, benchmark.rubric, task, arm, sample, bare)
            try:
                with _one_row():
                    ask = item.rubric.ask(task, bare, str(sample.answer))
                yield dataclasses.replace(item, ask=ask)
            except UnparsableReply as error:
                yield dataclasses.replace(item, error=str(error))


def marked(
    item: JudgeItem, replies: Sequence[Reply], judge: str
) -> tuple[Sample, tuple[Scored, ...]]:
    """Return the sample with the judge's scores, and the verdicts they were made of.

    Any reply that is missing or cannot be read makes the scores missing, never a number.
    """
    verdicts: tuple[Scored, ...] = ()
    error = item.error or next((reply.error for reply in replies if reply.text is None), None)
    if error is None:
        try:
            texts = [reply.text or "" for reply in replies] or [""]
            verdicts = tuple(item.read(text) for text in texts)
        except UnparsableReply as found:
            error, verdicts = str(found), ()
    metrics = item.rubric.metrics(item.row)
    scores: dict[str, float | None] = dict.fromkeys(metrics)
    if verdicts:
        scores = combined([verdict.scores for verdict in verdicts], vote=item.rubric.vote)
        error = None
    sample = dataclasses.replace(
        item.sample,
        scores={**item.sample.scores, **scores},
        error=f"no verdict: {error}" if error else None,
        judge=judge,
        verdict=_words(verdicts),
    )
    return sample, verdicts


def _words(verdicts: Sequence[Scored]) -> str | None:
    texts = [verdict.verdict or "" for verdict in verdicts]
    if len(texts) < 2:
        return texts[0] if texts else None
    return "\n\n".join(f"({turn}) {text}" for turn, text in enumerate(texts, start=1))
