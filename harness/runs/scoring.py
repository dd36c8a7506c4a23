"""Answers that exist already become an arm: matched to a benchmark's rows and scored.

No model is asked. Answers find their rows by an id and, where the file says it, by the question;
whatever does not fit is said with counts and examples, and nothing is taken half.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness import progress
from harness.benchmark import Benchmark, Row, Task
from harness.context import EvalPlan
from harness.errors import HarnessError, UsageError
from harness.records import MISSING, Answer, Sample, distinct, fingerprint
from harness.runs.answer_files import GivenAnswer, answers_of, files_in
from harness.runs.imports import IN_WORDS, words_in
from harness.runs.matched import Matched
from harness.runs.matching import match
from harness.stages import sample_of
from harness.storage import reduced

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
    samples: dict[str, tuple[Sample, ...]] = {}
    notes: list[str] = []
    shown: list[Row] = []
    deciding: list[list[Mapping[str, str]]] = []
    with progress.bar("scoring", len(plan.benchmarks), "benchmarks") as bar:
        for bench in plan.benchmarks:
            samples[bench.name], found = _scored(bench, plan, given[bench.name], shown)
            notes += [f"{bench.name}: {note}" for note in (*read[bench.name][1], *found.notes)]
            if found.by_facts:
                deciding.append([one.facts for one in given[bench.name]])
            bar.advance(1)
    digest = fingerprint(
        "answers",
        [[(a.ids, a.question, a.text) for a in given[bench.name]] for bench in plan.benchmarks],
        *deciding,
    )
    return GivenArm(samples, digest, distinct(notes), tuple(shown))


def _files_by_benchmark(
    named: Sequence[Path], benchmarks: Sequence[Benchmark]
) -> dict[str, list[Path]]:
    """Return the files of each benchmark: all of them for one, else by their names or order."""
    if len(benchmarks) == 1:
        return {benchmarks[0].name: [file for path in named for file in files_in(path)]}
    if len(named) == len(benchmarks) and all(path.is_file() for path in named):
        return {bench.name: [path] for bench, path in zip(benchmarks, named, strict=True)}
    files = [(path, file) for path in named for file in files_in(path)]
    found: dict[str, list[Path]] = {bench.name: [] for bench in benchmarks}
    for path, file in files:
        inside = file.relative_to(path if path.is_dir() else path.parent).parts
        for part in (*reversed(inside), *([path.name] if len(named) > 1 else [])):
            if fitting := _named_in(part, benchmarks):
                found[fitting].append(file)
                break
    lacking = [name for name, each in found.items() if not each]
    if lacking:
        raise UsageError(
            f"No file is named after {', '.join(lacking)} among: "
            f"{', '.join(file.name for _, file in files[:10])}. Name one file for each "
            "benchmark, in the order of --bench, or score them one by one."
        )
    return found


def _named_in(part: str, benchmarks: Sequence[Benchmark]) -> str | None:
    """Return the benchmark with the longest name in a file's or folder's name, if there is one."""
    said = _letters(part)
    fitting = [
        (len(word), word == _letters(bench.name), bench.name)
        for bench in benchmarks
        for word in map(_letters, (bench.name, bench.title, Path(bench.task).stem))
        if word and word in said
    ]
    return max(fitting)[2] if fitting else None


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _scored(
    bench: Benchmark, plan: EvalPlan, given: Sequence[GivenAnswer], shown: list[Row]
) -> tuple[tuple[Sample, ...], Matched]:
    limit = plan.settings.limit
    task = Task(bench.task, plan.data)
    notes = list(bench.prepare(task))
    if empty := sum(one.text == "" for one in given):
        notes.append(f"{empty} answers are empty texts and are scored; a failed request may be one")

    def read(stop: int | None = None) -> list[Row]:
        return [row.bare() for row in task.rows(0, stop)]

    rows = read(limit)
    if rows and all(row.problem for row in rows):
        raise HarnessError(
            f"None of the {len(rows)} rows of {bench.name} can be read, so nothing was scored; row "
            f"{rows[0].id}: {rows[0].problem}. See what is wrong with: harness data verify "
            f"{task.folder or plan.data}"
        )
    found = match(bench.name, rows, given, whole=read if limit is not None else None)
    samples: list[Sample] = []
    for row in task.rows(0, limit):
        answer = found.answers.get(row.id)
        said = (
            Answer(answer.text, words_in(answer.text))
            if answer is not None and answer.text is not None and row.problem is None
            else Answer(None, finish=MISSING, error=row.problem or _no_answer(answer))
        )
        samples.append(sample_of(task, bench, row, said))
        if len(shown) < _PICTURES:
            shown.append(replace(row.bare(), images=reduced(row.images)))
    notes += (*found.notes, IN_WORDS)
    return tuple(samples), replace(found, notes=tuple(notes))


def _no_answer(given: GivenAnswer | None) -> str:
    return f"{given.where}: has no answer" if given else "the file has no answer to this row"
