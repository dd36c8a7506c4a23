"""Files into the layout that ``--data`` reads: ``harness data convert``.

They are those that a benchmark's authors publish, or tables with the columns of its task and images
beside them. Everything is written beside its place and renamed: a folder that is there is whole.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.benchmark import (
    Benchmark,
    Files,
    Reading,
    SourceFiles,
    SourcePath,
    SourceRow,
    Task,
    configs_of,
    dataset_name,
    read_columns,
    task_settings,
    yaml_file,
)
from harness.benchmark import benchmark as find
from harness.data.any_form import rows_in_any_form
from harness.data.sources import MADE, Mirrored, hashes_in, known_in, write_manifest
from harness.errors import HarnessError, UsageError, plain, reason_of, some
from harness.records import IMAGE_FORMATS, fingerprint
from harness.storage import cannot_write, folder_digest, write_whole

_GROUP = 32
"""Rows that are held in memory, and read together later."""
_LARGEST = 1 << 28
"""Bytes of a table that is looked for among authors' files; Visual Genome's lists are larger."""
_SHARED = 1 << 26
"""Bytes of different images in a group up to which rows that share one hold it once."""


_Found = list[tuple[SourceRow, SourcePath | None]]


@dataclass(frozen=True)
class Converted:
    """What was written.

    ``expected`` are the rows that the authors' files hold, if that is known; ``fingerprint`` is
    what every result measured on it carries; rows of ``missing`` images were left out.
    """

    benchmark: str
    folder: Path
    rows: int
    expected: int | None
    images: int
    size: int
    fingerprint: str
    missing: tuple[str, ...]
    notes: tuple[str, ...]


def convert(benchmark: Benchmark, source: Path, out: Path, *, partial: bool = False) -> Converted:
    """Write a benchmark's data in the layout its task reads.

    Args:
        benchmark: whose data it is.
        source: folder or zip archive that holds its authors' files, packed or unpacked, or tables
            in another form (:mod:`harness.data.any_form`).
        out: folder that ``--data`` then takes; the data set becomes a folder in it.
        partial: leave rows without an image out, and name them.

    Raises:
        UsageError: if files are not there or do not fit, or the data set is there already.
        HarnessError: if a file is damaged, an image is missing, or the disk is full.
    """
    name = benchmark.name
    dataset = dataset_name(benchmark.task)
    folder = out / dataset.rsplit("/", 1)[-1]
    known = known_in(out)
    if folder.exists():
        raise UsageError(f"{folder} is there already. Remove it, or name another folder with --out")
    advice = f"See what to fetch with: harness data describe --bench {name}"
    with Files(source, advice) as files:
        reading, official = _read(benchmark, files)
        if official is not None and official.by is not None:
            benchmark = find(official.by)
        _check_keys(reading.rows)
        found, missing = _find_images(reading.rows, files)
        if missing and not partial:
            raise HarnessError(
                f"{len(missing)} of {len(reading.rows)} images are not there: {some(missing)}. "
                "Fetch them, or leave their rows out with --partial."
            )
        made_in = out / f".{folder.name}.new"
        beside = made_in / folder.name
        try:
            shutil.rmtree(made_in, ignore_errors=True)
            split = str(task_settings(yaml_file(benchmark.task))["test_split"])
            schema = _schema([row for row, _ in found], reading.mixed)
            parts = _parts(reading, found)
            tables = [beside / "data" / f"{part or split}-00000-of-00001.parquet" for part in parts]
            rows, seen = 0, set[bytes]()
            for table, part in zip(tables, parts.values(), strict=True):
                rows += _write_table(table, schema, part, files, missing, partial, seen)
            named = _named(reading, list(parts), tables)
            for file, text in reading.lists.items():
                write_whole(beside / file, text)
            write_whole(beside / "README.md", _card(benchmark, split, named, files, missing))
            if reading.mixed:
                _try(benchmark, made_in)
            os.replace(beside, folder)
        except OSError as error:
            raise cannot_write(folder, error) from error
        finally:
            shutil.rmtree(made_in, ignore_errors=True)
        made = MADE + fingerprint(sorted(files.digests.items()))
    hashes = hashes_in(folder)
    write_manifest(out, {**known, folder.name: Mirrored(dataset, made, hashes)})
    return Converted(
        benchmark=benchmark.name,
        folder=folder,
        rows=rows,
        expected=None if official is None else official.rows,
        images=len(seen),
        size=sum(size for size, _ in hashes.values()),
        fingerprint=folder_digest(folder),
        missing=tuple(missing),
        notes=tuple(files.notes),
    )


def _read(benchmark: Benchmark, files: Files) -> tuple[Reading, SourceFiles | None]:
    """Read the authors' files and say what they are, or else tables in any form."""
    official = benchmark.source_files
    if official is None:
        found = rows_in_any_form(benchmark, files)
        if found is None:
            wanted = read_columns(benchmark.task)
            form = f"the columns {', '.join(wanted)} and one 'image'" if wanted else "known columns"
            raise UsageError(
                f"There is nothing to convert for {benchmark.name}: no table has "
                f"{form}, and its authors' files are not read. Fetch its data set with: "
                f"harness data mirror --bench {benchmark.name} DIR"
            )
        return found, None
    try:
        return official.read(files), official
    except UsageError:  # a list is not there
        found = rows_in_any_form(benchmark, files, _LARGEST)
        if found is None:
            raise
        return found, None


