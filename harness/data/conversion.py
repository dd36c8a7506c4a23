"""Official files into the layout that ``--data`` reads: ``harness data convert``.

For benchmarks whose data the hub does not hold in the form their task reads. Everything is written
beside its place and renamed: a folder that is there is whole.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.benchmark import (
    Benchmark,
    Files,
    SourcePath,
    SourceRow,
    dataset_name,
    task_settings,
    yaml_file,
)
from harness.data.manifest import MADE, Mirrored, hashes_in, known_in, write_manifest
from harness.errors import HarnessError, UsageError, plain, some
from harness.records import IMAGE_FORMATS, fingerprint
from harness.storage import cannot_write, folder_digest, write_whole

_GROUP = 32
"""Rows that are held in memory, and read together later."""
_SHARED = 1 << 26
"""Bytes of different images in a group up to which rows that share one hold it once."""


@dataclass(frozen=True)
class Converted:
    """What was written.

    Attributes:
        benchmark: its name.
        folder: the data set's folder.
        rows: of its table.
        expected: rows that the authors' files hold.
        images: different images of those rows.
        size: of all files, in bytes.
        fingerprint: SHA-256 of the folder, which every result measured on it carries.
        missing: images that are absent or damaged, by file; their rows were left out.
        notes: what else a reader should know.
    """

    benchmark: str
    folder: Path
    rows: int
    expected: int
    images: int
    size: int
    fingerprint: str
    missing: tuple[str, ...]
    notes: tuple[str, ...]


def convert(benchmark: Benchmark, source: Path, out: Path, *, partial: bool = False) -> Converted:
    """Write a benchmark's data in the layout its task reads, from its authors' files.

    Args:
        benchmark: whose data it is.
        source: folder that holds the files, packed or unpacked.
        out: folder that ``--data`` then takes; the data set becomes a folder in it.
        partial: leave rows without an image out, and name them.

    Raises:
        UsageError: if the benchmark has no official files, one is not there, or the data set is
            there already.
        HarnessError: if a file is damaged, an image is missing, or the disk is full.
    """
    name, official = benchmark.name, benchmark.source_files
    if official is None:
        raise UsageError(
            f"There is nothing to convert for {name}: its task reads the data set as it is on the "
            f"hub. Fetch it with: harness data mirror --bench {name} DIR"
        )
    dataset = dataset_name(benchmark.task)
    folder = out / dataset.rsplit("/", 1)[-1]
    known = known_in(out)
    if folder.exists():
        raise UsageError(f"{folder} is there already. Remove it, or name another folder with --out")
    advice = f"See what to fetch with: harness data describe --bench {name}"
    with Files(source, advice) as files:
        reading = official.read(files)
        _check_keys(reading.rows)
        found, missing = _find_images(reading.rows, files)
        if missing and not partial:
            raise _absent(missing, len(reading.rows))
        beside = out / f".{folder.name}.new"
        try:
            shutil.rmtree(beside, ignore_errors=True)
            split = str(task_settings(yaml_file(benchmark.task))["test_split"])
            table = beside / "data" / f"{split}-00000-of-00001.parquet"
            rows, images = _write_table(table, found, files, missing, partial)
            for file, text in reading.lists.items():
                write_whole(beside / file, text)
            write_whole(beside / "README.md", _card(benchmark, split, table, files, missing))
            os.replace(beside, folder)
        except OSError as error:
            raise cannot_write(folder, error) from error
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        made = MADE + fingerprint(sorted(files.digests.items()))
    hashes = hashes_in(folder)
    write_manifest(out, {**known, folder.name: Mirrored(dataset, made, hashes)})
    return Converted(
        benchmark=name,
        folder=folder,
        rows=rows,
        expected=official.rows,
        images=images,
        size=sum(size for size, _ in hashes.values()),
        fingerprint=folder_digest(folder),
        missing=tuple(missing),
        notes=tuple(files.notes),
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


def _find_images(
    rows: Sequence[SourceRow], files: Files
) -> tuple[list[tuple[SourceRow, SourcePath | None]], list[str]]:
    found: list[tuple[SourceRow, SourcePath | None]] = []
    missing = []
    for row in rows:
        if not row.images:
            found.append((row, None))
            continue
        places = (files.find(name) for name in row.images)
        place = next((place for place in places if place is not None), None)
        if place is None:
            missing.append(plain(f"{row.images[0]} ({row.where})"))
        else:
            found.append((row, place))
    return found, missing


def _absent(missing: Sequence[str], rows: int) -> HarnessError:
    return HarnessError(
        f"{len(missing)} of {rows} images are not there: {some(missing)}. Fetch them, or leave "
        "their rows out with --partial."
    )


def _write_table(
    path: Path,
    found: Sequence[tuple[SourceRow, SourcePath | None]],
    files: Files,
    missing: list[str],
    partial: bool,
) -> tuple[int, int]:
    """Write the rows whose image can be decoded; return their number and that of the images."""
    import pyarrow as pa  # type: ignore[import-untyped]
    from pyarrow.parquet import ParquetWriter  # type: ignore[import-untyped]

    if not found:
        raise HarnessError("No row is left to write. Fetch the files again, with their images.")
    schema = _schema(found[0][0])
    path.parent.mkdir(parents=True)
    rows, seen = 0, set()
    checked: dict[str, str | None] = {}
    places = [str(place) for _, place in found if place is not None]
    shared = len(set(places)) < len(places)
    options = {"dictionary_pagesize_limit": _SHARED} if shared else {}
    with ParquetWriter(path, schema, **options) as writer:
        for start in range(0, len(found), _GROUP):
            group: list[dict[str, Any]] = []
            for row, place in found[start : start + _GROUP]:
                if place is None:
                    group.append({**row.values, "image": None})
                    continue
                data = files.image(place)
                if str(place) not in checked:
                    checked[str(place)] = _damage(data)
                reason = checked[str(place)]
                if reason is not None and not partial:
                    raise HarnessError(
                        f"The image {place} of {row.where} cannot be decoded ({reason}). Fetch it "
                        "again, or leave its row out with --partial."
                    )
                if reason is not None:
                    missing.append(plain(f"{row.images[0]} ({row.where}): {reason}"))
                    continue
                group.append({**row.values, "image": {"bytes": data, "path": row.images[0]}})
                seen.add(hashlib.sha256(data).digest())
            rows += len(group)
            writer.write_table(pa.Table.from_pylist(group, schema=schema))
    return rows, len(seen)


def _schema(row: SourceRow) -> Any:
    """Return the table's columns, with the note by which ``datasets`` decodes images."""
    from datasets import Features, Image, List, Value

    kinds = {str: Value("string"), int: Value("int64"), tuple: List(Value("string"))}
    columns = {name: kinds[type(value)] for name, value in row.values.items()}
    return Features({**columns, "image": Image()}).arrow_schema


