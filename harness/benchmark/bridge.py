"""What lmms-eval's own scoring says of a row, for tasks that have no benchmark of ours.

Before a model is asked, :func:`examined` lets the task score made-up answers to some of its rows
and finds out how each metric is read (:mod:`harness.benchmark.readings`), or why it cannot be.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.benchmark.readings import (
    BELOW,
    CELLS,
    GROUPS,
    RATIO,
    Reading,
    Readings,
    at,
    numeric,
    read_metric,
)
from harness.benchmark.rubric import JudgePrompt, UnparsableReply
from harness.benchmark.task import Row, Task
from harness.benchmark.wire import Asked, AskedAgain, Unanswerable, scored
from harness.errors import FOREIGN, HarnessError, reason_of
from harness.records import Scored

BUILTIN = "builtin"
NO_JUDGE = "this task's scoring asks a language model; name one with --judge"
FORMS = (
    *("{right}", "The answer is {right}.", "A", "B", "C", "D", "Yes", "No", "1"),
    *("There is no such thing.", ""),
)
"""Answers that are made up for a row; the right one comes first."""
REPLIES = (
    *("1", "0", "Yes", "No", "A", "B", "C", "0.5", "Correct", "Incorrect", "5", "10", "8 6"),
    *('{"score": 1}', '{"score": 0}', '{"correct": "yes"}', "Rating: [[5]]", "Score: 3"),
)
"""What a language model might say, to see how a task reads it."""
_ROWS = 32
_HOPELESS = 8  # rows after which nothing is expected of the others
_MARKS = re.compile(r"\b[01](?:\.0)?\s*(?:to|-|–|and|~)\s*(5|10|100)\b")
_LISTED = re.compile(r"\b0(?:\.0)?(?:\s*,\s*\d+(?:\.\d+)?)+\s*,?\s*(?:or|and)\s*(\d+)\b")
"""A scale as its marks, such as "either 0, 0.5 or 1"."""
_SIGNS = re.compile(r"\d|\b[A-HZ]\b|\b(?i:yes|no|true|false|correct|incorrect|right|wrong)\b")
_known: weakref.WeakKeyDictionary[Task, Readings] = weakref.WeakKeyDictionary()


def examined(task: Task, means: frozenset[str], beside: frozenset[str]) -> Readings:
    """Return how a task's metrics are read, found out at the first call for a task."""
    if task not in _known:
        _known[task] = _examine(task, means, beside)
    return _known[task]


@dataclass
class _Seen:
    """What made-up answers gave, by metric: for each row the records of several answers."""

    records: dict[str, list[list[Any]]]
    prompts: list[str]
    problem: str | None = None


def _examine(task: Task, means: frozenset[str], beside: frozenset[str]) -> Readings:
    seen = _try(task)
    known: list[Reading] = []
    refused: dict[str, str] = {}
    for metric in task.metrics:
        if metric in beside:
            continue
        names = [name for name in seen.records if name == metric or name.startswith(f"{metric},")]
        if not names:
            refused[metric] = seen.problem or "its scoring gives no row a value of that name"
        for name in names:
            found = _read(task, metric, name, seen, metric in means)
            if isinstance(found, str):
                refused[name] = found
            else:
                known.append(found)
    return Readings(tuple(known), refused, judged=bool(seen.prompts))


def _read(task: Task, metric: str, name: str, seen: _Seen, mean: bool) -> Reading | str:
    rows = seen.records[name]
    if mean:
        values = [numeric(record) for answers in rows for record in answers]
        numbers = [value for value in values if value is not None]
        if not numbers:
            return "its file says that it is a mean, and no row has a number"
        if min(numbers) >= 0 and max(numbers) <= 1:
            return Reading(name, name, "mean", ())
    whole = lambda records: scored(lambda: task.whole(metric, records))  # noqa: E731
    found = read_metric(name, rows, whole, judged=bool(seen.prompts))
    if isinstance(found, str) or not seen.prompts or found.top <= 1:
        return found
    tops = {
        float(top)
        for prompt in seen.prompts
        for top in (*_MARKS.findall(prompt), *_LISTED.findall(prompt))
    }
    if len(tops) != 1:
        return "its judge gives scores above 1, and its prompt does not name the highest"
    top = min(tops)
    scale = r"; 0 to [\d.e+]+| \(0 to [\d.e+]+\)" if top == 1 else r"(?<=0 to )[\d.e+]+"
    return replace(
        found, top=top, column=re.sub(scale, "" if top == 1 else f"{top:g}", found.column)
    )


