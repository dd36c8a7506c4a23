"""The row that each answer of a file belongs to: by an id, by columns in common, by questions.

An answer whose file says the question is never given to a row that asks another one.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

from harness.benchmark import Row
from harness.data import plain_cell
from harness.errors import UsageError
from harness.records import distinct
from harness.runs.answer_files import GivenAnswer
from harness.runs.matched import ALIKE, POSITION, SHOWN, Matched, checked, examples, no_row

_CALLED = {"doc_id": POSITION}  # by lmms-eval
_LONGEST = 400  # letters of an id
_RUN = 12  # questions in a row by which a place in the data is known
_NUMBER = re.compile(r"(?:COCO_\w+_)?0*(\d+)(?:\.0+)?", re.IGNORECASE)
_PICTURE = re.compile(r"(?:.*[/\\])?([^/\\]+)\.(?:jpe?g|png)", re.IGNORECASE)

_Way = tuple[str, str, bool]
"""Column of the file and of the data, and whether it is by name; without the former, a phrase."""
_Index = dict[str, dict[str, list[int]]]
"""Rows by column and value."""


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
    spoken: dict[int, set[int]] = {}  # rows that an answer's id names in the column of its name
    for way, candidates in _ways(_index(rows), asked, given, heard):
        if way[0] and way[2]:
            for place, alike in enumerate(candidates):
                spoken.setdefault(place, set()).update(alike)
        pairs: dict[int, int] = {}
        for place, alike in enumerate(candidates):
            if len(alike) <= ALIKE:
                fit = [row for row in alike if not said[place] or _same(said[place], *asked[row])]
                if len(fit) == 1:
                    pairs[place] = fit[0]
        ways.append((pairs, way))
        counted = way[1] != POSITION or way[2] or len(set(said)) > 1 or _begins(given, way[0])
        if counted and len(set(pairs.values())) > len(set(best[0].values())):
            best = pairs, way
    pairs, (field, column, named) = best
    how = f"{field} = {column}" if field else column
    doubt = _doubt(name, given, pairs, (field, column), ways)
    if not named and not doubt and len(set(said)) <= 1:
        doubt = _other_rows(name, given, pairs, (field, column), spoken)
    found = _by_questions([own for _, own in asked], heard, _stretches(given))
    if len(found) > len(pairs) and 2 * len(pairs) < len(given):  # few ids fit, and those by chance
        pairs, found, how, doubt = found, pairs, "their questions and the order of them", ""
    if whole is not None and pairs and len(set(said)) <= 1:
        return match(name, whole(), given, limit=len(rows))
    if doubt and not named:
        raise UsageError(doubt)
    pairs = {**found, **pairs}
    lost = [one for one in given if one.place not in pairs]
    unread = sum(row.problem is not None for row in rows)
    few = len({(*one.ids.values(), one.question) for one in lost}) <= unread
    if lost and not (pairs and (few or whole is not None)):
        raise UsageError(no_row(name, rows, given, lost, spoken))
    _refuse_questions(name, given, pairs, asked)
    pairs = {place: row for place, row in pairs.items() if limit is None or row < limit}
    by_facts = bool(column) and not field
    return replace(checked(name, rows[:limit], given, pairs, how), by_facts=by_facts)


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
            return _two_columns(
                name,
                way,
                f"{given[place].where} is of row {pairs[place]}",
                f"{field} = {column} of row {other[place]}",
                f"Say which, as in: --id-column {way[0]}={way[1]} ('{POSITION}' counts the rows "
                "from 0).",
            )
    return ""


def _other_rows(
    name: str,
    given: Sequence[GivenAnswer],
    pairs: Mapping[int, int],
    way: tuple[str, str],
    spoken: Mapping[int, set[int]],
) -> str:
    """Say that the data's column of the same name gives an id to other rows than were found.

    That column may name several rows, as POPE's ``question_id`` does in its three splits, so that
    it finds none; then another column whose numbers happen to fit must not take its place.
    """
    for place, row in pairs.items():
        if (known := spoken.get(place)) and row not in known:
            rows = ", ".join(map(str, sorted(known)[:SHOWN]))
            return _two_columns(
                name,
                way,
                f"{given[place].where} is of row {row}",
                f"the column of that name of row {rows}",
                "Add a column with the question to the file where several rows share an id, name a "
                "benchmark that has each id once, or say which column is meant, as in: --id-column "
                f"{way[0]}={way[1]}",
            )
    return ""


def _two_columns(name: str, way: tuple[str, str], one: str, other: str, remedy: str) -> str:
    return (
        f"The ids of the answers to {name} fit two columns of the data, in other rows: by "
        f"{way[0]} = {way[1]}, {one}, and by {other}. Nothing was taken. {remedy}"
    )


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
            f"{examples(same)}. Nothing was taken. Name the file of answers, or the column of "
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
    index[POSITION] = {row.id: [place] for place, row in enumerate(rows)}  # last: a name is surer
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
        alike = {own: set(places) for own, places in asking.items()}

        def narrowed(one: GivenAnswer, own: str | None) -> Sequence[int]:
            """Of the many rows that ask a frequent question, take those with the rarest value."""
            if len(asking.get(own, ())) <= ALIKE:
                return asking.get(own, ())
            known = (index[name].get(one.facts.get(name, ""), ()) for name in shared)
            rarest = min(filter(None, known), key=len, default=())
            return [row for row in rarest if row in alike[own]]

        yield (
            ("", f"question, {', '.join(shared)}", True),
            [
                _closest(one.facts, narrowed(one, own), values)
                for one, own in zip(given, heard, strict=True)
            ],
        )


def _closest(
    facts: Mapping[str, str], rows: Sequence[int], values: Mapping[str, Mapping[int, str]]
) -> Sequence[int]:
    """Return those of the rows that agree with an answer in most of the columns."""
    if not rows or len(rows) > ALIKE:
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
