"""A benchmark's files as its authors publish them: found, read, and refused in words.

Authors publish archives, lists and folders. :class:`Files` finds a file by its name, unpacked or
in a zip archive. An archive is read without unpacking it, so no name in it ever becomes a path.
Whatever cannot be read is an error that names the file and the line.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import os
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import TracebackType, UnionType
from typing import IO, Any

from harness.benchmark.json_stream import BrokenListError, list_items
from harness.errors import HarnessError, UsageError, some
from harness.storage import parse_json

_CHUNK = 1 << 20
_LARGEST = 4 << 30  # bytes of a file that is read whole


@dataclass(frozen=True)
class SourcePath:
    """Where a file lies: on disk, or as a member of an archive on disk."""

    path: Path
    member: str | None
    size: int

    def __str__(self) -> str:
        return f"{self.path}" if self.member is None else f"{self.path}:{self.member}"

    @property
    def parts(self) -> tuple[str, ...]:
        """Folders and name, from the outside in."""
        inside = () if self.member is None else PurePosixPath(self.member).parts
        return (*self.path.parts, *inside)


class Files:
    """The files below a folder, those in zip archives included.

    Args:
        folder: where they are; or one archive.
        advice: what to type to learn which are needed.
    """

    def __init__(self, folder: Path, advice: str) -> None:
        """Look at what is there.

        Raises:
            UsageError: if the folder is none.
            HarnessError: if an archive is damaged.
        """
        if not folder.is_dir() and not (folder.suffix.lower() == ".zip" and folder.is_file()):
            raise UsageError(f"There is no folder and no zip archive {folder}. {advice}")
        self.notes: list[str] = []
        """What a reader of the result should know."""
        self.digests: dict[str, str] = {}
        """SHA-256 of every list that was read to its end, by name."""
        self._folder, self._advice = folder, advice
        self._open = ExitStack()
        self._archives: dict[Path, zipfile.ZipFile] = {}
        self._places: dict[str, list[SourcePath]] = {}
        for path in _walk(folder) if folder.is_dir() else [folder]:
            if path.suffix.lower() == ".zip":
                self._look_into(path)
            elif path.is_file():  # and no link to nowhere
                self._note(SourcePath(path, None, path.stat().st_size))

    def __enter__(self) -> Files:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    def _look_into(self, path: Path) -> None:
        try:
            archive = self._open.enter_context(zipfile.ZipFile(path))
        except (OSError, zipfile.BadZipFile) as error:
            raise HarnessError(
                f"The archive {path} cannot be read ({error}). It may have been cut short: fetch "
                "it again."
            ) from error
        self._archives[path] = archive
        for info in archive.infolist():
            if not info.is_dir() and "__MACOSX" not in info.filename:
                self._note(SourcePath(path, info.filename, info.file_size))

    def _note(self, place: SourcePath) -> None:
        if not place.parts[-1].startswith("."):
            self._places.setdefault(place.parts[-1], []).append(place)

    def find(self, name: str) -> SourcePath | None:
        """Find a file by its name, or by the last folders of its path and its name.

        Unpacked files go before those in archives, whatever these hold.

        Raises:
            UsageError: if two such files differ.
        """
        wanted = PurePosixPath(name).parts
        there = [
            place
            for place in self._places.get(wanted[-1] if wanted else "", ())
            if place.parts[-len(wanted) :] == wanted
        ]
        there = [place for place in there if place.member is None] or there
        if len({place.size for place in there}) > 1 or (
            there[1:] and len({hashlib.sha256(self.image(place)).digest() for place in there}) > 1
        ):
            raise UsageError(
                f"There are different files {name}: {some(list(map(str, there)))}. Leave only "
                "the one that was published."
            )
        return min(there, key=lambda place: (len(place.parts), place.parts), default=None)

    def every(self) -> list[SourcePath]:
        """Return all files, in the order of their paths."""
        return sorted((one for each in self._places.values() for one in each), key=str)

    def within(self, place: SourcePath) -> str:
        """Return where a file lies below the folder, with the archive that it is in."""
        outside = self._folder.parent if self._folder.is_file() else self._folder
        inside = place.path.relative_to(outside).as_posix()
        return inside if place.member is None else f"{inside}/{place.member}"

    def need(self, name: str) -> SourcePath:
        """Find a file that has to be there.

        Raises:
            UsageError: if it is not, naming what is.
        """
        place = self.find(name)
        if place is None:
            inside = self._folder.iterdir() if self._folder.is_dir() else [self._folder]
            known = sorted(path.name for path in inside)
            raise UsageError(
                f"There is no {name} in {self._folder}, unpacked or in a zip archive (it has: "
                f"{some(known) or 'nothing'}). {self._advice}"
            )
        return place

    def image(self, place: SourcePath) -> bytes:
        """Return the bytes of a file that was found.

        Raises:
            HarnessError: if it is damaged, or larger than any table or image that is read.
        """
        if place.size > _LARGEST:
            raise HarnessError(
                f"{place} has {place.size} bytes, more than the {_LARGEST} that are read."
            )
        return b"".join(self._chunks(place))

    def data(self, name: str) -> bytes:
        """Return the bytes of a list.

        Raises:
            UsageError: if there is no such file.
            HarnessError: if it is damaged.
        """
        data = self.image(self.need(name))
        self.digests[name] = hashlib.sha256(data).hexdigest()
        return data

    def text(self, name: str) -> str:
        """Return a text file.

        Raises:
            UsageError: if there is no such file.
            HarnessError: if it is not text.
        """
        return "".join(self._text(name))

    def items(self, name: str) -> Iterator[tuple[str, Any]]:
        """Yield the items of a list in JSON one by one, each with file and line.

        Raises:
            UsageError: if there is no such file.
            HarnessError: if it is not a list in JSON.
        """
        try:
            for line, item in list_items(self._text(name)):
                yield f"{name}, line {line}", item
        except BrokenListError as error:
            where = f"{name}, line {error.line}"
            raise malformed(where, f"no valid JSON ({error.reason})") from error

    def lines(self, name: str) -> Iterator[tuple[str, Any]]:
        """Yield what each line of a file holds in JSON, with file and line; empty ones aside.

        Raises:
            UsageError: if there is no such file.
            HarnessError: if a line is not JSON.
        """
        for number, line in enumerate(self.text(name).split("\n"), start=1):
            if line.strip():
                try:
                    yield f"{name}, line {number}", parse_json(line)
                except ValueError as error:
                    raise malformed(f"{name}, line {number}", f"no valid JSON ({error})") from error

    def table(self, name: str, parts: str = ",") -> Iterator[tuple[str, dict[str, str]]]:
        """Yield the rows of a table in text by their columns' names, with file and line.

        Bytes that are not UTF-8 become the replacement character, and a note says where.

        Args:
            name: of the file.
            parts: what stands between two columns.

        Raises:
            UsageError: if there is no such file.
            HarnessError: if a row has too few or too many columns.
        """
        text = "".join(self._text(name, errors="replace"))
        for number, line in enumerate(text.split("\n"), start=1):
            if "\ufffd" in line:
                self.notes.append(
                    f"{name}, line {number}: bytes that are not UTF-8, shown as \ufffd"
                )
        csv.field_size_limit(min(sys.maxsize, 1 << 30))  # a cell may hold a picture
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=parts, strict=True)
        head: list[str] | None = None
        last = 0
        try:
            for row in reader:
                where, last = f"{name}, line {last + 1}", reader.line_num
                if head is None:
                    head = row
                elif len(row) == len(head):
                    yield where, dict(zip(head, row, strict=True))
                elif row:
                    told = f"{len(row)} columns, where the first line names {len(head)}"
                    raise malformed(where, told)
        except csv.Error as error:
            raise malformed(f"{name}, line {last + 1}", f"no table ({error})") from error

    def _text(self, name: str, errors: str = "strict") -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8-sig")(errors=errors)
        digest, line = hashlib.sha256(), 1
        chunks = self._chunks(self.need(name))
        try:
            for chunk in chunks:
                digest.update(chunk)
                text = decoder.decode(chunk)
                line += text.count("\n")
                yield text
            yield decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            line += error.object[: error.start].count(b"\n")
            raise malformed(f"{name}, line {line}", f"no UTF-8 text ({error.reason})") from error
        self.digests[name] = digest.hexdigest()

    def _chunks(self, place: SourcePath) -> Iterator[bytes]:
        try:
            with self._stream(place) as file:
                while chunk := file.read(_CHUNK):
                    yield chunk
        except (
            OSError,
            zipfile.BadZipFile,
            zlib.error,
            NotImplementedError,
            RuntimeError,
        ) as error:
            raise HarnessError(
                f"{place} cannot be read ({type(error).__name__}: {error}). Fetch it again, or "
                "unpack it yourself."
            ) from error

    def _stream(self, place: SourcePath) -> IO[bytes]:
        if place.member is None:
            return place.path.open("rb")
        return self._archives[place.path].open(place.member)


def _walk(folder: Path) -> Iterator[Path]:
    """Yield all files below a folder through links, each real folder once; hidden ones aside."""
    seen: set[str] = set()
    for here, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(here)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(here, name) for name in sorted(names) if not name.startswith("."))


def malformed(where: str, reason: str) -> HarnessError:
    """Say that a file is not what its authors published."""
    return HarnessError(f"{where}: {reason}. Fetch the file again.")


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
