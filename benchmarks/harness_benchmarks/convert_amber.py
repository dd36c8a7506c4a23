"""AMBER's official files: questions, annotations, word lists and images.

All but the images lie in ``data`` of AMBER's repository; of its 15220 questions the first 1004 are
generative. The images' archive could not be had; its names are those of the questions.
"""

from __future__ import annotations

from typing import Any

from harness.benchmark import Files, Reading, SourceFiles, SourceRow, malformed, texts_of, value_of

_QUERIES = "query_generative.json"
_ALL = "query_all.json"
_TRUTH = "annotations.json"
_LISTS = ("relation.json", "safe_words.txt")
_KINDS = {
    "generative": "generative",
    "discriminative-hallucination": "existence",
    "discriminative-attribute-state": "attribute-state",
    "discriminative-attribute-number": "attribute-number",
    "discriminative-attribute-action": "attribute-action",
    "discriminative-relation": "relation",
    "relation": "relation",  # 689 of the 1664 are called so
}


def read(files: Files) -> Reading:
    """Join questions and annotations; the word lists are passed on as they are."""
    truth = _annotations(files)
    rows = [_generative(where, item, truth) for where, item in files.items(_QUERIES)]
    return Reading(rows, _lists(files))


def read_all(files: Files) -> Reading:
    """Join all questions, of both halves, and their annotations."""
    truth = _annotations(files)
    rows = [_any(where, item, truth) for where, item in files.items(_ALL)]
    return Reading(rows, _lists(files))


def _annotations(files: Files) -> dict[int, tuple[str, Any]]:
    return {value_of(item, "id", int, where): (where, item) for where, item in files.items(_TRUTH)}


def _lists(files: Files) -> dict[str, str]:
    return {f"metadata/{name}": files.text(name) for name in _LISTS}


def _joined(
    where: str, item: Any, truth: dict[int, tuple[str, Any]]
) -> tuple[int, tuple[str, ...], str, Any]:
    """Return a question's number and image, and its annotation with its place."""
    number = value_of(item, "id", int, where)
    if number not in truth:
        raise malformed(where, f"question {number} is not in {_TRUTH}")
    return number, (value_of(item, "image", str, where),), *truth[number]


def _generative(where: str, item: Any, truth: dict[int, tuple[str, Any]]) -> SourceRow:
    number, image, there, answer = _joined(where, item, truth)
    values = {
        "question_id": number,
        "truth": texts_of(answer, "truth", there),
        "hallu": texts_of(answer, "hallu", there),
        "task_type": value_of(answer, "type", str, there),
    }
    return SourceRow(f"question {number}", where, values, image)


def _any(where: str, item: Any, truth: dict[int, tuple[str, Any]]) -> SourceRow:
    number, image, there, answer = _joined(where, item, truth)
    named = value_of(answer, "type", str, there)
    if named not in _KINDS:
        raise malformed(there, f"the type '{named}' is none of {', '.join(_KINDS)}")
    described = named == "generative"
    right = () if described else (value_of(answer, "truth", str, there),)
    if right not in ((), ("yes",), ("no",)):
        raise malformed(there, f"the truth '{right[0]}' is neither yes nor no")
    values = {
        "question_id": number,
        "kind": _KINDS[named],
        "question": value_of(item, "query", str, where),
        "truth": texts_of(answer, "truth", there) if described else right,
        "hallu": texts_of(answer, "hallu", there) if described else (),
    }
    return SourceRow(f"question {number}", where, values, image)


_IMAGES = "the images AMBER_1.jpg to AMBER_1004.jpg, from the link in its README"
_FROM = "from https://github.com/junyangwang0410/AMBER (folder data)"
OFFICIAL = SourceFiles(
    fetch=(f"{_QUERIES}, {_TRUTH}, {' and '.join(_LISTS)}, {_FROM}", _IMAGES),
    rows=1004,
    images=1004,
    read=read,
)
OFFICIAL_ALL = SourceFiles(
    fetch=(f"{_ALL}, {_TRUTH}, {' and '.join(_LISTS)}, {_FROM}", _IMAGES),
    rows=15220,
    images=1004,
    read=read_all,
)
