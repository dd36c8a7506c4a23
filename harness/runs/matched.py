"""Answers that were matched to rows, and what is said where they were or could not be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.benchmark import Row
from harness.errors import UsageError
from harness.runs.answer_files import GivenAnswer

SHOWN = 3
POSITION = "position"
ALIKE = 50  # rows that may share an id, and are told apart by their questions


@dataclass(frozen=True)
class Matched:
    """Answers by the id of their row, and what a reader should know of how they were matched.

    ``by_facts``: columns that are no ids decided.
    """

    answers: Mapping[str, GivenAnswer]
    notes: tuple[str, ...]
    by_facts: bool = False


def no_row(
    name: str,
    rows: Sequence[Row],
    given: Sequence[GivenAnswer],
    lost: Sequence[GivenAnswer],
    spoken: Mapping[int, set[int]],
) -> str:
    """Say which answers found no row, or several by the ids that rows share (``spoken``)."""
    shown = "; ".join(
        f"{one.where} ({', '.join(f'{k} {v:.40}' for k, v in one.ids.items()) or 'no id'}"
        f"{f', {one.question[:60]!r}' if one.question else ''})"
        for one in lost[:SHOWN]
    )
    several = [one for one in lost if len(spoken.get(one.place, ())) > 1]
    if 2 * len(several) > len(lost):
        first = several[0]
        alike = ", ".join(rows[row].id for row in sorted(spoken[first.place])[:SHOWN])
        return (
            f"{len(lost)} of {len(given)} answers fit several rows of {name} ({len(rows)} rows), "
            f"which share an id: {shown}; {first.where} may be of row {alike}. Nothing was taken. "
            "Add columns that tell these rows apart, such as the question and the category, or "
            "name a benchmark that has each id once, such as one of the splits."
        )
    return (
        f"{len(lost)} of {len(given)} answers match no row of {name} ({len(rows)} rows), by id "
        f"and question: {shown}. Nothing was taken. See that file and --data are of the same "
        "benchmark and split, and name the column of the ids with --id-column "
        f"(NAME={POSITION}, where ids count the rows from 0)."
    )


def checked(
    name: str, rows: Sequence[Row], given: Sequence[GivenAnswer], pairs: Mapping[int, int], how: str
) -> Matched:
    """Return the answers by row with what a reader should know; refuse two answers to one row."""
    told: dict[str, list[GivenAnswer]] = {}
    for one in given:
        if one.place in pairs:
            told.setdefault(rows[pairs[one.place]].id, []).append(one)
    several = {key: each for key, each in told.items() if len({one.text for one in each}) > 1}
    if several:
        shown = "; ".join(
            f"row {key}: {' and '.join(one.where for one in each[:2])}"
            for key, each in list(several.items())[:SHOWN]
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
            f"time the same, such as {examples(each[1].where for each in twice)}"
        )
    if len(pairs) < len(given):
        others = [one.where for one in given if one.place not in pairs]
        notes.append(
            f"{len(others)} of {len(given)} answers belong to none of the rows that were read, "
            f"such as {examples(others)}"
        )
    if len(told) < len(rows):
        notes.append(
            f"{len(rows) - len(told)} of {len(rows)} rows have no answer in the files and count as "
            f"missing, such as {examples(row.id for row in rows if row.id not in told)}"
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
    if len(taken) >= ALIKE and all(
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
            f"as {examples(lacking)}"
        )
    return Matched({key: each[0] for key, each in told.items()}, tuple(notes))


def examples(items: Iterable[Any]) -> str:
    """Name the first ones."""
    return ", ".join(str(item) for item, _ in zip(items, range(SHOWN), strict=False))
