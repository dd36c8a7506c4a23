"""Columns of Parquet tables row by row, without ``datasets``; a damaged table is one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, UsageError, plain

_ROWS = 64


@contextmanager
def reading_table(path: Path) -> Iterator[None]:
    """Turn whatever a damaged table makes of its reader into one paragraph.

    Raises:
        UsageError: in the place of every other exception.
    """
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:
        reason = plain((str(error).splitlines() or [""])[0])[:200]
        raise UsageError(
            f"The table {path} cannot be read ({reason}). It may have been cut short: fetch "
            "the data set again, for example with: harness data mirror"
        ) from error


def stored_rows(path: Path, wanted: Callable[[Any], bool]) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a Parquet table with some of its columns; nothing where it has none.

    Args:
        path: the table.
        wanted: whether a column (``pyarrow.Field``) is read.

    Raises:
        UsageError: if the table is damaged.
    """
    from pyarrow.parquet import ParquetFile  # type: ignore[import-untyped]

    with reading_table(path), ParquetFile(path) as table:
        columns = [field.name for field in table.schema_arrow if wanted(field)]
        for batch in table.iter_batches(batch_size=_ROWS, columns=columns) if columns else ():
            yield from batch.to_pylist()
