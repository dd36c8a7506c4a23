"""Answers that exist already, in the files that evaluations write: one record an answer.

Read are JSON lines (LLaVA's, POPE's, lmms-eval's samples, plain ones), JSON (a list of objects, or
answers by id), and the tables of VLMEvalKit (``.xlsx``, ``.csv``, ``.tsv``). Which column holds the
answer, the id and the question follows from their names; a file that names none is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, UsageError
from harness.runs.tables import Placed, plain_cell, sheet_rows, text_rows
from harness.storage import lines_of, parse_json, read_json

FORMATS = ("llava", "lmms-eval", "vlmevalkit", "pope", "jsonl")
ENDINGS = (".jsonl", ".json", ".xlsx", ".csv", ".tsv")
_ANSWERS = (
    *("prediction", "model_prediction", "model_answer", "response", "output", "generated_text"),
    *("pred", "caption", "text", "answer"),
)
_IDS = (
    *("question_id", "questionId", "index", "doc_id", "id", "qid", "pid", "row", "image_id"),
    *("image", "image_file"),
)
_QUESTIONS = ("prompt", "question", "query", "input")
_FAILED = ("[LMMS_EVAL_REQUEST_FAILED", "Failed to obtain answer via API.")
_LONGEST = 400  # letters of an id: longer ones are pictures or texts
_SHOWN = 3


@dataclass(frozen=True)
class GivenAnswer:
    """One answer of a file.

    Attributes:
        where: file and line, for errors.
        place: its number in the file, from 0.
        ids: by column, what may identify the row.
        question: what was asked, where the file says it; else empty.
        text: the answer; ``None`` where the file says that there is none.
        facts: the short values of every other column, which the data may have too.
    """

    where: str
    place: int
    ids: Mapping[str, str]
    question: str
    text: str | None
    facts: Mapping[str, str] = field(default_factory=dict)


def files_in(path: Path) -> list[Path]:
    """Return the answer files that a path names: itself, or those below a folder.

    Raises:
        UsageError: if there is none.
    """
    if path.is_file():
        return [path]
    found = sorted(
        file for file in path.rglob("*") if file.suffix.lower() in ENDINGS and file.is_file()
    )
    if not found:
        what = "holds no file" if path.is_dir() else "is not there"
        raise UsageError(f"{path} {what}. Name answer files that end in {', '.join(ENDINGS)}.")
    return found


def read_answers(
    path: Path, kind: str | None = None, answer: str | None = None, row_id: str | None = None
) -> tuple[GivenAnswer, ...]:
    """Read one file.

    Args:
        path: the file.
        kind: one of :data:`FORMATS`; told from the file where it is ``None``.
        answer: the column that holds the answers, where its name is another one.
        row_id: the column of the rows' ids.

    Raises:
        UsageError: if the columns are unknown.
        HarnessError: if the file is damaged.
    """
    records = list(records_in(path))
    if not records:
        raise HarnessError(f"{path} holds no answers. Copy it again from where it was made.")
    columns = list(dict.fromkeys(str(key) for _, record in records for key in record))
    kind = kind or _kind_of(columns)
    said = answer or _answer_column(path, kind, columns)
    if said not in columns:
        raise UsageError(f"{path} has no column '{said}'. It has: {', '.join(columns)}.")
    if row_id is not None and row_id not in columns:
        raise UsageError(f"{path} has no column '{row_id}'. It has: {', '.join(columns)}.")
    wanted = [row_id] if row_id else [name for name in _IDS if name in columns and name != said]
    asked = next((name for name in _QUESTIONS if name in columns and name != said), None)
    lacking = [where for where, record in records if said not in record]
    if lacking:
        raise UsageError(
            f"{len(lacking)} of {len(records)} records of {path} have no '{said}' "
            f"({'; '.join(lacking[:_SHOWN])}). Nothing was taken; repair the file."
        )
    return tuple(
        GivenAnswer(
            where,
            place,
            {name: _plain(record[name]) for name in wanted if _tells(record.get(name))},
            _plain(record.get(asked)) if asked else "",
            _said(record[said], where),
            {
                str(name): _plain(value)
                for name, value in record.items()
                if name not in (said, asked) and _tells(value)
            },
        )
        for place, (where, record) in enumerate(records)
    )


def _kind_of(columns: Sequence[str]) -> str:
    if {"doc_id", "target"} <= set(columns) and {"resps", "filtered_resps"} & set(columns):
        return "lmms-eval"
    if {"index", "prediction"} <= set(columns):
        return "vlmevalkit"
    if {"question_id", "prompt", "text"} <= set(columns):
        return "llava"
    if {"question", "answer"} <= set(columns) and not set(columns) & set(_ANSWERS[:-2]):
        return "pope"
    return "jsonl"


def _answer_column(path: Path, kind: str, columns: Sequence[str]) -> str:
    known = {
        "lmms-eval": ("resps", "filtered_resps"),
        "vlmevalkit": ("prediction",),
        "llava": ("text",),
        "pope": ("answer",),
        "jsonl": _ANSWERS,
    }
    if kind not in known:
        raise UsageError(f"Unknown format '{kind}'. Use one of: {', '.join(FORMATS)}.")
    found = next((name for name in known[kind] if name in columns), None)
    if found is None:
        raise UsageError(
            f"{path} has no column of answers: {' or '.join(known[kind])} is needed, and it has "
            f"{', '.join(columns)}. Name the column with --answer-column."
        )
    return found


def _tells(value: Any) -> bool:
    return isinstance(value, str | int | float) and 0 < len(_plain(value)) <= _LONGEST


def _said(value: Any, where: str) -> str | None:
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, list | Mapping):
        raise UsageError(
            f"{where} holds {len(value)} answers to one row; nothing was taken. Keep one of them."
        )
    text = None if value is None else _plain(value)
    return None if text is None or text.startswith(_FAILED) else text


def _plain(value: Any) -> str:
    return plain_cell(value).strip()


def records_in(path: Path) -> Placed:
    """Yield the records of a file, each with its place; a spreadsheet, a table, JSON or JSON lines.

    Raises:
        UsageError: if the file is of another kind.
        HarnessError: if it is damaged.
    """
    readers = {".jsonl": _lines, ".json": _json, ".xlsx": sheet_rows}
    readers |= dict.fromkeys((".csv", ".tsv"), text_rows)
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UsageError(
            f"{path} is not read: it ends in '{path.suffix}'. Name a file that ends in "
            f"{', '.join(ENDINGS)}; a pickle is never opened."
        )
    try:
        yield from reader(path)
    except (UsageError, HarnessError):
        raise
    except Exception as error:  # a damaged zip, foreign XML, broken JSON ...
        raise HarnessError(
            f"{path} cannot be read ({type(error).__name__}: {error}). Copy it again from where it "
            "was made."
        ) from error


def _lines(path: Path) -> Placed:
    for number, line in lines_of(path):
        text = line.decode("utf-8-sig") if isinstance(line, bytes) else line.removeprefix("\ufeff")
        if not text.strip():
            continue
        where = f"{path.name}, line {number}"
        try:
            record = parse_json(text)
        except ValueError as error:
            raise HarnessError(f"{where} is no JSON ({error}). Copy the file again.") from error
        if not isinstance(record, Mapping):
            raise HarnessError(f"{where} is no JSON object with an id and an answer.")
        yield where, record


def _json(path: Path) -> Placed:
    try:
        found = read_json(path)
    except ValueError:
        yield from _lines(path)  # JSON lines, whatever the file is called
        return
    if isinstance(found, Mapping) and _is_table(found):  # columns, as pandas writes them
        places = list(next(iter(found.values())))
        found = [{name: column[place] for name, column in found.items()} for place in places]
    elif isinstance(found, Mapping) and not _is_record(found):
        inside = [value for value in found.values() if isinstance(value, Mapping)]
        by_id = [each for each in (found, *inside) if _all_texts(each)]
        listed = [value for value in found.values() if isinstance(value, list)]
        if len(by_id) == 1:  # ScienceQA's results hold the answers beside the letters
            found = [{"id": name, "answer": text} for name, text in by_id[0].items()]
        else:
            found = listed[0] if len(listed) == 1 else [found]
    elif isinstance(found, Mapping):
        found = [found]
    for number, record in enumerate(found if isinstance(found, list) else [], start=1):
        if not isinstance(record, Mapping):
            raise HarnessError(f"{path.name}, entry {number} is no object with an id and an answer")
        yield f"{path.name}, entry {number}", record


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
    paths: Iterable[Path], kind: str | None, answer: str | None, row_id: str | None
) -> tuple[GivenAnswer, ...]:
    """Read several files as one; see :func:`read_answers`."""
    return tuple(one for path in paths for one in read_answers(path, kind, answer, row_id))
