"""Answers in files of one writer each, for processes on several machines.

SQLite's log is shared memory, which no network file system has. So where the folder of the store
is there, every process appends to a file of its own, and reads what the others have written. A
process may die at any moment: half a line is no entry, and its successor begins another file.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from harness.errors import HarnessError
from harness.storage.answers import Store
from harness.storage.journal import cannot_write, locked
from harness.storage.reading import parse_json
from harness.storage.secrets import without_keys

FOLDER, FILE = "answers", "store.sqlite"
PARTS = ".parts"
"""Folder in a run's, of the jobs that answer parts of its prompts."""
_ENDING = ".jsonl"
_KEY, _VALUE = "key", "value"

Place = tuple[Path, int, int]
"""A file, where a line of it begins, and its length in bytes."""


def open_store(out: Path) -> Store:
    """Return the answer store of the folder that runs lie in; nothing is opened yet."""
    folder = out / FOLDER
    return Segments(folder) if folder.is_dir() else Store(out / FILE)


class Segments(Store):
    """The answer store as files of one writer each; see :class:`harness.storage.Store`."""

    def __init__(self, path: Path) -> None:
        """Name the folder."""
        super().__init__(path)
        self._places: dict[str, Place] = {}
        self._read: dict[Path, int] = {}
        self._mine: IO[bytes] | None = None

    def get(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the known entries among ``keys``.

        Raises:
            HarnessError: if a file cannot be read.
        """
        self._catch_up()
        wanted = {key: self._places[key] for key in keys if key in self._places}
        found: dict[str, dict[str, Any]] = {}
        try:
            for path in sorted({place[0] for place in wanted.values()}):
                with path.open("rb") as file:
                    for key, (where, begin, length) in wanted.items():
                        if where == path:
                            file.seek(begin)
                            found[key] = parse_json(file.read(length))[_VALUE]
        except OSError as error:
            raise self._failed(error) from error
        return found

    def put(self, entries: Mapping[str, Mapping[str, Any]]) -> None:
        """Append entries to this process's own file; an existing key keeps its first value.

        Raises:
            HarnessError: if the disk is full or the file cannot be written.
        """
        self._append({key: value for key, value in entries.items() if key not in self._places})

    def close(self) -> None:
        """Close the file; the object is of no use afterwards."""
        if self._mine is not None:
            self._mine.close()

    def _forget(self, keys: Iterable[str]) -> None:
        self._append(dict.fromkeys(keys))

    def _append(self, entries: Mapping[str, Mapping[str, Any] | None]) -> None:
        if not entries:
            return
        rows = (json.dumps({_KEY: key, _VALUE: value}) for key, value in entries.items())
        try:
            if self._mine is None:
                name = f"{time.time_ns():020d}-{socket.gethostname()}-{os.getpid()}{_ENDING}"
                self._mine = (self.path / name).open("xb")
            self._mine.write("".join(without_keys(row) + "\n" for row in rows).encode())
            self._mine.flush()
            mine = Path(self._mine.name)  # those of others are looked at when something is asked
            self._read[mine] = self._index(mine, self._read.get(mine, 0))
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def _catch_up(self) -> None:
        """Read what was appended to any file since the last time."""
        try:
            for path in sorted(self.path.glob(f"*{_ENDING}")):
                begin = self._read.get(path, 0)
                if path.stat().st_size > begin:
                    self._read[path] = self._index(path, begin)
        except OSError as error:
            raise self._failed(error) from error

    def _index(self, path: Path, begin: int) -> int:
        with path.open("rb") as file:
            file.seek(begin)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # it is being written, or its writer died
                with contextlib.suppress(ValueError, TypeError, KeyError):
                    row = parse_json(line)
                    if row[_VALUE] is None:
                        self._places.pop(row[_KEY], None)
                    elif isinstance(row[_VALUE], dict):
                        self._places.setdefault(row[_KEY], (path, begin, len(line)))
                begin += len(line)
        return begin

    def entries(self) -> Iterator[dict[str, dict[str, Any]]]:
        """Yield all entries, some at a time."""
        self._catch_up()
        keys = list(self._places)
        for start in range(0, len(keys), 500):
            yield self.get(keys[start : start + 500])


def spread(out: Path) -> None:
    """Let the runs of a folder keep their answers in files of one writer each from now on.

    What SQLite's file holds is copied, so that no answer is asked for again.

    Raises:
        HarnessError: if the folder cannot be written.
    """
    folder = out / FOLDER
    part = out / f".{FOLDER}.{socket.gethostname()}-{os.getpid()}"  # others may do so at once
    if folder.is_dir():
        return
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        if (out / FILE).is_file():
            copy = Segments(part)
            for entries in Store(out / FILE).entries():
                copy.put(entries)
            copy.close()
        part.rename(folder)
    except OSError as error:
        if not folder.is_dir():
            raise cannot_write(folder, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def compact(out: Path) -> int:
    """Put the files of a folder's answer store together into SQLite's, for use on one machine.

    Killed at any moment, it can be called again; a file goes once all of it is in the store.

    Returns:
        How many files there were.

    Raises:
        HarnessError: if somebody is at work in the folder or on one of its runs, or the disk is
            full.
    """
    folder = out / FOLDER
    if not folder.is_dir():
        return 0
    with contextlib.ExitStack() as held:
        runs = [path.parent for path in sorted(out.glob("*/settings.json"))]
        parts = sorted(out.glob(f"*/{PARTS}/*/"))
        for place in (out, *runs, *parts):
            held.enter_context(locked(place))
        store, files = Store(out / FILE), sorted(folder.glob(f"*{_ENDING}"))
        for entries in Segments(folder).entries():
            store.put(entries)
        store.close()
        try:
            for path in files:
                path.unlink()
            folder.rmdir()
        except OSError as error:
            raise HarnessError(
                f"{folder} cannot be removed: {error.strerror or error}. All of its answers are in "
                f"{out / FILE}; remove the folder by hand."
            ) from error
    return len(files)