def _try(benchmark: Benchmark, data: Path) -> None:
    """Read the first row as an evaluation does."""
    try:
        problem = next(Task(benchmark.task, data).rows(0, 1)).problem
    except UsageError as error:
        problem = reason_of(error.__cause__ or error)
    if problem is not None:
        raise UsageError(
            f"The rows do not have the form that {benchmark.name} reads: {problem}. Nothing was "
            "written. See what its data set looks like with: harness data describe --bench "
            f"{benchmark.name}"
        )


def _check_keys(rows: Sequence[SourceRow]) -> None:
    first: dict[str, str] = {}
    for row in rows:
        if row.key in first:
            raise HarnessError(
                f"{row.where}: {row.key} was in {first[row.key]} already. Every row is there once; "
                "fetch the files again."
            )
        first[row.key] = row.where


def _find_images(rows: Sequence[SourceRow], files: Files) -> tuple[_Found, list[str]]:
    found: _Found = []
    missing = []
    for row in rows:
        if row.data is not None or not row.images:
            found.append((row, None))
            continue
        places = (files.find(name) for name in row.images)
        place = next((place for place in places if place is not None), None)
        if place is None:
            missing.append(plain(f"{row.images[0]} ({row.where})"))
        else:
            found.append((row, place))
    return found, missing


def _write_table(
    path: Path,
    schema: Any,
    found: _Found,
    files: Files,
    missing: list[str],
    partial: bool,
    seen: set[bytes],
) -> int:
    """Write the rows whose image can be decoded; return their number, and note the images."""
    import pyarrow as pa  # type: ignore[import-untyped]
    from pyarrow.parquet import ParquetWriter  # type: ignore[import-untyped]

    path.parent.mkdir(parents=True, exist_ok=True)
    rows = 0
    checked: dict[str, str | None] = {}
    shown = [place or id(row.data) for row, place in found if place or row.data]
    shared = len(set(shown)) < len(shown)
    options = {"dictionary_pagesize_limit": _SHARED} if shared else {}
    with ParquetWriter(path, schema, **options) as writer:
        for start in range(0, len(found), _GROUP):
            group: list[dict[str, Any]] = []
            for row, place in found[start : start + _GROUP]:
                if place is None and row.data is None:
                    group.append({**row.values, "image": None})
                    continue
                data = files.image(place) if place is not None else row.data or b""
                name = row.images[0] if row.images else None
                key = str(place or id(row.data))
                if key not in checked:
                    checked[key] = _damage(data)
                reason = checked[key]
                if reason is not None and not partial:
                    raise HarnessError(
                        f"The image {place or name or ''} of {row.where} cannot be decoded "
                        f"({reason}). Fetch it again, or leave its row out with --partial."
                    )
                if reason is not None:
                    missing.append(plain(f"{name} ({row.where}): {reason}"))
                    continue
                group.append({**row.values, "image": {"bytes": data, "path": name}})
                seen.add(hashlib.sha256(data).digest())
            rows += len(group)
            writer.write_table(pa.Table.from_pylist(group, schema=schema))
    return rows


