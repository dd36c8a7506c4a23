"""The run folder: journals that survive a kill, files that appear whole, and fingerprints.

Two kinds of file. A *journal* grows line by line: a header with the fingerprint of the stage's
inputs, one record per line, and a last line that says it is complete. A *whole file* is written
beside its place and renamed. Either way a process may die at any moment: what is on disk is either
valid or recognisably unfinished.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

from harness.errors import HarnessError
from harness.records import VERSION, from_json, to_json

T = TypeVar("T")

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ODD = "backslashreplace"  # half a surrogate pair, which a server's JSON may hold, as JSON's escape


def write_whole(path: Path, text: str) -> Path:
    """Write a text file so that a reader sees the old or the new content, never a part.

    Raises:
        HarnessError: if the disk is full or the folder cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("w", encoding="utf-8", errors=_ODD) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise cannot_write(path, error) from error
    return path


def write_json(path: Path, value: Any) -> Path:
    """Write indented JSON with sorted keys, whole or not at all."""
    return write_whole(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def disk_is_full(error: BaseException) -> bool:
    """Tell whether a write failed for want of space; Rust libraries say so in words only."""
    full = isinstance(error, OSError) and error.errno in _FULL
    return full or "No space left on device" in str(error)


def cannot_write(path: Path, error: OSError) -> HarnessError:
    """Say in one paragraph why a file could not be written and what to do."""
    if disk_is_full(error):
        return HarnessError(
            f"The disk is full: {path} could not be written. Free some space, or name another "
            "folder with --out, then run the same command again; finished work is reused."
        )
    return HarnessError(
        f"{path} cannot be written: {error.strerror or error}. Check the folder's permissions, or "
        "name another folder with --out, then run the same command again."
    )


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[Path]:
    """Keep other processes out of a run folder, whose journals have one writer.

    The system drops the lock with the process, however that ends. A file system without locks
    keeps nobody out.

    Raises:
        HarnessError: if another process is at work there, or the folder cannot be written.
    """
    path = folder / ".lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    except OSError as error:
        raise cannot_write(path, error) from error
    with file:
        try:
            import fcntl  # not on Windows

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise HarnessError(
                f"Another process is at work in {folder}. Wait until it is done, then run the same "
                "command again to see its result, or name another folder with --out."
            ) from error
        except (ImportError, OSError):
            pass
        yield folder


def files_digest(folder: Path, names: Sequence[Path]) -> str:
    """Hash names and bytes of files; the modification time plays no part."""
    total = hashlib.sha256()
    for name in sorted(names):
        total.update(name.relative_to(folder).as_posix().encode() + b"\0")
        with name.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def folder_digest(folder: Path, pattern: str = "**/*") -> str:
    """Hash every file below a folder that matches ``pattern``; hidden and cache files aside."""
    names = [
        path
        for path in folder.glob(pattern)
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    ]
    return files_digest(folder, names)


class Journal(Generic[T]):
    """Records of one stage on disk, in order; what a killed run had written is found again.

    A journal whose header carries another fingerprint belongs to other inputs and is begun anew.
    """

    def __init__(self, path: Path, fingerprint: str, parse: Callable[[dict[str, Any]], T]) -> None:
        """Read what is there, cutting off a half-written last line."""
        self.path = path
        self._header = {"version": VERSION, "fingerprint": fingerprint}
        self._file: IO[bytes] | None = None
        self.rows: list[T] = []
        self.complete = False
        self._valid = 0
        self._read(parse)

    def _read(self, parse: Callable[[dict[str, Any]], T]) -> None:
        if not self.path.exists():
            return
        data = self.path.read_bytes()
        position = 0
        for line in data.splitlines(keepends=True):
            try:
                row = json.loads(line)
                if not line.endswith(b"\n"):
                    return
                if position == 0 and row != self._header:
                    return
                if position > 0 and row == {"end": len(self.rows)}:
                    self.complete = True
                elif position > 0:
                    self.rows.append(parse(row))
            except (ValueError, TypeError, KeyError):
                return
            position += len(line)
            self._valid = position

    def forget(self, keep: int) -> None:
        """Drop all rows but the first ``keep``, in memory and on disk."""
        if keep >= len(self.rows):
            return
        lines = self.path.read_bytes().splitlines(keepends=True)
        self._valid = sum(len(line) for line in lines[: keep + 1])
        self.rows = self.rows[:keep]
        self.complete = False

    def append(self, *rows: T) -> None:
        """Add rows and force them to disk.

        Raises:
            HarnessError: if the disk is full; the rows written so far stay valid.
        """
        self._write([to_json(row) for row in rows])
        self.rows.extend(rows)

    def finish(self) -> None:
        """Mark the journal as complete."""
        if not self.complete:
            self._write([{"end": len(self.rows)}])
            self.complete = True
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, rows: Sequence[dict[str, Any]]) -> None:
        try:
            if self._file is None:
                self._file = self._open()
            text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            self._file.write(text.encode(errors=_ODD))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def _open(self) -> IO[bytes]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = self.path.open("r+b" if self.path.exists() else "w+b")
        file.truncate(self._valid)
        file.seek(self._valid)
        if self._valid == 0:
            file.write(json.dumps(self._header).encode() + b"\n")
        return file


def journal_of(path: Path, fingerprint: str, kind: type[T]) -> Journal[T]:
    """Open the journal of a record type."""
    return Journal(path, fingerprint, lambda row: from_json(kind, row))


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the non-empty lines of a text file with their numbers, from 1.

    Raises:
        HarnessError: if the file is not UTF-8 text.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            except UnicodeDecodeError as error:
                raise HarnessError(
                    f"Line {number} of {path} is not UTF-8 text ({error.reason}). Repair or remove "
                    "that line and run again."
                ) from error
            if text:
                yield number, text


def read_journal(path: Path, kind: type[T]) -> tuple[T, ...]:
    """Read a complete journal, whatever inputs it was made from.

    Raises:
        HarnessError: if it is absent, unfinished or damaged.
    """
    try:
        with path.open("rb") as file:
            fingerprint = str(json.loads(file.readline())["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HarnessError(
            f"There is no journal {path} ({error}). Finish the run that writes it first."
        ) from error
    journal = journal_of(path, fingerprint, kind)
    if not journal.complete:
        raise HarnessError(
            f"The journal {path} is unfinished or damaged after its record {len(journal.rows)}. "
            "Run the command that wrote it again; it goes on from there."
        )
    return tuple(journal.rows)
