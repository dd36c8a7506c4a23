"""Answers that exist already become an arm: matched to a benchmark's rows and scored.

No model is asked. Answers find their rows by an id and, where the file says it, by the question;
whatever does not fit is said with counts and examples, and nothing is taken half.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import progress
from harness.benchmark import Benchmark, Row, Task
from harness.context import EvalPlan
from harness.errors import UsageError
from harness.records import MISSING, Answer, Sample, distinct, fingerprint
from harness.runs.answer_files import GivenAnswer, answers_of, files_in
from harness.runs.imports import words_in
from harness.runs.matching import match
from harness.stages import sample_of

_PICTURES = 500


@dataclass(frozen=True)
class Scoring:
    """What is to be scored: answer files or folders of them, and what reports call the model.

    The format is detected where it is ``None``; columns are named where their names are unknown.
    """

    files: tuple[Path, ...]
    name: str
    kind: str | None = None
    answer: str | None = None
    row_id: str | None = None


@dataclass(frozen=True)
class GivenArm:
    """Answers that exist already, scored: one arm of a comparison.

    ``digest`` of the answers stands for a model's fingerprint; ``rows`` are the first ones, for the
    pictures of their images.
    """

    samples: Mapping[str, tuple[Sample, ...]]
    digest: str
    notes: tuple[str, ...]
    rows: tuple[Row, ...]


def score_given(wanted: Scoring, plan: EvalPlan) -> GivenArm:
    """Match the answers of files to the rows of a plan's benchmarks, and score them.

    Raises:
        UsageError: if answers match no row, several match one, or columns are unknown.
        HarnessError: if a file is damaged, or a benchmark cannot be scored.
    """
    chosen = _files_by_benchmark(wanted.files, plan.benchmarks)
    read = {
        bench.name: answers_of(
            chosen[bench.name], wanted.files, wanted.kind, wanted.answer, wanted.row_id
        )
        for bench in plan.benchmarks
    }
    given = {name: answers for name, (answers, _) in read.items()}
    digest = fingerprint(
        "answers",
        [[(a.ids, a.question, a.text) for a in given[bench.name]] for bench in plan.benchmarks],
    )
    samples: dict[str, tuple[Sample, ...]] = {}
    notes: list[str] = []
    shown: list[Row] = []
    with progress.bar("scoring", len(plan.benchmarks), "benchmarks") as bar:
        for bench in plan.benchmarks:
            samples[bench.name], told = _scored(bench, plan, given[bench.name], shown)
            notes += [f"{bench.name}: {note}" for note in (*read[bench.name][1], *told)]
            bar.advance(1)
    return GivenArm(samples, digest, distinct(notes), tuple(shown))


def _files_by_benchmark(
    named: Sequence[Path], benchmarks: Sequence[Benchmark]
) -> dict[str, list[Path]]:
    """Return the files of each benchmark: all of them for one, else by their names or order."""
    if len(benchmarks) == 1:
        return {benchmarks[0].name: [file for path in named for file in files_in(path)]}
    if len(named) == len(benchmarks) and all(path.is_file() for path in named):
        return {bench.name: [path] for bench, path in zip(benchmarks, named, strict=True)}
    files = [file for path in named for file in files_in(path)]
    found: dict[str, list[Path]] = {}
    for bench in benchmarks:
        words = {_letters(bench.name), _letters(bench.title), _letters(Path(bench.task).stem)}
        found[bench.name] = [
            file for file in files if any(word in _letters(str(file)) for word in words)
        ]
    lacking = [name for name, each in found.items() if not each]
    if lacking:
        raise UsageError(
            f"No file is named after {', '.join(lacking)} among: "
            f"{', '.join(file.name for file in files[:10])}. Name one file for each benchmark, in "
            "the order of --bench, or score them one by one."
        )
    return found


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _scored(
    bench: Benchmark, plan: EvalPlan, given: Sequence[GivenAnswer], shown: list[Row]
) -> tuple[tuple[Sample, ...], list[str]]:
    limit = plan.settings.limit
    task = Task(bench.task, plan.data)
    notes = list(bench.prepare(task))
    if empty := sum(one.text == "" for one in given):
        notes.append(f"{empty} answers are empty texts and are scored; a failed request may be one")
    rows = [row.bare() for row in task.rows(0, limit)]
    found = match(bench.name, rows, given, some_rows=limit is not None)
    samples: list[Sample] = []
    for row in task.rows(0, limit):
        answer = found.answers.get(row.id)
        said = (
            Answer(answer.text, words_in(answer.text))
            if answer is not None and answer.text is not None
            else Answer(None, finish=MISSING, error=_no_answer(answer))
        )
        samples.append(sample_of(task, bench, row, said))
        if len(shown) < _PICTURES:
            shown.append(row)
    return tuple(samples), [*notes, *found.notes, "lengths are in words"]


def _no_answer(given: GivenAnswer | None) -> str:
    return f"{given.where}: has no answer" if given else "the file has no answer to this row"
