"""Answers that exist already become an arm: matched to a benchmark's rows and scored.

No model is asked. Answers find their rows by an id and, where the file says it, by the question;
whatever does not fit is said with counts and examples, and nothing is taken half.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import progress
from harness.benchmark import Benchmark, Row, Task
from harness.context import EvalPlan
from harness.errors import UsageError
from harness.records import MISSING, Answer, Sample, distinct, fingerprint
from harness.runs.answer_files import GivenAnswer, answers_of, files_in
from harness.runs.imports import words_in
from harness.stages import sample_of

_SHOWN = 3
_POSITION = "position"
_PLACE = "line"
_LONGEST = 400
_PICTURES = 500


@dataclass(frozen=True)
class Scoring:
    """What is to be scored.

    Attributes:
        files: answer files or folders of them.
        name: what reports call the model.
        kind: format of the files; detected where it is ``None``.
        answer: column of the answers, where its name is unknown.
        row_id: column of the rows' ids.
    """

    files: tuple[Path, ...]
    name: str
    kind: str | None = None
    answer: str | None = None
    row_id: str | None = None


@dataclass(frozen=True)
class GivenArm:
    """Answers that exist already, scored: one arm of a comparison.

    Attributes:
        samples: by benchmark.
        digest: fingerprint of the answers, in the place of a model's.
        notes: how answers found their rows, and which did not.
        rows: the first rows, for pictures of their images.
    """

    samples: Mapping[str, tuple[Sample, ...]]
    digest: str
    notes: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class _Matched:
    answers: Mapping[str, GivenAnswer]
    notes: tuple[str, ...]


def score_given(wanted: Scoring, plan: EvalPlan) -> GivenArm:
    """Match the answers of files to the rows of a plan's benchmarks, and score them.

    Raises:
        UsageError: if answers match no row, several match one, or columns are unknown.
        HarnessError: if a file is damaged, or a benchmark cannot be scored.
    """
    chosen = _files_by_benchmark(wanted.files, plan.benchmarks)
    given = {
        bench.name: answers_of(chosen[bench.name], wanted.kind, wanted.answer, wanted.row_id)
        for bench in plan.benchmarks
    }
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
            notes += [f"{bench.name}: {note}" for note in told]
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
    bench: Benchmark,
    plan: EvalPlan,
    given: Sequence[GivenAnswer],
    shown: list[Row],
) -> tuple[tuple[Sample, ...], list[str]]:
    limit = plan.settings.limit
    task = Task(bench.task, plan.data)
    notes = list(bench.prepare(task))
    rows = list(_bare(task, limit))
    found = match(bench.name, rows, given)
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


def _bare(task: Task, limit: int | None) -> list[Row]:
    return [replace(row, images=()) for row in task.rows(0, limit)]


def match(name: str, rows: Sequence[Row], given: Sequence[GivenAnswer]) -> _Matched:
    """Find the row of every answer.

    An id of the file may be a row's position or any column with unique values; that pair of
    columns is taken that finds most answers a row with the same question. Without ids, answers
    are taken in their order where the file has all questions, and by the question otherwise.

    Raises:
        UsageError: if answers have no row, or rows have several answers, with examples.
    """
    by_column = _columns_of(rows)
    best: tuple[int, dict[int, Row], str] = (-1, {}, "")
    for field in [*dict.fromkeys(key for one in given for key in one.ids), _PLACE]:
        for column, known in by_column.items():
            if field == _PLACE and (column != _POSITION or not _in_order(rows, given)):
                continue
            pairs = {
                one.place: known[key]
                for one in _numbered(given)
                if (key := str(one.place) if field == _PLACE else one.ids.get(field, "")) in known
                and _same_question(one, known[key])
            }
            if len(pairs) > best[0]:
                best = (len(pairs), pairs, f"{field} = {column}")
    pairs = {**_by_question(rows, given, best[1]), **best[1]}
    return _checked(name, rows, _numbered(given), pairs, best[2])


def _numbered(given: Sequence[GivenAnswer]) -> list[GivenAnswer]:
    return [replace(one, place=place) for place, one in enumerate(given)]


def _columns_of(rows: Sequence[Row]) -> dict[str, dict[str, Row]]:
    """Return the row of each value by column, for columns whose values are unique."""
    found = {_POSITION: {row.id: row for row in rows}}
    names = distinct(key for row in rows for key in row.doc)
    for name in names:
        values: dict[str, Row] = {}
        for row in rows:
            value: Any = row.doc.get(name)
            if isinstance(value, str | int | float) and len(str(value)) <= _LONGEST:
                text = str(int(value)) if isinstance(value, float) and value.is_integer() else value
                values.setdefault(str(text).strip(), row)
        if len(values) == len(rows):
            found[name] = values
    return found


def _plain(text: str) -> str:
    text = re.sub(r"<image(?:[ _]\d+)?>", " ", text)
    return re.sub(r"\W+", " ", text.lower()).strip()


def _same_question(given: GivenAnswer, row: Row) -> bool:
    """Say whether an answer's question is the row's; prompts add words before and behind it."""
    if not given.question:
        return True
    said, asked = _plain(given.question), _plain(row.text)
    own = _plain(str(row.doc.get("question") or row.text))
    return bool(said) and (said in asked or asked in said or (bool(own) and own in said))


def _in_order(rows: Sequence[Row], given: Sequence[GivenAnswer]) -> bool:
    """Say whether a file without ids holds the questions in the order of the rows."""
    return len(given) == len(rows) and all(
        bool(one.question) and _same_question(one, row)
        for one, row in zip(given, rows, strict=True)
    )


def _by_question(
    rows: Sequence[Row], given: Sequence[GivenAnswer], found: Mapping[int, Row]
) -> dict[int, Row]:
    """Find rows by a question that only one of them asks, for answers that no id leads to."""
    asked: dict[str, list[Row]] = {}
    for row in rows:
        for text in {_plain(row.text), _plain(str(row.doc.get("question") or row.text))}:
            asked.setdefault(text, []).append(row)
    pairs = {}
    for one in _numbered(given):
        alike = asked.get(_plain(one.question), []) if one.question else []
        if one.place not in found and len(alike) == 1:
            pairs[one.place] = alike[0]
    return pairs


def _checked(
    name: str,
    rows: Sequence[Row],
    given: Sequence[GivenAnswer],
    pairs: Mapping[int, Row],
    how: str,
) -> _Matched:
    lost = [one for one in given if one.place not in pairs]
    if lost:
        shown = "; ".join(
            f"{one.where} ({', '.join(f'{k} {v:.40}' for k, v in one.ids.items()) or 'no id'}"
            f"{f', {one.question[:60]!r}' if one.question else ''})"
            for one in lost[:_SHOWN]
        )
        raise UsageError(
            f"{len(lost)} of {len(given)} answers match no row of {name} ({len(rows)} rows), by id "
            f"and question: {shown}. Nothing was taken. See that file and --data are of the same "
            "benchmark and split, and name the column of the ids with --id-column."
        )
    told: dict[str, list[GivenAnswer]] = {}
    for one in given:
        told.setdefault(pairs[one.place].id, []).append(one)
    several = {key: each for key, each in told.items() if len({one.text for one in each}) > 1}
    if several:
        shown = "; ".join(
            f"row {key}: {' and '.join(one.where for one in each[:2])}"
            for key, each in list(several.items())[:_SHOWN]
        )
        raise UsageError(
            f"{len(several)} rows of {name} have several different answers: {shown}. Nothing was "
            "taken. Name the files of one evaluation, with one answer to each row."
        )
    notes = [f"{len(told)} answers matched by {how}" if how else f"{len(told)} answers matched"]
    twice = sum(len(each) - 1 for each in told.values())
    if twice:
        notes.append(f"{twice} answers stand in the files more than once, each time the same")
    if len(told) < len(rows):
        first = [row.id for row in rows if row.id not in told][:_SHOWN]
        notes.append(
            f"{len(rows) - len(told)} of {len(rows)} rows have no answer in the files and count as "
            f"missing, such as {', '.join(first)}"
        )
    order = [int(pairs[one.place].id) for one in given]
    if order != sorted(order):
        notes.append("the files hold the answers in another order than the data")
    lacking = Counter(one.text is None for one in given)[True]
    if lacking:
        notes.append(f"{lacking} answers are missing according to the file, and count as missing")
    return _Matched({key: each[0] for key, each in told.items()}, tuple(notes))
