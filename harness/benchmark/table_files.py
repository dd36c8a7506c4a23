"""Files of tables: whether they are all there, and what lies in them, without ``datasets``.

A damaged file is one sentence.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, UsageError, plain

SHARD = re.compile(r"(?P<stem>.*?)-?(?P<number>\d{5})-of-(?P<count>\d{5})(?P<rest>\..*)")
_POINTER = b"version https://git-lfs"


def upper(text: str) -> str:
    """Return a sentence with a capital."""
    return text[:1].upper() + text[1:]


def check_files(where: str, files: Iterable[Path]) -> None:
    """Refuse tables of which shards are absent, or that are no tables.

    Raises:
        UsageError: naming the file and what it is.
    """
    files = list(files)
    for path in files:
        with path.open("rb") as file:
            start = file.read(len(_POINTER))
        if start == _POINTER:
            raise UsageError(
                f"{path} is a Git LFS pointer, not the table: the data set was cloned without Git "
                "LFS. Run git lfs pull in its folder, or fetch it again with: harness data mirror"
            )
        if not path.stat().st_size:
            raise UsageError(f"{path} is empty. Fetch the data set again.")
    check_shards(where, files)


def check_shards(where: str, files: Iterable[Path]) -> None:
    """Refuse tables of which shards are absent or there twice; see :func:`check_files`."""
    series: dict[tuple[Path, str, str], set[int]] = {}
    for path in files:
        shard = SHARD.fullmatch(path.name)
        if shard:
            key = (path.parent / shard["stem"], shard["count"], shard["rest"])
            series.setdefault(key, set()).add(int(shard["number"]))
    for (stem, count, rest), there in series.items():
        gaps = [number for number in range(int(count)) if number not in there][:1000]
        if gaps:
            more = f" and {len(gaps) - 1} more" if gaps[1:] else ""
            raise UsageError(
                f"{upper(where)} is not whole: shard {gaps[0]:05d} of {count} is not there{more} "
                f"({stem}-{gaps[0]:05d}-of-{count}{rest}). Fetch the missing files, for example "
                "with: harness data mirror"
            )
    stems = Counter(stem for stem, _, rest in series)
    twice = [stem for stem, times in stems.items() if times > 1]
    if twice:
        counts = sorted(count for stem, count, _ in series if stem == twice[0])
        raise UsageError(
            f"{upper(where)} holds {twice[0].name} twice, in {' and in '.join(counts)} shards, "
            "and both would be read. Remove one of them."
        )


_ROWS = 64


@contextmanager
def reading_table(path: Path) -> Iterator[None]:
    """Turn whatever a damaged table makes of its reader into one paragraph."""
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


def stored_texts(path: Path) -> Iterator[str]:
    """Yield every text of a Parquet or Arrow table, also inside of lists and structs."""
    from pyarrow.parquet import ParquetFile

    with reading_table(path):
        if path.suffix == ".parquet":
            with ParquetFile(path) as table:
                leaves = [table.schema.column(at) for at in range(len(table.schema))]
                texts = [leaf.path for leaf in leaves if str(leaf.logical_type) == "String"]
                for batch in table.iter_batches(columns=texts) if texts else ():
                    for column in batch.columns:
                        yield from _texts(column)
            return
        with arrow_table(path) as arrow:
            for column in arrow.columns:
                for chunk in column.chunks:
                    yield from _texts(chunk)


@contextmanager
def arrow_table(path: Path) -> Iterator[Any]:
    """Lend the table of an Arrow file, as ``datasets`` writes it (a stream) or as a file."""
    from pyarrow import ipc, memory_map  # type: ignore[import-untyped]

    with memory_map(str(path)) as source:
        try:
            table = ipc.open_stream(source).read_all()
        except ValueError:
            table = ipc.open_file(source).read_all()
        yield table


def _texts(array: Any) -> Iterator[str]:
    from pyarrow import types

    if types.is_string(array.type) or types.is_large_string(array.type):
        yield from (text for text in array.unique().to_pylist() if text is not None)
    elif types.is_struct(array.type):
        for inner in array.flatten():
            yield from _texts(inner)
    elif types.is_list(array.type) or types.is_large_list(array.type):
        yield from _texts(array.flatten())
