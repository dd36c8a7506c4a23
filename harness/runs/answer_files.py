"""Answers that exist already, in the files that evaluations write: one record an answer.

Read are JSON lines (LLaVA's, POPE's, lmms-eval's samples, plain ones), JSON (a list of objects, or
answers by id), Parquet, and the tables of VLMEvalKit (``.xlsx``, ``.csv``, ``.tsv``). Which column
holds the answer, the id and the question follows from their names; a file that names none is
refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.data import ENDINGS, Placed, is_read, placed_records, plain_cell
from harness.errors import HarnessError, UsageError, some

FORMATS = ("llava", "lmms-eval", "vlmevalkit", "pope", "jsonl")
_ANSWERS = (
    *("prediction", "model_prediction", "model_answer", "model_output", "model_response"),
    *("response", "output", "generated_text", "completion", "pred", "caption", "text", "answer"),
)
_PERHAPS = re.compile(r"output|predict|respon|repl(y|ies)|generat|completion|hypothes|said", re.I)
"""Names of columns that may hold what a model said, beside one of a name such as "answer"."""
_IDS = (
    *("question_id", "questionid", "index", "doc_id", "id", "qid", "pid", "row", "image_id"),
    *("image", "image_file"),
)
_QUESTIONS = ("prompt", "question", "query", "input")
FAILED = ("[LMMS_EVAL_REQUEST_FAILED", "Failed to obtain answer via API.")
"""What lmms-eval and VLMEvalKit write in place of a missing answer."""
_LONGEST = 400  # letters of an id: longer ones are pictures or texts
_SHOWN = 3


_Record = tuple[str, Mapping[str, Any]]


@dataclass(frozen=True)
class GivenAnswer:
    """One answer of a file; ``text`` is ``None`` where the file says that there is none.

    ``where`` names file and line and ``place`` counts from 0. ``ids`` may identify the row, by
    column; ``facts`` are the short values of every other column, which the data may have too.
    """

    where: str
    place: int
    ids: Mapping[str, str]
    question: str
    text: str | None
    facts: Mapping[str, str] = field(default_factory=dict)


class NoAnswersError(UsageError):
    """A file that can be read and has no column of answers."""


def files_in(path: Path) -> list[Path]:
    """Return the answer files that a path names: itself, or those below a folder."""
    if path.is_file():
        return [path]
    found = files_below(path)
    if not found:
        what = "holds no file" if path.is_dir() else "is not there"
        raise UsageError(f"{path} {what}. Name answer files that end in {', '.join(ENDINGS)}.")
    return found


def files_below(folder: Path) -> list[Path]:
    """Return the tables and lists below a folder, those of the system and of Excel aside."""
    return sorted(
        file
        for file in folder.rglob("*")
        if is_read(file) and not _hidden(file.relative_to(folder)) and file.is_file()
    )


def _hidden(path: Path) -> bool:
    """Say whether a file is none of the user's: macOS and Excel leave such beside them."""
    return any(part.startswith((".", "~$", "__MACOSX")) for part in path.parts)


def read_answers(
    path: Path, kind: str | None = None, answer: str | None = None, row_id: str | None = None
) -> tuple[GivenAnswer, ...]:
    """Read one file; format and columns that are not named follow from the names of its columns."""
    records = list(records_in(path))
    if not records:
        raise HarnessError(f"{path} holds no answers. Copy it again from where it was made.")
    columns = list(dict.fromkeys(str(key) for _, record in records for key in record))
    row_id, _, theirs = (row_id or "").partition("=")  # "NAME=COLUMN" of the data
    named = {name.lower(): name for name in reversed(columns)}
    kind = kind or _kind_of(named.keys())
    said = answer or _answer_column(path, kind, columns, named)
    for name in filter(None, (said, row_id)):
        if name not in columns:
            raise UsageError(f"{path} has no column '{name}'. It has: {some(columns, most=20)}.")
    known = [named[name] for name in _IDS if name in named and named[name] != said]
    wanted = [row_id] if row_id else known
    asked = next((named[n] for n in _QUESTIONS if n in named and named[n] != said), None)
    lacking = [where for where, record in records if said not in record]
    if lacking:
        raise UsageError(
            f"{len(lacking)} of {len(records)} records of {path} have no '{said}' "
            f"({'; '.join(lacking[:_SHOWN])}). Nothing was taken; repair the file."
        )
    if answer is None and said.lower() in _ANSWERS[-3:]:
        _refuse_doubt(path, said, records, {*wanted, asked, said})
    texts = _texts(path, said, records)
    return tuple(
        GivenAnswer(
            where,
            place,
            {theirs or name: _plain(record[name]) for name in wanted if _tells(record.get(name))},
            _plain(record.get(asked)) if asked else "",
            text,
            {
                str(name): _plain(value)
                for name, value in record.items()
                if name not in (said, asked) and _tells(value)
            },
        )
        for place, ((where, record), text) in enumerate(zip(records, texts, strict=True))
    )


def _refuse_doubt(
    path: Path, said: str, records: Sequence[_Record], known: Collection[str | None]
) -> None:
    """Refuse a file whose "answer" may be the right one, as another column may be the model's."""
    columns = dict.fromkeys(str(name) for _, record in records for name in record)
    others = [
        name
        for name in columns
        if name not in known
        and _PERHAPS.search(name)
        and any(isinstance(record.get(name), str) for _, record in records)
    ]
    if others:
        raise UsageError(
            f"{path} has the columns '{said}' and '{others[0]}', and either may be what the model "
            "said. Nothing was taken. Name that column with --answer-column."
        )