def _damage(data: bytes) -> str | None:
    """Say why bytes are no image; ``None`` if they are one."""
    import PIL.Image

    try:
        with PIL.Image.open(io.BytesIO(data), formats=IMAGE_FORMATS) as image:
            image.load()
    except PIL.UnidentifiedImageError:
        return "no image of a known format"
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as error:
        return str(error)
    return None


def _card(
    benchmark: Benchmark, split: str, table: Path, files: Files, missing: Sequence[str]
) -> str:
    """Write what ``datasets`` needs to know, and what the data set was made from."""
    digest = hashlib.sha256(table.read_bytes()).hexdigest()[:16]
    lines = ["---", "configs:", "- config_name: default", f"  description: tables {digest}"]
    lines += ["  data_files:", f"  - split: {split}", f"    path: data/{table.name}", "---", ""]
    lines += [f"# {benchmark.title}", "", f"Licence: {benchmark.licence}", ""]
    lines += [f"Made by `harness data convert {benchmark.name}` from:", ""]
    lines += [f"- {name}, sha256 {digest}" for name, digest in sorted(files.digests.items())]
    if missing:
        lines += ["", "Rows left out, because their image is absent or damaged:", ""]
        lines += [f"- {text}" for text in missing]
    return "\n".join(lines) + "\n"