def _try(task: Task) -> _Seen:
    """Let the task score made-up answers to rows at its beginning and all over it."""
    total = len(task)
    step = max(1, total // (_ROWS // 2))
    places = sorted({*range(min(total, _ROWS // 2)), *range(0, total, step)})
    seen = _Seen({}, [])
    for place in places:
        row = next(task.rows(place, place + 1))
        if row.problem is not None:
            seen.problem = seen.problem or f"row {row.id}: {row.problem}"
            continue
        found: dict[str, list[Any]] = {}
        for form in FORMS:
            try:
                for told in _told(task, row, form.format(right=row.target), seen):
                    for name, record in _by_name(told).items():
                        found.setdefault(name, []).append(record)
            except Unanswerable as error:
                seen.problem = str(error)
            except FOREIGN as error:
                seen.problem = (
                    seen.problem or f"row {row.id}: its scoring fails: {reason_of(error)}"
                )
        for name, records in found.items():
            seen.records.setdefault(name, []).append(records)
        if not seen.records and place + 1 >= _HOPELESS:
            break
    return seen


def _told(task: Task, row: Row, answer: str, seen: _Seen) -> Iterator[Mapping[str, Any]]:
    try:
        yield scored(lambda: task.results(row, answer))
        return
    except Asked as asked:
        seen.prompts.append(asked.prompt)
    yield from _replied(task, row, answer)


def _replied(task: Task, row: Row, answer: str) -> Iterator[Mapping[str, Any]]:
    """Yield what the scoring says of one answer for each reply that it can read."""
    for reply in REPLIES:
        try:
            yield scored(lambda: task.results(row, answer), reply)
        except (AskedAgain, *FOREIGN):
            continue


def _by_name(results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Name records by their metric; where a task has several filters, by metric and filter."""
    several = len(results) > 1
    return {
        f"{metric},{name}" if several else metric: record
        for name, told in results.items()
        for metric, record in told.items()
    }


def score(readings: Readings, task: Task, row: Row, answer: str) -> Scored:
    """Score one answer as the task does; what a language model would have to say is missing."""
    try:
        told = scored(lambda: task.results(row, answer))
    except Asked:
        return Scored(dict.fromkeys(_applying(readings, task, row)), BUILTIN, NO_JUDGE)
    except Unanswerable as error:
        raise HarnessError(f"{error}, which cannot be done here") from error
    scores = _scores(readings, task, told)
    names = ", ".join(_by_name(told)) or "nothing"
    return Scored(scores, verdict=None if scores else f"no number for a row; it gives {names}")


def _scores(
    readings: Readings, task: Task, told: Mapping[str, Mapping[str, Any]]
) -> dict[str, float | None]:
    named = _by_name(told)
    scores: dict[str, float | None] = {}
    for reading in readings.known:
        if reading.metric not in named:
            continue
        record = named[reading.metric]
        scores[reading.column] = _value(reading, record, task)
        if reading.kind == RATIO:
            scores[reading.column + BELOW] = numeric(at(record, reading.places[0]))
    return scores


def _value(reading: Reading, record: Any, task: Task) -> float | None:
    """Return a row's value; one beyond the scale counts as missing."""
    if reading.value is None:
        alone = scored(lambda: task.whole(reading.metric.split(",")[0], [record]))
        value = numeric(alone)
    else:
        value = numeric(at(record, reading.value))
    if value is None or reading.kind == RATIO:
        return value
    value *= reading.scale
    return value if -1e-9 <= value <= reading.top + 1e-9 else None


def _applying(readings: Readings, task: Task, row: Row) -> Sequence[str]:
    """Return the columns that a row has, whatever a language model will say of it."""
    for told in _records(task, row):
        named = _by_name(told)
        return [reading.column for reading in readings.known if reading.metric in named]
    return [reading.column for reading in readings.known]


def _records(task: Task, row: Row) -> Iterator[Mapping[str, Any]]:
    for answer in (row.target, "A", ""):
        try:
            yield scored(lambda: task.results(row, answer))  # noqa: B023  (called at once)
        except Asked:
            yield from _replied(task, row, answer)
        except (Unanswerable, *FOREIGN):
            continue


def units(readings: Readings, task: Task, row: Row) -> dict[str, str]:
    """Return the cells and groups of a row, by column; they do not depend on the answer."""
    wanted = [reading for reading in readings.known if reading.kind in (CELLS, GROUPS)]
    found: dict[str, str] = {}
    for told in _records(task, row) if wanted else ():
        named = _by_name(told)
        for reading in wanted:
            if reading.metric in named:
                found[reading.column] = str(reading.unit_of(named[reading.metric]))
        break
    return found


def ask(task: Task, row: Row, answer: str) -> JudgePrompt | None:
    """Return what the task's scoring asks about an answer; ``None`` where its rules decide."""
    try:
        scored(lambda: task.results(row, answer))
    except Asked as asked:
        return JudgePrompt(asked.prompt, asked.max_tokens)
    except Unanswerable as error:
        raise UnparsableReply(str(error)) from error
    return None


def read(readings: Readings, task: Task, row: Row, answer: str, reply: str) -> Scored:
    """Return what the task's scoring makes of a judge's reply.

    Most tasks turn a reply that they cannot read into a wrong answer. A reply counts as read if
    it holds a number, a letter or a word that decides, or if it scores otherwise than nonsense.
    """
    try:
        scores = _scores(readings, task, scored(lambda: task.results(row, answer), reply or None))
        if reply and not _SIGNS.search(reply):
            nothing = _scores(readings, task, scored(lambda: task.results(row, answer), "§"))
            if nothing == scores:
                raise UnparsableReply("the task reads nothing in the reply")
    except Asked as asked:
        raise UnparsableReply("the judge gave no reply") from asked
    except AskedAgain as again:
        raise UnparsableReply("the task cannot read the reply and asks again") from again
    except Unanswerable as error:
        raise UnparsableReply(str(error)) from error
    if None in scores.values():
        raise UnparsableReply("the task makes no number within its scale of the reply")
    return Scored(scores, verdict=reply or None)