def _texts(path: Path, said: str, records: Sequence[_Record]) -> list[str | None]:
    """Return the answers of a column; in a table of text an empty cell is how a lack is written."""
    table = path.name.lower().removesuffix(".gz").endswith((".csv", ".tsv"))
    found: list[str | None] = []
    odd: list[tuple[str, str]] = []
    for where, record in records:
        value = record[said]
        while isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, Mapping) and isinstance(value.get("content"), str):
            value = value["content"]  # a message of a conversation
        if isinstance(value, list):
            odd.append((where, f"{len(value)} answers"))
        elif isinstance(value, Mapping):
            odd.append((where, f"an object ({', '.join(map(str, value))[:40]})"))
        elif isinstance(value, bool):
            odd.append((where, str(value).lower()))
        else:  # nan is how pandas writes that there is none
            lacks = value is None or value != value or (table and value == "")
            text = None if lacks else _plain(value)
            found.append(None if text is None or text.startswith(FAILED) else text)
    if odd:
        shown = "; ".join(f"{where}: {what}" for where, what in odd[:_SHOWN])
        raise UsageError(
            f"{len(odd)} of {len(records)} records of {path} hold something else than one text in "
            f"'{said}' ({shown}). Nothing was taken. Keep one answer to a row, or name the column "
            "of what the model said with --answer-column."
        )
    return found


def _kind_of(columns: Collection[str]) -> str:
    if {"doc_id", "target"} <= set(columns) and {"resps", "filtered_resps"} & set(columns):
        return "lmms-eval"
    if {"index", "prediction"} <= set(columns):
        return "vlmevalkit"
    if {"question_id", "prompt", "text"} <= set(columns):
        return "llava"
    if {"question", "answer"} <= set(columns) and not set(columns) & set(_ANSWERS[:-2]):
        return "pope"
    return "jsonl"


def _answer_column(path: Path, kind: str, columns: Sequence[str], named: Mapping[str, str]) -> str:
    known = {
        "lmms-eval": ("resps", "filtered_resps"),
        "vlmevalkit": ("prediction",),
        "llava": ("text",),
        "pope": ("answer",),
        "jsonl": _ANSWERS,
    }
    if kind not in known:
        raise UsageError(f"Unknown format '{kind}'. Use one of: {', '.join(FORMATS)}.")
    found = next((named[name] for name in known[kind] if name in named), None)
    if found is None:
        raise NoAnswersError(
            f"{path} has no column of answers: {' or '.join(known[kind])} is needed, and it has "
            f"{some(columns, most=20)}. Name the column with --answer-column."
        )
    return found


def _tells(value: Any) -> bool:
    return isinstance(value, str | int | float) and 0 < len(_plain(value)) <= _LONGEST


def _plain(value: Any) -> str:
    return plain_cell(value).strip()


def records_in(path: Path) -> Placed:
    """Yield the records of a file, each with its place."""
    return placed_records(path, _in_whole)


def _in_whole(found: Any) -> list[Any]:
    """Return the records of a JSON file that is one value and no list."""
    if not isinstance(found, Mapping):
        return []
    if _is_table(found):  # columns, as pandas writes them
        places = list(next(iter(found.values())))
        return [{name: column[place] for name, column in found.items()} for place in places]
    if _is_record(found):
        return [found]
    inside = [value for value in found.values() if isinstance(value, Mapping)]
    if found and all(set(_ANSWERS) & set(each) for each in inside) and len(inside) == len(found):
        return [{"id": name, **each} for name, each in found.items()]
    by_id = [each for each in (found, *inside) if _all_texts(each)]
    if len(by_id) == 1:  # ScienceQA's results hold the answers beside the letters
        return [{"id": name, "answer": text} for name, text in by_id[0].items()]
    listed = [value for value in found.values() if isinstance(value, list)]
    return listed[0] if len(listed) == 1 else [found]


def _is_record(found: Mapping[str, Any]) -> bool:
    """Say whether an object is one answer with its id or question, and no answers by their ids."""
    return bool(set(_ANSWERS) & set(found)) and bool({*_IDS, *_QUESTIONS} & set(found))


def _is_table(found: Mapping[str, Any]) -> bool:
    """Say whether an object holds columns of cells, and not rows or answers by their ids."""
    columns = list(found.values())
    return bool(set(_ANSWERS) & set(found)) and all(
        isinstance(column, Mapping) and column.keys() == columns[0].keys() for column in columns
    )


def _all_texts(found: Mapping[str, Any]) -> bool:
    return bool(found) and all(isinstance(text, str | None) for text in found.values())


def answers_of(
    paths: Iterable[Path],
    named: Collection[Path],
    kind: str | None,
    answer: str | None,
    row_id: str | None,
) -> tuple[tuple[GivenAnswer, ...], tuple[str, ...]]:
    """Read several files as one, and return the answers and what a reader should know.

    Files that were found in a folder, not ``named``, and have no column of answers are left out.
    """
    found: list[GivenAnswer] = []
    others: list[tuple[Path, NoAnswersError]] = []
    for path in paths:
        try:
            found += read_answers(path, kind, answer, row_id)
        except NoAnswersError as error:
            if path in named:
                raise
            others.append((path, error))
    if not others:
        return tuple(found), ()
    if not found:
        raise others[0][1]
    shown = some([path.name for path, _ in others], most=_SHOWN)
    return tuple(found), (f"{len(others)} files of the folder hold no answers: {shown}",)
