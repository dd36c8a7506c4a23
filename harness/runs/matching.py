"""The row that each answer of a file belongs to: by an id, by columns in common, by questions.

An answer whose file says the question is never given to a row that asks another one.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any

from harness.benchmark import Row
from harness.data import plain_cell
from harness.errors import UsageError
from harness.records import distinct
from harness.runs.answer_files import GivenAnswer

_SHOWN = 3
_POSITION = "position"
_CALLED = {"doc_id": _POSITION}  # by lmms-eval
_LONGEST = 400  # letters of an id
_ALIKE = 50  # rows that may share an id, and are told apart by their questions
_RUN = 12  # questions in a row by which a place in the data is known
_NUMBER = re.compile(r"(?:COCO_\w+_)?0*(\d+)(?:\.0+)?", re.IGNORECASE)
_PICTURE = re.compile(r"(?:.*[/\\])?([^/\\]+)\.(?:jpe?g|png)", re.IGNORECASE)

_Way = tuple[str, str, bool]
"""Column of the file and of the data, and whether it is by name; without the former, a phrase."""
_Index = dict[str, dict[str, list[int]]]
"""Rows by column and value."""


@dataclass(frozen=True)
class Matched:
    """Answers by the id of their row, and what a reader should know of how they were matched.

    ``by_facts``: columns that are no ids decided.
    """

    answers: Mapping[str, GivenAnswer]
    notes: tuple[str, ...]
    by_facts: bool = False


def match(
    name: str,
    rows: Sequence[Row],
    given: Sequence[GivenAnswer],
    *,
    whole: Callable[[], Sequence[Row]] | None = None,
    limit: int | None = None,
) -> Matched:
    """Find the row of every answer.

    An id of the file may be a value of any column of the data, or a row's position; columns that
    file and data have in common count together. That way is taken which finds most answers a row
    with the same question; two that find as many, and other rows, are refused, unless one is named
    alike in both. The rest is found by the questions: one that only one row asks, or a run of them
    in the order of the data.

    Args:
        name: of the benchmark.
        rows: of the benchmark.
        given: the answers; those to later rows are left out where these are the first rows.
        whole: where they are, reads every row: the first ones fit ids that count from elsewhere.
        limit: how many rows are wanted of all.
    """
    given = [replace(one, place=place) for place, one in enumerate(given)]
    asked = [(_plain(row.text), _plain(str(row.doc.get("question") or row.text))) for row in rows]
    said = [_plain(one.question) for one in given]
    heard = _heard(asked, given)
    best: tuple[dict[int, int], _Way] = ({}, ("", "", True))
    ways: list[tuple[dict[int, int], _Way]] = []
    for way, candidates in _ways(_index(rows), asked, given, heard):
        pairs: dict[int, int] = {}
        for place, alike in enumerate(candidates):
            if len(alike) <= _ALIKE:
                fit = [row for row in alike if not said[place] or _same(said[place], *asked[row])]
                if len(fit) == 1:
                    pairs[place] = fit[0]
        ways.append((pairs, way))
        counted = way[1] != _POSITION or way[2] or len(set(said)) > 1 or _begins(given, way[0])
        if counted and len(set(pairs.values())) > len(set(best[0].values())):
            best = pairs, way
    pairs, (field, column, named) = best
    how = f"{field} = {column}" if field else column
    doubt = _doubt(name, given, pairs, (field, column), ways)
    found = _by_questions([own for _, own in asked], heard, _stretches(given))
    if len(found) > len(pairs) and 2 * len(pairs) < len(given):  # few ids fit, and those by chance
        pairs, found, how, doubt = found, pairs, "their questions and the order of them", ""
    if whole is not None and pairs and len(set(said)) <= 1 and (doubt or not named):
        return match(name, whole(), given, limit=len(rows))
    if doubt and not named:
        raise UsageError(doubt)
    pairs = {**found, **pairs}
    lost = [one for one in given if one.place not in pairs]
    unread = sum(row.problem is not None for row in rows)
    few = len({(*one.ids.values(), one.question) for one in lost}) <= unread
    if lost and not (pairs and (few or whole is not None)):
        raise UsageError(_no_row(name, rows, given, lost))
    _refuse_questions(name, given, pairs, asked)
    pairs = {place: row for place, row in pairs.items() if limit is None or row < limit}
    by_facts = bool(column) and not field
    return replace(_checked(name, rows[:limit], given, pairs, how), by_facts=by_facts)


def _begins(given: Sequence[GivenAnswer], field: str) -> bool:
    """Say whether ids count from 0, as positions do: those from 1 would be off by one."""
    return any(_number(one.ids.get(field, "")) == "0" for one in given)


def _doubt(
    name: str,
    given: Sequence[GivenAnswer],
    pairs: Mapping[int, int],
    way: tuple[str, str],
    ways: Sequence[tuple[Mapping[int, int], _Way]],
) -> str:
    """Say that ids fit the data in two ways, which give the answers to different rows."""
    for other, (field, column, _) in ways:
        differing = [place for place, row in pairs.items() if other.get(place, row) != row]
        if field and differing and len(set(other.values())) >= len(set(pairs.values())):
            place = differing[0]
            return (
                f"The ids of the answers to {name} fit two columns of the data, in other rows: by "
                f"{way[0]} = {way[1]}, {given[place].where} is of row {pairs[place]}, and by "
                f"{field} = {column} of row {other[place]}. Nothing was taken. Say which, as in: "
                f"--id-column {way[0]}={way[1]} ('{_POSITION}' counts the rows from 0)."
            )
    return ""


def _refuse_questions(
    name: str,
    given: Sequence[GivenAnswer],
    pairs: Mapping[int, int],
    asked: Sequence[tuple[str, str]],
) -> None:
    """Refuse a list of questions: its column of texts is called like one of answers."""
    same = [
        given[place].where
        for place, row in pairs.items()
        if given[place].text and _plain(str(given[place].text)) in filter(None, asked[row])
    ]
    if 2 * len(same) > len(pairs):
        raise UsageError(
            f"{len(same)} of {len(given)} answers to {name} are the questions themselves, such as "
            f"{_examples(same)}. Nothing was taken. Name the file of answers, or the column of "
            "what the model said with --answer-column."
        )


def _plain(text: str) -> str:
    text = unicodedata.normalize("NFKC", re.sub(r"<image(?:[ _]\d+)?>", " ", text))
    return re.sub(r"\W+", " ", text.lower()).strip()


def _same(said: str, asked: str, own: str) -> bool:
    """Say whether a question is the row's; prompts add words before and behind it."""
    return said in asked or asked in said or (bool(own) and own in said)


