"""MMHal-Bench's official files: ``response_template.json`` and the images it names.

The hub's repository holds the template, with an entry for every question, and ``test_data.zip``,
which holds the images under the last part of their address (``image_src``). This was learnt from
the template and from loaders that others wrote for it; the archive itself could not be had.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from harness.benchmark import Files, Reading, SourceFiles, SourceRow, texts_of, value_of

_TEMPLATE = "response_template.json"
_HUB = "https://huggingface.co/datasets/Shengcao1006/MMHal-Bench"


def read(files: Files) -> Reading:
    """Read the template; an entry's place in it is its number."""
    rows = [_entry(index, *found) for index, found in enumerate(files.items(_TEMPLATE))]
    return Reading(rows)


def _entry(index: int, where: str, item: Any) -> SourceRow:
    image = value_of(item, "image_id", str, where)
    address = PurePosixPath(urlsplit(value_of(item, "image_src", str, where)).path).name
    values = {
        "question_id": str(index),
        **{
            name: value_of(item, name, str, where)
            for name in ("question_type", "question_topic", "question", "gt_answer")
        },
        "image_content": texts_of(item, "image_content", where),
        "image_id": image,
    }
    return SourceRow(image, where, values, (address, f"{image}.jpg"))


OFFICIAL = SourceFiles(
    fetch=(f"{_TEMPLATE} and test_data.zip, from {_HUB}",),
    rows=96,
    images=96,
    read=read,
)
