"""What a benchmark says of the files its authors publish, where its data has to be converted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import UnionType
from typing import TYPE_CHECKING, Any

from harness.benchmark.source_files import malformed

if TYPE_CHECKING:
    from harness.benchmark.source_files import Files


@dataclass(frozen=True)
class SourceRow:
    """One row as its authors publish it.

    Attributes:
        key: what identifies it, in the authors' words.
        where: file and line, for errors.
        values: its columns but ``image``: texts, whole numbers and tuples of texts.
        images: names that its image may have; the first one that is there is taken. Empty for a
            row without an image.
        data: the image itself, where the list holds it.
    """

    key: str
    where: str
    values: Mapping[str, Any]
    images: tuple[str, ...]
    data: bytes | None = None


@dataclass(frozen=True)
class Reading:
    """What was read.

    Attributes:
        rows: in their order.
        lists: text files that lie beside the table, by name.
        mixed: a column's values may lack or differ in kind, so that its type follows from all rows.
        apart: a column and a config: rows are also splits of that config, by their value there.
    """

    rows: Sequence[SourceRow]
    lists: Mapping[str, str] = field(default_factory=dict)
    mixed: bool = False
    apart: tuple[str, str] | None = None


@dataclass(frozen=True)
class SourceFiles:
    """The files of a benchmark that its authors publish, and how to read them.

    Attributes:
        fetch: what to fetch and from where, one file or group of files a line.
        rows: how many rows they hold, where that is known.
        images: how many different images these show, where that is known.
        read: reads them.
        hub: how the hub's copy differs, where there is one.
        by: the benchmark whose conversion lays out these rows too.
    """

    fetch: tuple[str, ...]
    rows: int | None
    images: int | None
    read: Callable[[Files], Reading]
    hub: str = "without what lies beside the table"
    by: str | None = None


def value_of(item: Any, name: str, kind: type | UnionType, where: str) -> Any:
    """Return one value of an item in JSON.

    Raises:
        HarnessError: if it is not there, or of another kind.
    """
    value = item.get(name) if isinstance(item, dict) else None
    if not isinstance(value, kind):
        word = kind.__name__ if isinstance(kind, type) else str(kind)
        raise malformed(where, f"'{name}' is not there, or no {word}")
    return value


def texts_of(item: Any, name: str, where: str) -> tuple[str, ...]:
    """Return a list of texts in an item.

    Raises:
        HarnessError: if it is not there, or holds something else.
    """
    found = value_of(item, name, list, where)
    if not all(isinstance(text, str) for text in found):
        raise malformed(where, f"'{name}' holds something else than texts")
    return tuple(found)
