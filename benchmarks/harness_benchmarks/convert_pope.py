"""POPE's official files: a list of questions for each split, and the photographs of COCO val2014.

LLaVA's evaluation, and so SeVa's and SIMA's, asks 8910 questions: it takes the lists as they were
at commit e3e39262c85a6a83f26cf5094022a782cb0df58d of POPE's repository, where the random split had
2910. Today's lists have 3000 in each, as has the hub.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from harness.benchmark import Files, Reading, SourceFiles, SourceRow, malformed, value_of

_SPLITS = {"adversarial": 3000, "popular": 3000, "random": 2910}
_LISTS = {split: f"coco_pope_{split}.json" for split in _SPLITS}
_COMMIT = "e3e39262c85a6a83f26cf5094022a782cb0df58d"


def read(files: Files) -> Reading:
    """Read the three lists, one after another."""
    rows: list[SourceRow] = []
    for split, name in _LISTS.items():
        start = len(rows)
        for where, item in files.lines(name):
            rows.append(_entry(where, item, split, len(rows)))
        found = len(rows) - start
        if found != _SPLITS[split]:
            files.notes.append(
                f"{name} holds {found} questions; LLaVA's evaluation asks {_SPLITS[split]} of "
                f"them (commit {_COMMIT[:7]} of POPE's repository)"
            )
    return Reading(rows, apart=("category", "Full"))


def _entry(where: str, item: Any, split: str, place: int) -> SourceRow:
    number = value_of(item, "question_id", int, where)
    image = value_of(item, "image", str, where)
    answer = value_of(item, "label", str, where)
    if answer not in ("yes", "no"):
        raise malformed(where, f"the label '{answer}' is neither yes nor no")
    values = {
        "id": str(place),
        "question_id": str(number),
        "question": value_of(item, "text", str, where),
        "answer": answer,
        "image_source": PurePosixPath(image).stem,
        "category": split,
    }
    return SourceRow(f"{split} question {number}", where, values, (image,))


OFFICIAL = SourceFiles(
    fetch=(
        f"{', '.join(_LISTS.values())}, from https://github.com/AoiDragon/POPE (folder "
        f"output/coco; LLaVA's evaluation takes them at commit {_COMMIT})",
        "the 500 photographs that they name, of COCO val2014",
    ),
    rows=8910,
    images=500,
    read=read,
    hub="with the 9,000 questions of the hub",
)
