"""How many rows and images a benchmark has, found out without lmms-eval and without decoding."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.benchmark import (
    HUB,
    Benchmark,
    check_tables,
    configs_of,
    facts_of,
    local_folder,
    place_of,
    stored_rows,
    task_settings,
    yaml_file,
)

_ENOUGH = 1 << 30  # bytes of tables that are read for their images; more takes too long
_STATED = re.compile(r"([\d,]+) rows")
_IMAGES = ("image", "images", "image_1", "img")


@dataclass(frozen=True)
class Size:
    """Rows and images of a benchmark, and how they are known; ``None`` where they are not."""

    rows: int | None
    images: int | None
    source: str


def size_of(benchmark: Benchmark, data: str | Path, limit: int | None = None) -> Size:
    """Return the size of a benchmark on the data that a run would read.

    Tables are counted as they lie there; a task that leaves rows out has fewer. On the hub the
    number that the benchmark states is taken.

    Raises:
        UsageError: if the folder has no copy of the data set, or that is not whole.
    """
    found = Size(None, None, "unknown; measure a run and name it with --from")
    data = place_of(data, benchmark.task)
    tables = check_tables(benchmark.task, data)
    if tables is not None and tables.rows is not None:
        found = Size(tables.rows, _images(list(tables.files), limit), "counted in the data")
    elif str(data) == HUB:
        stated = _STATED.search(benchmark.source)
        if stated:
            found = Size(int(stated[1].replace(",", "")), None, "as the benchmark states")
    else:
        files = _tables(benchmark, Path(data))
        if files:
            rows, _, _ = facts_of(f"the data of {benchmark.name}", files)
            found = Size(rows, _images(files, limit), "counted in the data")
    if limit is None or found.rows is None or limit >= found.rows:
        return found
    known = found.images if str(data) != HUB else None
    return Size(limit, known, f"the first {limit} ({found.source})")


def _tables(benchmark: Benchmark, data: Path) -> list[Path]:
    config: Mapping[str, Any] = task_settings(yaml_file(benchmark.task))
    folder = local_folder(str(config["dataset_path"]), data)
    split = str(config.get("test_split") or config.get("validation_split") or "")
    every = sorted(folder.rglob("*.parquet"))
    mine = [file for file in every if re.match(rf"{re.escape(split)}[-.]", file.name)]
    named = set(configs_of(config))
    inside = [file for file in mine if named & set(file.relative_to(folder).parts[:-1])]
    plain = [file for file in mine if file.relative_to(folder).parts[:-1] in ((), ("data",))]
    return inside or plain or (mine if len({file.parent for file in mine}) == 1 else [])


def _images(files: list[Path], limit: int | None) -> int | None:
    """Count different images by their stored bytes, in the first ``limit`` rows."""
    if any(file.suffix != ".parquet" for file in files):
        return None
    if sum(file.stat().st_size for file in files) > _ENOUGH:
        return None
    seen: set[bytes] = set()
    for count, image in enumerate(_stored(files)):
        if limit is not None and count >= limit:
            break
        seen.add(image)
    return len(seen) or None


def _stored(files: list[Path]) -> Iterator[bytes]:
    for file in files:
        for row in stored_rows(file, lambda field: field.name in _IMAGES):
            value = next(row[name] for name in _IMAGES if name in row)
            parts = value if isinstance(value, list) else [value]
            total = hashlib.sha256()
            for part in parts:
                stored = part.get("bytes") if isinstance(part, Mapping) else part
                total.update(stored if isinstance(stored, bytes) else repr(stored).encode())
            yield total.digest()