def _index(rows: Sequence[Row]) -> _Index:
    index: _Index = defaultdict(lambda: defaultdict(list))
    for place, row in enumerate(rows):
        for name, value in row.doc.items():
            if isinstance(value, str | int | float) and len(str(value)) <= _LONGEST:
                index[str(name)][plain_cell(value).strip()].append(place)
    index[_POSITION] = {row.id: [place] for place, row in enumerate(rows)}  # last: a name is surer
    for known in index.values():  # the same numbers in other forms, where these are no ids
        loose: dict[str, list[int]] = defaultdict(list)
        for text, places in known.items():
            if _number(text) not in known:
                loose[_number(text)] += places
        known.update(loose)
    return index


def _number(text: str) -> str:
    """Return the number that an id is, as of "7.0", "000007" and "COCO_val2014_000000000007.jpg".

    Tables turn whole numbers into decimals, and COCO's number stands for its file. A picture is
    known by its name in any folder. Any other id is returned as it is.
    """
    picture = _PICTURE.fullmatch(text)
    name = picture[1] if picture else text
    found = _NUMBER.fullmatch(name)
    return found[1] if found else name


def _heard(asked: Sequence[tuple[str, str]], given: Sequence[GivenAnswer]) -> list[str | None]:
    """Return the data's question that each answer's prompt holds; ``None`` if there is none."""
    known = {text: own for whole, own in asked for text in (whole, own)}
    return [
        next((known[form] for form in _forms(one.question) if form in known), None) for one in given
    ]


def _ways(
    index: _Index,
    asked: Sequence[tuple[str, str]],
    given: Sequence[GivenAnswer],
    heard: Sequence[str | None],
) -> Iterable[tuple[_Way, list[Sequence[int]]]]:
    """Yield, for each way to find rows, its names and the rows that it allows each answer."""
    fields = distinct(name for one in given for name in one.ids)
    for same in (True, False):  # a column of the same name is asked first, and wins a tie
        for field in fields:
            for column, known in index.items():
                if (column in (field, _CALLED.get(field))) is same:
                    ids = [one.ids.get(field, "") for one in given]
                    yield (
                        (field, column, same),
                        [known.get(name, known.get(_number(name), ())) for name in ids],
                    )
    shared = [name for name in distinct(key for one in given for key in one.facts) if name in index]
    asking: dict[str | None, list[int]] = defaultdict(list)
    for place, (_, own) in enumerate(asked):
        asking[own].append(place)
    if shared[1:]:
        values = {name: {p: v for v, ps in index[name].items() for p in ps} for name in shared}
        yield (
            ("", f"question, {', '.join(shared)}", True),
            [
                _closest(one.facts, asking.get(own, ()), values)
                for one, own in zip(given, heard, strict=True)
            ],
        )


def _closest(
    facts: Mapping[str, str], rows: Sequence[int], values: Mapping[str, Mapping[int, str]]
) -> Sequence[int]:
    """Return those of the rows that agree with an answer in most of the columns."""
    if len(rows) > _ALIKE:
        return ()
    agreed = [sum(at.get(row) == facts.get(name) for name, at in values.items()) for row in rows]
    return [row for row, times in zip(rows, agreed, strict=True) if times == max(agreed)]


