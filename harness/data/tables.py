"""Records of files that are tables or lists: JSON, JSON lines, text tables, sheets, Parquet, Arrow.

The one reader of all that is scored, imported or converted. The first bytes say what a file is,
whatever it is called; one that ends in ``.gz`` is unpacked while it is read. A damaged file is one
sentence.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, UsageError, some
from harness.storage import parse_json, read_bytes

ENDINGS = (".jsonl", ".json", ".csv", ".tsv", ".xlsx", ".parquet", ".arrow")
Placed = Iterator[tuple[str, Mapping[str, Any]]]
"""Where a record stands, as file and line, and its values by column."""
_UNPACKED = 1 << 30  # bytes of a file that was packed
_MERGED = re.compile(rb'<mergeCell ref="([A-Z]+)(\d+):([A-Z]+)(\d+)"')
_SHOWN = 60  # letters of a line that cannot be read


def is_read(path: Path) -> bool:
    """Say whether a file's name is that of a table or list that is read."""
    return _ending(path) in ENDINGS


def placed_records(path: Path, whole: Callable[[Any], Iterable[Any]]) -> Placed:
    """Yield the records of a file, each with its place.

    ``whole`` returns those of a JSON file that is one value and no list.

    Raises:
        UsageError: if the file is of another kind.
        HarnessError: if it is damaged.
    """
    if not is_read(path):
        raise UsageError(
            f"{path} is not read: it ends in '{path.suffix}'. Name a file that ends in "
            f"{', '.join(ENDINGS)}, each also with .gz; a pickle is never opened."
        )
    try:
        data = read_bytes(path)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    yield from records_of(path, data, whole)


def records_of(path: Path, data: bytes, whole: Callable[[Any], Iterable[Any]]) -> Placed:
    """Yield the records of a file that has been read; see :func:`placed_records`."""
    ending = _ending(path)
    try:
        if path.suffix.lower() == ".gz":
            data = _unpacked(data)
        if data.startswith(b"PK\x03\x04"):
            yield from _sheet(path, data)
        elif data.startswith(b"PAR1"):
            yield from _parquet(path, data)
        elif data.startswith((b"\xff\xff\xff\xff", b"ARROW1")):
            yield from _arrow(path, data)
        elif ending in (".xlsx", ".parquet", ".arrow"):
            raise ValueError(f"it is no {ending} file")
        elif ending in (".csv", ".tsv"):
            yield from _text_table(path, _text(path, data), "\t" if ending == ".tsv" else ",")
        elif ending == ".json" or data.lstrip()[:1] == b"[":
            yield from _json(path, _text(path, data), whole)
        else:
            yield from _lines(path, _text(path, data))
    except (UsageError, HarnessError):
        raise
    except Exception as error:  # a damaged zip, foreign XML, a file that is cut short ...
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> HarnessError:
    return HarnessError(
        f"{path} cannot be read ({type(error).__name__}: {error}). Copy it again from where it was "
        "made."
    )


