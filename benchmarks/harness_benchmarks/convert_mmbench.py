"""MMBench's official tables: one row a question and rotation, its image in base64 beside it.

LLaVA's evaluation, and so SeVa's and SIMA's, asks ``mmbench_dev_20230712.tsv`` (4,377 rows, 1,176
questions) and ``mmbench_dev_cn_20231003.tsv``; the hub's rows are of a later version. An image may
also be the index of the row that holds it, as in VLMEvalKit's tables. Cells that pandas reads as
missing become "nan", as on the hub, and a hint that is missing is none: LLaVA's script reads the
table with pandas.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable
from typing import Any

from harness.benchmark import Files, Reading, SourceFiles, SourceRow, malformed

_LISTS = {"en": "mmbench_dev_20230712.tsv", "cn": "mmbench_dev_cn_20231003.tsv"}
_COLUMNS = {
    **{name: name for name in ("question", "hint", "answer", "A", "B", "C", "D")},
    **{name: name for name in ("category", "source", "comment", "split")},
    "L2-category": "l2-category",
}
"""The table's column for each of the hub's; comment and hint may be left out."""
_OPTIONAL = ("hint", "comment", "source", "split")
_MISSING = frozenset(
    {
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND"),
        *("1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
    }
)
_SHORTEST = 64  # letters of an image in base64; fewer are the index of another row


def _read(name: str) -> Callable[[Files], Reading]:
    def read(files: Files) -> Reading:
        images: dict[str, bytes] = {}
        rows = []
        for where, item in files.table(name, "\t"):
            rows.append(_entry(where, item, images))
        return Reading(rows, mixed=True)

    return read


def _entry(where: str, item: dict[str, str], images: dict[str, bytes]) -> SourceRow:
    lacking = [
        theirs
        for theirs in ("index", "image", *_COLUMNS.values())
        if theirs not in item and theirs not in _OPTIONAL
    ]
    if lacking:
        raise malformed(where, f"there is no column '{lacking[0]}'")
    index = item["index"].strip()
    if not index.isdecimal():
        raise malformed(where, f"the index '{index[:20]}' is no number")
    if item["answer"] not in ("A", "B", "C", "D"):
        raise malformed(where, f"the answer '{item['answer'][:20]}' is none of A, B, C, D")
    values: dict[str, Any] = {"index": int(index)}
    for ours, theirs in _COLUMNS.items():
        text = item.get(theirs, "")
        values[ours] = "nan" if text in _MISSING else text
    if values["hint"] == "nan":
        values["hint"] = None  # lmms-eval's Chinese task asks "nan" otherwise
    return SourceRow(f"index {index}", where, values, (), _image(where, index, item, images))


def _image(where: str, index: str, item: dict[str, str], images: dict[str, bytes]) -> bytes:
    """Return a row's image; rows that show the same one share its bytes."""
    text = item["image"].strip()
    if len(text) <= _SHORTEST:
        if text not in images:
            raise malformed(where, f"its image is that of row '{text}', which stands not before it")
        images[index] = images[text]
        return images[index]
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise malformed(where, f"the image is no base64 ({error})") from error
    images[index] = images.setdefault(hashlib.sha256(data).hexdigest(), data)
    return images[index]


def _official(config: str, rows: int | None, hub: str) -> SourceFiles:
    return SourceFiles(
        fetch=(
            f"{_LISTS[config]}, which docs/Evaluation.md of https://github.com/haotian-liu/LLaVA "
            "links to",
        ),
        rows=rows,
        images=None,
        read=_read(_LISTS[config]),
        hub=hub,
    )


OFFICIAL = _official("en", 4377, "with the 4,329 rows of the hub")
OFFICIAL_CN = _official("cn", None, "with the rows of the hub")