def _stretches(given: Sequence[GivenAnswer]) -> list[int]:
    """Number the parts of a file whose ids count up; all of it is one where they seldom do."""
    ids = [next((int(v) for v in one.ids.values() if v.isdecimal()), 0) for one in given]
    jumps = [int(new != old + 1) for old, new in pairwise(ids)]
    if sum(jumps) * _RUN > len(ids):
        return [0] * len(ids)
    return list(accumulate(jumps, initial=0))


def _by_questions(
    there: Sequence[str], heard: Sequence[str | None], stretches: Sequence[int]
) -> dict[int, int]:
    """Find rows by a question that only one asks, or by a run of questions in the data's order."""
    if list(heard) == list(there):
        return dict(enumerate(range(len(there))))
    found: dict[int, int] = {}
    for length in (1, _RUN):
        places: dict[tuple[str | None, ...], list[int]] = defaultdict(list)
        for start in range(len(there) - length + 1):
            places[tuple(there[start : start + length])].append(start)
        runs: dict[int, set[int]] = defaultdict(set)
        for start in range(len(heard) - length + 1):
            known = places.get(tuple(heard[start : start + length]), ())
            varied = 2 * len(set(heard[start : start + length])) > length
            if varied and len(known) == 1 and stretches[start] == stretches[start + length - 1]:
                for step in range(length):
                    runs[start + step].add(known[0] + step)
        sure = {place: next(iter(held)) for place, held in runs.items() if len(held) == 1}
        taken = set(sure.values())
        for place, held in runs.items():  # two runs meet, and either may go on by chance
            free = held - taken
            if place not in sure and len(free) == 1:
                sure[place] = free.pop()
        found = {**sure, **found}
    return found


def _forms(question: str) -> tuple[str, ...]:
    """Return the texts in a prompt that may be a row's question: all of it, less a line, a line."""
    lines = [_plain(line) for line in question.splitlines()]
    whole = " ".join(filter(None, lines))
    return distinct(
        text
        for text in (whole, " ".join(lines[:-1]).strip(), " ".join(lines[1:]).strip(), *lines)
        if text
    )


def _no_row(
    name: str, rows: Sequence[Row], given: Sequence[GivenAnswer], lost: Sequence[GivenAnswer]
) -> str:
    shown = "; ".join(
        f"{one.where} ({', '.join(f'{k} {v:.40}' for k, v in one.ids.items()) or 'no id'}"
        f"{f', {one.question[:60]!r}' if one.question else ''})"
        for one in lost[:_SHOWN]
    )
    return (
        f"{len(lost)} of {len(given)} answers match no row of {name} ({len(rows)} rows), by id "
        f"and question: {shown}. Nothing was taken. See that file and --data are of the same "
        "benchmark and split, and name the column of the ids with --id-column "
        f"(NAME={_POSITION}, where ids count the rows from 0)."
    )


def _checked(
    name: str, rows: Sequence[Row], given: Sequence[GivenAnswer], pairs: Mapping[int, int], how: str
) -> Matched:
    told: dict[str, list[GivenAnswer]] = {}
    for one in given:
        if one.place in pairs:
            told.setdefault(rows[pairs[one.place]].id, []).append(one)
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
    twice = [each for each in told.values() if len(each) > 1]
    if twice:
        notes.append(
            f"{sum(map(len, twice)) - len(twice)} answers stand in the files more than once, each "
            f"time the same, such as {_examples(each[1].where for each in twice)}"
        )
    if len(pairs) < len(given):
        others = [one.where for one in given if one.place not in pairs]
        notes.append(
            f"{len(others)} of {len(given)} answers belong to none of the rows that were read, "
            f"such as {_examples(others)}"
        )
    if len(told) < len(rows):
        notes.append(
            f"{len(rows) - len(told)} of {len(rows)} rows have no answer in the files and count as "
            f"missing, such as {_examples(row.id for row in rows if row.id not in told)}"
        )
    taken = [one for one in given if one.place in pairs]
    order = [pairs[one.place] for one in taken]
    if order != sorted(order):
        moved = next(
            one for one, at, last in zip(taken[1:], order[1:], order, strict=False) if at < last
        )
        notes.append(
            f"the files hold the answers in another order than the data, first at {moved.where}"
        )
    if len(taken) >= _ALIKE and all(
        one.text == rows[at].target for one, at in zip(taken, order, strict=True)
    ):
        notes.append(
            "every answer is the reference word for word; see that the file's column of answers is "
            "not that of the references (--answer-column)"
        )
    lacking = [one.where for one in taken if one.text is None]
    if lacking:
        notes.append(
            f"{len(lacking)} answers are missing according to the file, and count as missing, such "
            f"as {_examples(lacking)}"
        )
    return Matched({key: each[0] for key, each in told.items()}, tuple(notes))


def _examples(items: Iterable[Any]) -> str:
    return ", ".join(str(item) for item, _ in zip(items, range(_SHOWN), strict=False))