def plain_cell(value: Any) -> str:
    """Return a cell as text; a spreadsheet turns whole numbers into decimals."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)


def _ending(path: Path) -> str:
    return Path(path.stem if path.suffix.lower() == ".gz" else path.name).suffix.lower()


def _unpacked(data: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
        data = packed.read(_UNPACKED + 1)
    _refuse_large(len(data))
    return data


def _refuse_large(size: int) -> None:
    if size > _UNPACKED:
        raise ValueError(f"it unpacks to more than {_UNPACKED} bytes")


def _text(path: Path, data: bytes) -> str:
    encoding = json.detect_encoding(data)  # by its mark, or by the zeros of UTF-16
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = 1 + error.object[: error.start].count(b"\n")
        raise HarnessError(
            f"Line {line} of {path} is not {encoding.upper()} text ({error.reason}). Save the file "
            "as UTF-8 and name it again."
        ) from error


def _lines(path: Path, text: str) -> Placed:
    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        if not line.strip():
            continue
        where = f"{path.name}, line {number}"
        try:
            record = parse_json(line)
        except ValueError as error:
            raise HarnessError(
                f"{where} is not JSON ({error}); it begins with {line.strip()[:_SHOWN]!r}. Copy "
                "the file again from where it was made."
            ) from error
        if not isinstance(record, Mapping):
            raise HarnessError(f"{where} is not a JSON object with an id and an answer.")
        yield where, record


def _json(path: Path, text: str, whole: Callable[[Any], Iterable[Any]]) -> Placed:
    try:
        found = parse_json(text)
    except ValueError:
        yield from _lines(path, text)  # JSON lines, whatever the file is called
        return
    for number, record in enumerate(found if isinstance(found, list) else whole(found), start=1):
        if not isinstance(record, Mapping):
            raise HarnessError(f"{path.name}, entry {number} is no object with an id and an answer")
        yield f"{path.name}, entry {number}", record


def _text_table(path: Path, text: str, usual: str) -> Placed:
    csv.field_size_limit(min(sys.maxsize, 1 << 30))  # a cell may hold a picture
    first = text.partition("\n")[0]
    parts = usual if usual in first else max("\t;,", key=first.count)  # Excel's may be another one
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=parts)
    head = _heads(path, next(reader, []))
    for row in reader:
        where = f"{path.name}, line {reader.line_num}"
        if row and len(row) != len(head):
            raise HarnessError(f"{where} has another number of columns than the first line.")
        if row:
            yield where, dict(zip(head, row, strict=True))


def _sheet(path: Path, data: bytes) -> Placed:
    """Yield the rows of the one sheet that has some, without empty ones."""
    import openpyxl  # type: ignore[import-untyped]
    from openpyxl.utils.escape import unescape  # type: ignore[import-untyped]

    _refuse_merged(path, data)
    # Not data_only: an answer that begins with "=" was stored as a formula and is still its text.
    book = openpyxl.load_workbook(io.BytesIO(data), read_only=True)
    try:
        filled = {}
        for sheet in book.worksheets:
            sheet.reset_dimensions()  # what a file says of them may be wrong
            rows = [
                (number, row)
                for number, row in enumerate(sheet.iter_rows(values_only=True), start=1)
                if any(value is not None for value in row)
            ]
            if len(rows) > 1:
                filled[sheet.title] = rows
    finally:
        book.close()
    if len(filled) > 1:
        raise UsageError(
            f"{path} has {len(filled)} sheets with rows ({some(list(filled))}), and one is read. "
            "Nothing was taken. Save the one with the answers as a file of its own."
        )
    for (_, names), *rest in filled.values():
        head = _heads(path, names)
        for number, row in rest:
            # Excel's way to write a control character: "_x000D_" is the return before a line feed.
            cells = (unescape(cell) if isinstance(cell, str) else cell for cell in row)
            yield f"{path.name}, line {number}", dict(zip_longest(head, [*cells][: len(head)]))


def _refuse_merged(path: Path, data: bytes) -> None:
    """Refuse cells that were merged over rows: all but the first have lost their value."""
    with zipfile.ZipFile(io.BytesIO(data)) as book:
        _refuse_large(sum(part.file_size for part in book.infolist()))
        sheets = [name for name in book.namelist() if name.startswith("xl/worksheets/")]
        spans = [span for name in sheets for span in _MERGED.findall(book.read(name))]
    lost = [b"%s%s:%s%s" % span for span in spans if span[1] != span[3]]
    if lost:
        shown = some([each.decode() for each in lost])
        raise UsageError(
            f"{path} has {len(lost)} merged cells ({shown}), which keep the value of their first "
            "row alone. Nothing was taken. Split them, fill every row, and save it again."
        )


def _parquet(path: Path, data: bytes) -> Placed:
    import pyarrow  # type: ignore[import-untyped]
    from pyarrow.parquet import ParquetFile  # type: ignore[import-untyped]

    with ParquetFile(pyarrow.BufferReader(data)) as table:
        rows = chain.from_iterable(batch.to_pylist() for batch in table.iter_batches())
        for number, record in enumerate(rows, start=1):
            yield f"{path.name}, row {number}", record


def _arrow(path: Path, data: bytes) -> Placed:
    from pyarrow import BufferReader, ipc

    opened = ipc.open_file if data.startswith(b"ARROW1") else ipc.open_stream
    with opened(BufferReader(data)) as table:
        batches = table.read_all().to_batches()
    rows = chain.from_iterable(batch.to_pylist() for batch in batches)
    for number, record in enumerate(rows, start=1):
        yield f"{path.name}, row {number}", record


def _heads(path: Path, names: Sequence[Any]) -> list[str]:
    found = ["" if name is None else str(name).strip() for name in names]
    twice = sorted({name for name in found if name and found.count(name) > 1})
    if twice:
        raise UsageError(
            f"{path} has several columns of the name {', '.join(twice)}. Nothing was taken. Rename "
            "all but one, and name the file again."
        )
    return found
