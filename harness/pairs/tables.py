"""Rows of a file or folder, whatever it is: JSON lines, a JSON array, CSV, Parquet, Arrow.

Folders are those that ``datasets`` saves, and those that it publishes. Everything is read without
``datasets`` and row by row: no code of a data set runs, and no table has to fit into memory.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from harness.benchmark import BrokenListError, check_files, list_items, tables_below
from harness.errors import HarnessError, UsageError, plain
from harness.storage import check_depth, open_regular, parse_json, read_json

_CHUNK = 1 << 20
_ROWS = 64
_LARGEST_CELL = 1 << 24  # characters of one field in a CSV table
_TRAIN = re.compile(r"(^|[-_./])train(ing)?([-_./]|$)", re.IGNORECASE)
_AROUND = ("data", "rows", "examples", "train")
_CARDS = ("dataset_info.json", "dataset_infos.json", "state.json", "dataset_dict.json")


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row of a table.

    Attributes:
        number: of its line in a text file, else its position; from 1.
        where: the same in words.
        values: by column; ``None`` where the row is broken.
        problem: why it is broken.
    """

    number: int
    where: str
    values: Mapping[str, Any] | None
    problem: str = ""


def located(name: str | Path, option: str) -> Path:
    """Return the file or folder that an option names.

    Raises:
        UsageError: if it is not there, or lies on the hub.
    """
    if str(name).startswith("hub:"):
        hub = str(name)[4:]
        raise UsageError(
            f"{option} {name} would be read from the hub, which is not done here. Fetch it once "
            f"with: hf download {hub} --repo-type dataset --local-dir DIR, then give {option} DIR"
        )
    path = Path(name)
    if not path.exists():
        raise UsageError(
            f"There is no file or folder {path} for {option}. It takes JSON lines, a JSON array, "
            "CSV, Parquet, Arrow or a folder of a data set; docs/pairs.md lists the forms."
        )
    return path


def rows_of(path: Path, *, images: bool = True) -> Iterator[TableRow]:
    """Yield the rows of a table, in order.

    Args:
        path: a file, or the folder of a data set; of its splits the one named ``train`` is read.
        images: whether the bytes of image files in the table are read too.

    Raises:
        UsageError: if it is no table, or it is not clear which of several is meant.
    """
    files = tables_of(path)
    check_files(f"the data set {path}", files)
    before = 0
    for file in files:
        last = before
        for row in _rows(file, images):
            last = before + row.number
            if before:
                row = TableRow(last, f"{row.where} of {file.name}", row.values, row.problem)
            yield row
        before = last