def _schema(rows: Sequence[SourceRow], mixed: bool) -> Any:
    """Return the table's columns, with the note by which ``datasets`` decodes images."""
    import pyarrow as pa
    from datasets import Features, Image, List, Value

    if not rows:
        raise HarnessError("No row is left to write. Fetch the files again, with their images.")
    if not mixed:
        kinds = {str: Value("string"), int: Value("int64"), tuple: List(Value("string"))}
        columns = {name: kinds[type(value)] for name, value in rows[0].values.items()}
        return Features({**columns, "image": Image()}).arrow_schema
    names = list(dict.fromkeys(name for row in rows for name in row.values))
    found = {}
    for name in names:
        try:
            found[name] = pa.array([row.values.get(name) for row in rows]).type
        except (pa.ArrowException, OverflowError) as error:
            held = {type(row.values.get(name)).__name__: row.where for row in rows}
            shown = "; ".join(f"{kind} in {where}" for kind, where in held.items())
            raise UsageError(
                f"The column '{name}' holds values of several kinds: {shown}. Nothing was written. "
                "Give it one kind in every row."
            ) from error
    columns = Features.from_arrow_schema(pa.schema(list(found.items())))
    return Features({**columns, "image": Image()}).arrow_schema


def _damage(data: bytes) -> str | None:
    """Say why bytes are no image; ``None`` if they are one."""
    import PIL.Image

    try:
        with PIL.Image.open(io.BytesIO(data), formats=IMAGE_FORMATS) as image:
            image.load()
    except PIL.UnidentifiedImageError:
        return "no image of a known format"
    except Exception as error:  # Pillow's readers raise many kinds
        return str(error)
    return None


def _parts(reading: Reading, found: _Found) -> dict[str, _Found]:
    """Return the rows of each table: all of them, or those of each value that sets them apart."""
    if reading.apart is None:
        return {"": found}
    parts: dict[str, _Found] = {}
    for row, place in found:
        parts.setdefault(str(row.values[reading.apart[0]]), []).append((row, place))
    return parts


def _named(
    reading: Reading, parts: Sequence[str], tables: Sequence[Path]
) -> dict[str | None, dict[str, Sequence[Path]]]:
    """Return the tables of each split and config; the task's own split and config are ``None``."""
    named: dict[str | None, dict[str, Sequence[Path]]] = {None: {"": tables}}
    if reading.apart is not None:
        named[reading.apart[1]] = {part: [table] for part, table in zip(parts, tables, strict=True)}
    return named


def _card(
    benchmark: Benchmark,
    split: str,
    named: Mapping[str | None, Mapping[str, Sequence[Path]]],
    files: Files,
    missing: Sequence[str],
) -> str:
    """Write what ``datasets`` needs to know, and what the data set was made from."""
    digests = [hashlib.sha256(table.read_bytes()).digest() for table in named[None][""]]
    digest = (
        digests[0].hex() if len(digests) == 1 else hashlib.sha256(b"".join(digests)).hexdigest()
    )
    (config, *_) = configs_of(task_settings(yaml_file(benchmark.task)))
    lines = ["---", "configs:"]
    for name, splits in named.items():
        lines += [f"- config_name: {name or config or 'default'}"]
        lines += [f"  description: tables {digest[:16]}", "  data_files:"]
        for part, tables in splits.items():
            several = len(tables) > 1
            paths = [f"    - data/{t.name}" if several else f" data/{t.name}" for t in tables]
            lines += [f"  - split: {part or split}", "    path:" + ("" if several else paths[0])]
            lines += paths if several else []
    lines += ["---", "", f"# {benchmark.title}", "", f"Licence: {benchmark.licence}", ""]
    lines += [f"Made by `harness data convert {benchmark.name}` from:", ""]
    lines += [f"- {name}, sha256 {digest}" for name, digest in sorted(files.digests.items())]
    if missing:
        lines += ["", "Rows left out, because their image is absent or damaged:", ""]
        lines += [f"- {text}" for text in missing]
    return "\n".join(lines) + "\n"
