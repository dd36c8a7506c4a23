"""Rows of the tables that evaluations write: a spreadsheet, or text with commas or tabs."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.errors import HarnessError

Placed = Iterator[tuple[str, Mapping[str, Any]]]
"""Where a row stands, as file and line, and its cells by column."""


def text_rows(path: Path) -> Placed:
    """Yield the rows of a ``.csv`` or ``.tsv`` file.

    Raises:
        HarnessError: if a row has another number of cells than the first line.
    """
    csv.field_size_limit(min(sys.maxsize, 1 << 30))  # a cell may hold a picture
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
        for row in reader:
            where = f"{path.name}, line {reader.line_num}"
            if None in row or None in row.values():
                raise HarnessError(f"{where} has another number of columns than the first line.")
            yield where, row


def sheet_rows(path: Path) -> Placed:
    """Yield the rows of the first sheet of an ``.xlsx`` file, without empty ones."""
    import openpyxl  # type: ignore[import-untyped]

    # Not data_only: an answer that begins with "=" was stored as a formula and is still its text.
    book = openpyxl.load_workbook(path, read_only=True)
    try:
        rows = book.worksheets[0].iter_rows(values_only=True)
        head = [str(name) for name in next(rows, ())]
        for number, row in enumerate(rows, start=2):
            if any(value is not None for value in row):
                yield f"{path.name}, line {number}", dict(zip(head, row, strict=False))
    finally:
        book.close()


def plain_cell(value: Any) -> str:
    """Return a cell as text; a spreadsheet turns whole numbers into decimals."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)
