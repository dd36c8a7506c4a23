"""AMBER's official files, generative part: questions, annotations, word lists and images.

All but the images lie in ``data`` of AMBER's repository; of its 15220 questions the first 1004 are
generative. The images' archive could not be had; its names are those of the questions.
"""

from __future__ import annotations

from typing import Any

from harness.benchmark import Files, Reading, SourceFiles, SourceRow, malformed, texts_of, value_of

_QUERIES = "query_generative.json"
_TRUTH = "annotations.json"
_LISTS = ("relation.json", "safe_words.txt")


def read(files: Files) -> Reading:
    """Join questions and annotations; the word lists are passed on as they are."""
    truth: dict[int, tuple[str, Any]] = {}
    for where, item in files.items(_TRUTH):
        truth[value_of(item, "id", int, where)] = (where, item)
    rows = [_entry(where, item, truth) for where, item in files.items(_QUERIES)]
    return Reading(rows, {f"metadata/{name}": files.text(name) for name in _LISTS})


def _entry(where: str, item: Any, truth: dict[int, tuple[str, Any]]) -> SourceRow:
    number = value_of(item, "id", int, where)
    if number not in truth:
        raise malformed(where, f"question {number} is not in {_TRUTH}")
    there, answer = truth[number]
    values = {
        "question_id": number,
        "truth": texts_of(answer, "truth", there),
        "hallu": texts_of(answer, "hallu", there),
        "task_type": value_of(answer, "type", str, there),
    }
    return SourceRow(f"question {number}", where, values, (value_of(item, "image", str, where),))


OFFICIAL = SourceFiles(
    fetch=(
        f"{_QUERIES}, {_TRUTH}, {' and '.join(_LISTS)}, from "
        "https://github.com/junyangwang0410/AMBER (folder data)",
        "the images AMBER_1.jpg to AMBER_1004.jpg, from the link in its README",
    ),
    rows=1004,
    images=1004,
    read=read,
)