def tables_of(path: Path) -> list[Path]:
    """Return the files whose rows :func:`rows_of` reads.

    Raises:
        UsageError: if there is none, or it is not clear which of several is meant.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UsageError(f"{path} is neither a file nor a folder. Name a table.")
    if (path / "dataset_dict.json").is_file():
        splits = _card(path / "dataset_dict.json").get("splits")
        return tables_of(path / _split(path, splits if isinstance(splits, list) else []))
    if (path / "state.json").is_file():
        listed = _card(path / "state.json").get("_data_files")
        entries = listed if isinstance(listed, list) else []
        names = [str(each.get("filename")) for each in entries if isinstance(each, dict)]
        files = [path / name for name in names if name == Path(name).name]
        if files and all(file.is_file() for file in files):
            return files
        raise UsageError(f"{path} is not whole: not all files that its state.json names are there.")
    found = [file for file in tables_below(path) if file.name not in _CARDS]
    train = [file for file in found if _TRAIN.search(str(file.relative_to(path)))]
    chosen = train or found
    stems = {re.sub(r"[-_.]?\d+(-of-\d+)?$", "", file.stem) for file in chosen}
    if not chosen or len(stems) > 1:
        some = ", ".join(plain(str(file.relative_to(path))) for file in chosen[:5])
        raise UsageError(
            f"The folder {path} holds {f'several tables ({some} ...)' if chosen else 'no table'}. "
            "Name the file itself."
        )
    return chosen


def _card(path: Path) -> dict[str, Any]:
    try:
        card = read_json(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}. Save the data set again.") from error
    return card if isinstance(card, dict) else {}


def _split(path: Path, splits: list[Any]) -> str:
    names = [name for name in splits if isinstance(name, str) and name == Path(name).name]
    chosen = "train" if "train" in names else names[0] if len(names) == 1 else None
    if chosen is None:
        told = ", ".join(map(plain, names)) or "none"
        raise UsageError(f"{path} has no split train; it has: {told}. Name the split's folder.")
    return chosen


def _rows(path: Path, images: bool) -> Iterator[TableRow]:
    try:
        with open_regular(path) as file:
            start = file.read(8)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error}.") from error
    if start[:4] == b"PAR1":
        yield from _parquet(path, images)
    elif start[:6] == b"ARROW1" or path.suffix == ".arrow":
        yield from _arrow(path, stream=start[:6] != b"ARROW1")
    elif path.suffix in (".csv", ".tsv"):
        yield from _csv(path, "\t" if path.suffix == ".tsv" else ",")
    else:
        yield from _json(path)


def _parquet(path: Path, images: bool) -> Iterator[TableRow]:
    from pyarrow import ArrowException  # type: ignore[import-untyped]
    from pyarrow.parquet import ParquetFile  # type: ignore[import-untyped]

    try:
        with ParquetFile(path) as table:
            names = _columns(table.schema, images)
            batches = table.iter_batches(batch_size=_ROWS, columns=names)
            yield from _numbered(batches)
    except (ArrowException, OSError, ValueError) as error:
        raise _no_table(path, error) from error


def _arrow(path: Path, *, stream: bool) -> Iterator[TableRow]:
    from pyarrow import ArrowException, ipc, memory_map

    try:
        with memory_map(str(path)) as source:
            reader = ipc.open_stream(source) if stream else ipc.open_file(source)
            batches = (
                reader
                if stream
                else (reader.get_batch(at) for at in range(reader.num_record_batches))
            )
            yield from _numbered(
                part.slice(at, _ROWS) for part in batches for at in range(0, part.num_rows, _ROWS)
            )
    except (ArrowException, OSError, ValueError) as error:
        raise _no_table(path, error) from error


def _numbered(batches: Any) -> Iterator[TableRow]:
    number = 0
    for batch in batches:
        for values in batch.to_pylist():
            number += 1
            yield TableRow(number, f"row {number}", values)


def _columns(schema: Any, images: bool) -> list[str]:
    """Return the parts of columns to be read: without images, of an embedded file its path alone.

    So a row says how many images it has without their bytes.
    """
    paths = [schema.column(at).path for at in range(len(schema))]
    known = set(paths)
    beside = {
        path: f"{path.removesuffix('bytes')}path" for path in paths if path.endswith(".bytes")
    }
    return [path for path in paths if images or beside.get(path) not in known]


def _no_table(path: Path, error: Exception) -> UsageError:
    reason = plain((str(error).splitlines() or [""])[0])[:200]
    return UsageError(f"{path} cannot be read as a table: {reason}. Fetch or write it again.")


def _csv(path: Path, delimiter: str) -> Iterator[TableRow]:
    before = csv.field_size_limit(_LARGEST_CELL)
    try:
        with open_regular(path) as file:
            reader = csv.reader(codecs.iterdecode(file, "utf-8-sig"), delimiter=delimiter)
            head: list[str] | None = None
            for cells in reader:
                line = reader.line_num
                if head is None:
                    head = [cell.strip() for cell in cells]
                elif len(cells) == len(head):
                    values = {name: cell or None for name, cell in zip(head, cells, strict=True)}
                    yield TableRow(line, f"line {line}", values)
                elif cells:
                    told = f"{len(cells)} columns, where the first line names {len(head)}"
                    yield TableRow(line, f"line {line}", None, told)
    except (csv.Error, OSError, UnicodeDecodeError) as error:
        raise _no_table(path, error) from error
    finally:
        csv.field_size_limit(before)


def _json(path: Path) -> Iterator[TableRow]:
    with open_regular(path) as file:
        lines = [line for line in _lines(file, 2) if line]
    first = lines[0] if lines else b""
    if path.suffix in (".jsonl", ".ndjson") or any(map(_is_row, lines)):
        yield from _json_lines(path)
    elif first.startswith(b"["):
        yield from _json_list(path)
    elif first.startswith(b"{"):
        yield from _json_document(path)
    else:
        raise UsageError(
            f"{path} is no table: it begins with {plain(repr(first[:20]))}. It may be JSON lines, "
            "a JSON array, CSV (named .csv), Parquet or Arrow."
        )


def _lines(file: IO[bytes], most: int) -> Iterator[bytes]:
    """Yield the first lines that are not empty."""
    while most and (line := file.readline(_CHUNK << 4)):
        if line := line.removeprefix(codecs.BOM_UTF8).strip():
            most -= 1
            yield line


def _is_row(line: bytes) -> bool:
    """Whether a line is an object, and not one around all the rows."""
    try:
        values = parse_json(line)
    except ValueError:
        return False
    return isinstance(values, dict) and not any(
        isinstance(values.get(key), list) for key in _AROUND
    )


def _json_lines(path: Path) -> Iterator[TableRow]:
    with open_regular(path) as file:
        for number, raw in enumerate(file, start=1):
            where = f"line {number}"
            try:
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                values = parse_json(text) if text else None
            except UnicodeDecodeError as error:
                yield TableRow(number, where, None, f"it is not UTF-8 text ({error.reason})")
            except ValueError as error:
                yield TableRow(number, where, None, f"it is not JSON ({error})")
            else:
                if isinstance(values, dict):
                    yield TableRow(number, where, values)
                elif text:
                    yield TableRow(number, where, None, "it is not a JSON object")


def _json_list(path: Path) -> Iterator[TableRow]:
    def chunks(file: IO[bytes]) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8-sig")()
        while data := file.read(_CHUNK):
            yield decoder.decode(data)
        yield decoder.decode(b"", final=True)

    try:
        with open_regular(path) as file:
            for number, (_, values) in enumerate(list_items(chunks(file)), start=1):
                check_depth(values)
                where = f"entry {number}"
                if isinstance(values, dict):
                    yield TableRow(number, where, values)
                else:
                    yield TableRow(number, where, None, "it is not a JSON object")
    except BrokenListError as error:
        raise HarnessError(
            f"Line {error.line} of {path} is no valid JSON ({error.reason}). Repair the file and "
            "run again."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise _no_table(path, error) from error


def _json_document(path: Path) -> Iterator[TableRow]:
    """Read one object whose only list of objects holds the rows, such as ``{"data": [...]}``."""
    try:
        document = read_json(path)
    except (OSError, ValueError) as error:
        raise _no_table(path, error) from error
    lists = [
        value
        for value in (document.values() if isinstance(document, dict) else ())
        if isinstance(value, list) and value and all(isinstance(each, dict) for each in value)
    ]
    if len(lists) != 1:
        keys = ", ".join(map(plain, document)) if isinstance(document, dict) else "none"
        raise UsageError(
            f"{path} holds one JSON object, in which {len(lists)} lists could be the rows (its "
            f"keys: {keys[:200]}). Write the rows as JSON lines or as one array."
        )
    for number, values in enumerate(lists[0], start=1):
        yield TableRow(number, f"entry {number}", values)
