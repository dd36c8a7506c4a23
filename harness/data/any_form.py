"""A data set in another form than its task reads: tables or lists, with images in files.

The columns are those of the task; ``image`` holds the image, its name among the files, or its bytes
in base64. Tables may be JSON, JSON lines, text, Parquet or Arrow, in folders or zip archives, such
as ``save_to_disk`` writes them and the hub's cache keeps them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.benchmark import (
    Benchmark,
    Files,
    Reading,
    SourcePath,
    SourceRow,
    check_shards,
    configs_of,
    read_columns,
    task_settings,
    yaml_file,
)
from harness.data.tables import is_read, records_of
from harness.errors import HarnessError, UsageError, some

IMAGE = "image"
_NAMED = "file_name"  # as the lists of image folders call it
_SHORTEST = 400  # letters of an image in base64; a file's name is shorter
_SHOWN = 3

_Table = list[tuple[str, Mapping[str, Any]]]


def rows_in_any_form(benchmark: Benchmark, files: Files, most: int | None = None) -> Reading | None:
    """Read the rows of a benchmark; ``None`` where no table has the columns that its task reads.

    Files of more than ``most`` bytes are not looked at: what authors publish beside may be large.
    """
    wanted = set(read_columns(benchmark.task))
    if not wanted:
        return None
    wanted.add(IMAGE)
    found: dict[SourcePath, _Table] = {}
    damaged: list[HarnessError] = []
    for place in files.every():
        if is_read(Path(place.parts[-1])) and (most is None or place.size <= most):
            data = files.image(place)
            try:
                table = list(records_of(Path(str(place)), data, _in_whole))
            except HarnessError as error:
                damaged.append(error)
                continue
            names = {str(name) for _, record in table for name in record}
            if table and wanted <= (names | {IMAGE} if _NAMED in names else names):
                found[place] = table
                files.digests[files.within(place)] = hashlib.sha256(data).hexdigest()
    if not found and damaged:
        raise damaged[0]
    chosen = _of_split(benchmark, files, list(found)) if found else []
    rows = [
        _row(f"{place.parts[-1]} {at}", where, record)
        for place in chosen
        for at, (where, record) in enumerate(found[place])
    ]
    return Reading(rows, mixed=True) if rows else None


def _in_whole(found: Any) -> Sequence[Any]:
    """Return the records of a JSON file that is one value: in its one list, or by their ids."""
    if not isinstance(found, Mapping):
        return []
    listed = [value for value in found.values() if isinstance(value, list)]
    if len(listed) == 1:
        return [one for one in listed[0] if isinstance(one, Mapping)]
    if all(isinstance(value, Mapping) for value in found.values()):
        return [{"id": name, **value} for name, value in found.items()]
    return []


def _of_split(
    benchmark: Benchmark, files: Files, places: Sequence[SourcePath]
) -> Sequence[SourcePath]:
    """Return the tables of the split and config of the task, by the words of their paths."""
    settings = task_settings(yaml_file(benchmark.task))
    words = [str(settings.get("test_split") or ""), *filter(None, configs_of(settings))]
    for word in words:
        named = [one for one in places if word in re.split(r"[^A-Za-z]+", files.within(one))]
        places = named or places
    if len(places) > 1:
        stems = {re.sub(r"\d{5}-of", "-of", str(place)) for place in places}
        if len(stems) > 1 or "-of-" not in min(stems):
            raise UsageError(
                f"{len(places)} tables have the columns that {benchmark.name} reads: "
                f"{some(list(map(str, places)), most=_SHOWN)}. Leave the one with its rows, or "
                f"call that one after the split {words[0]}."
            )
    check_shards("the data set", [Path(files.within(place)) for place in places])
    return places


def _row(key: str, where: str, record: Mapping[str, Any]) -> SourceRow:
    values = {str(name): value for name, value in record.items() if name not in (IMAGE, _NAMED)}
    image: Any = record.get(IMAGE, record.get(_NAMED))
    held = isinstance(image, Mapping)
    name, data = (image.get("path"), image.get("bytes")) if held else (image, None)
    if isinstance(name, str) and len(name) > _SHORTEST:
        try:
            data = base64.b64decode(name.rpartition("base64,")[2], validate=True)
        except binascii.Error as error:
            raise UsageError(
                f"{where}: the image is neither a name nor base64 ({error})."
            ) from error
        name = None
    if not isinstance(name, str | None) or not isinstance(data, bytes | None):
        raise UsageError(
            f"{where}: the image is given as {type(name).__name__}. Name one file in the column "
            f"'{IMAGE}', or put the image there in base64."
        )
    return SourceRow(key, where, values, (name,) if name else (), data)
