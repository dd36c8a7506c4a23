"""What ``harness data verify`` finds in a folder beside its hashes: whole, readable, fit to ask."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.benchmark import (
    benchmark,
    check_files,
    check_tables,
    dataset_name,
    facts_of,
    stored_rows,
    tables_below,
)
from harness.errors import HarnessError, UsageError
from harness.plugins import names
from harness.records import IMAGE_FORMATS, distinct

_DEEP = ("I", "F")  # Pillow's modes of more than 8 bits a channel begin so


@dataclass(frozen=True)
class Inspection:
    """What was found: benchmarks that are fit to be asked, problems, and what does not hinder."""

    tables: int
    benchmarks: tuple[str, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def inspect(folder: Path) -> Inspection:
    """Look at every table below a folder that ``--data`` takes, and ask each benchmark's task.

    Images are counted by their headers; none is decoded.
    """
    problems: list[str] = []
    notes: list[str] = []
    tables = 0
    for data in sorted(path for path in folder.glob("[!.]*") if path.is_dir()):
        groups: dict[Path, list[Path]] = {}
        for path in tables_below(data):
            groups.setdefault(path.parent, []).append(path)
        for files in groups.values():
            tables += len(files)
            where = f"the data set {data}"
            try:
                check_files(where, files)
                for file in files:
                    notes += facts_of(f"{file}", [file])[2]
                    notes += _deep_images(file)
            except UsageError as error:
                problems.append(str(error))
    whole = []
    for name in names("benchmarks"):
        bench = benchmark(name)
        if _is_there(dataset_name(bench.task), folder):
            try:
                if check_tables(bench.task, folder) is not None:
                    whole.append(name)
            except HarnessError as error:
                problems.append(str(error))
    return Inspection(tables, tuple(whole), distinct(problems), distinct(notes))


def _is_there(name: str, folder: Path) -> bool:
    """Say whether a data set is there in any form, if only in one that is refused."""
    bare = name.rsplit("/", 1)[-1]
    cached = f"datasets--{name.replace('/', '--')}"
    return any((folder / each).exists() for each in (bare, f"{bare}.zip", cached))


def _deep_images(file: Path) -> list[str]:
    if file.suffix != ".parquet":
        return []
    import PIL.Image

    deep, broken, first = 0, 0, None
    for row, data in _images(file):
        try:
            with PIL.Image.open(io.BytesIO(data), formats=IMAGE_FORMATS) as image:
                if image.mode.startswith(_DEEP):
                    deep, first = deep + 1, row if first is None else first
        except Exception:  # Pillow's readers raise many kinds; decoding would fail as well
            broken += 1
    found = []
    if deep:
        found.append(
            f"{deep} images of {file} have more than 8 bits a channel (first in row {first}); "
            "models cannot be shown them as they are. Convert them to 8 bits"
        )
    if broken:
        found.append(f"{broken} images of {file} are of no known format; their rows will fail")
    return found


def _images(file: Path) -> Iterator[tuple[int, bytes]]:
    import pyarrow  # type: ignore[import-untyped]

    def holds_files(field: Any) -> bool:
        kind = field.type
        return bool(pyarrow.types.is_struct(kind)) and kind.get_field_index("bytes") >= 0

    for row, values in enumerate(stored_rows(file, holds_files)):
        for value in values.values():
            if isinstance(value, Mapping) and isinstance(value.get("bytes"), bytes):
                yield row, value["bytes"]
