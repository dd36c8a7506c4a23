"""The run folder: journals that survive a kill, files that appear whole, and fingerprints.

Two kinds of file. A *journal* grows line by line: a header with the fingerprint of the stage's
inputs, one record per line, and a last line that says it is complete and carries the SHA-256 of all
lines before it. A *whole file* is written beside its place and renamed. Either way a process may
die at any moment: what is on disk is either valid or recognisably unfinished.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

from harness import progress
from harness.errors import HarnessError
from harness.records import VERSION, from_json, to_json
from harness.storage.reading import open_regular, parse_json, put_in_place, read_bytes
from harness.storage.secrets import without_keys

T = TypeVar("T")

_LONGEST = 1 << 20  # bytes of a header
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
            file.write(without_keys(text))
            file.flush()
            os.fsync(file.fileno())
        put_in_place(beside, path)
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
    return full or any(os.strerror(code) in str(error) for code in _FULL)


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


class InUseError(HarnessError):
    """Another process is at work in a folder."""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[Path]:
    """Keep other processes out of a run folder, whose journals have one writer.

    The system drops the lock with the process, however that ends. A file system without locks
    keeps nobody out.

    Raises:
        InUseError: if another process is at work there.
        HarnessError: if the folder cannot be written.
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
            raise InUseError(
                f"Another process is at work in {folder}. Wait until it is done, then run the same "
                "command again to see its result, or name another folder with --out."
            ) from error
        except (ImportError, OSError):
            pass
        yield folder


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_digest(folder: Path, names: Sequence[Path]) -> str:
    """Hash names and bytes of files; the modification time plays no part."""
    total, ordered = hashlib.sha256(), sorted(names)
    with ThreadPoolExecutor() as pool:  # hashing leaves other threads running
        for name, digest in zip(ordered, pool.map(file_digest, ordered), strict=True):
            total.update(name.relative_to(folder).as_posix().encode() + b"\0")
            total.update(bytes.fromhex(digest))
    return total.hexdigest()


def folder_digest(folder: Path, pattern: str = "**/*") -> str:
    """Hash every file below a folder that matches ``pattern``; hidden and cache files aside."""

    def counts(path: Path) -> bool:
        inside = path.relative_to(folder).parts
        return path.is_file() and not any(p.startswith((".", "__pycache__")) for p in inside)

    return files_digest(folder, [*filter(counts, folder.glob(pattern))])


class Journal(Generic[T]):
    """Records of one stage on disk, in order; what a killed run had written is found again.

    A journal whose header carries another fingerprint belongs to other inputs and is begun anew; so
    is one whose rows are not those that its last line was written for.

    Attributes:
        rows: the records.
        complete: whether the last line is there and fits.
        altered: whether a last line is there that does not fit the rows.
        source: of a complete journal that was made from another one, the digest of that one.
        reason: why reading stopped at a line that cannot be read as a record.
    """

    def __init__(self, path: Path, fingerprint: str, parse: Callable[[dict[str, Any]], T]) -> None:
        """Read all but a half-written last line; raise HarnessError unless it is a file."""
        self.path, self._process = path, os.getpid()
        self._header = {"version": VERSION, "fingerprint": fingerprint}
        self._file: IO[bytes] | None = None
        self.rows: list[T] = []
        self.complete = self.altered = False
        self.source = self.reason = ""
        self._valid = 0
        self._first = json.dumps(self._header).encode() + b"\n"
        self._hash = hashlib.sha256(self._first)
        self._read(parse)

    @property
    def digest(self) -> str:
        """Return the SHA-256 of header and rows."""
        return self._hash.hexdigest()

    def _read(self, parse: Callable[[dict[str, Any]], T]) -> None:
        if not self.path.exists():
            return
        try:
            data = read_bytes(self.path)
        except (OSError, ValueError) as error:
            raise HarnessError(
                f"The journal {self.path} cannot be read: {error}. Move it away, then run the same "
                "command again; answers that are kept in the store are not asked for again."
            ) from error
        self._parse(data, parse)
        if self.altered:
            self.rows, self.complete = [], False
            self._valid, self._hash = 0, hashlib.sha256(self._first)

    def _parse(self, data: bytes, parse: Callable[[dict[str, Any]], T]) -> None:
        position = 0
        for line in data.splitlines(keepends=True):
            if self.complete:  # no line may follow the last one
                self.altered = True
                return
            try:
                row = parse_json(line)
                if not line.endswith(b"\n"):
                    return
                if position == 0 and row != self._header:
                    return
                if position > 0 and "end" in row:
                    self.altered = not _ends(row, len(self.rows), self._hash.hexdigest())
                    self.complete = not self.altered
                    self.source = str(row.get("source", ""))
                    if self.altered:
                        return
                elif position > 0:
                    self.rows.append(parse(row))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                self.reason = str(error)
                return
            if position == 0:
                self._hash = hashlib.sha256(line)
            elif not self.complete:
                self._hash.update(line)
            position += len(line)
            self._valid = position

    def forget(self, keep: int) -> None:
        """Drop all rows but the first ``keep``, in memory and on disk."""
        if keep >= len(self.rows):
            return
        lines = self.path.read_bytes().splitlines(keepends=True)
        self._valid = sum(len(line) for line in lines[: keep + 1])
        self._hash = hashlib.sha256(b"".join(lines[: keep + 1]))
        self.rows, self.complete = self.rows[:keep], False

    def append(self, *rows: T) -> None:
        """Add rows and force them to disk.

        Raises:
            HarnessError: if the disk is full; the rows written so far stay valid.
        """
        self._hash.update(self._write([to_json(row) for row in rows]))
        self.rows.extend(rows)

    def finish(self, source: str = "") -> None:
        """Mark the journal as complete.

        Args:
            source: digest of the journal that the rows were made from, where there is one.
        """
        if not self.complete:
            self._write([_ending(len(self.rows), self.digest, source)])
            self.complete = True
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, rows: Sequence[dict[str, Any]]) -> bytes:
        if os.getpid() != self._process:  # foreign code forked and came back twice
            os._exit(1)
        try:
            if self._file is None:
                self._file = self._open()
            text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            data = without_keys(text).encode(errors=_ODD)
            self._file.write(data)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise cannot_write(self.path, error) from error
        return data

    def _open(self) -> IO[bytes]:
        if self.altered:
            progress.say(f"{self.path}: its rows are not those that were written; made again")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = self.path.open("r+b" if self.path.exists() else "w+b")
        file.truncate(self._valid)
        file.seek(self._valid)
        if self._valid == 0:
            file.write(self._first)
        return file


def _ending(rows: int, digest: str, source: str) -> dict[str, Any]:
    return {"end": rows, "sha256": digest} | ({"source": source} if source else {})


def _ends(row: Mapping[str, Any], rows: int, digest: str) -> bool:
    """Whether a last line fits; those of the first version carry no digest."""
    return bool(row["end"] == rows) and row.get("sha256", digest) == digest


@dataclass(frozen=True)
class Seal:
    """What the last line of a journal says, and what its other lines give.

    Attributes:
        fits: whether the two agree; ``False`` also where there is no last line.
        digest: SHA-256 of all other lines.
        source: digest of the journal that the rows were made from; empty where none is named.
    """

    fits: bool
    digest: str
    source: str


def seal_of(path: Path) -> Seal:
    """Read the seal of a journal without its rows.

    Raises:
        OSError: if it cannot be read.
    """
    data = read_bytes(path)
    *lines, last = data.splitlines(keepends=True) or [b""]
    digest = digest_of(data)
    try:
        row = parse_json(last)
        return Seal(_ends(row, len(lines) - 1, digest), digest, str(row.get("source", "")))
    except (ValueError, TypeError, KeyError, AttributeError):
        return Seal(fits=False, digest=digest, source="")


def digest_of(journal: bytes) -> str:
    """Return the SHA-256 of all lines of a journal but its last one."""
    return hashlib.sha256(b"".join(journal.splitlines(keepends=True)[:-1])).hexdigest()


def sealed(journal: bytes, source: str = "") -> bytes:
    """Return a journal whose rows were rewritten with a last line that fits them again.

    What is no finished journal, or one of the first version, is returned as it is.
    """
    lines = journal.splitlines(keepends=True)
    try:
        known = parse_json(lines[-1])
    except (ValueError, IndexError):
        return journal
    if not isinstance(known, dict) or "sha256" not in known:
        return journal
    ending = _ending(known["end"], digest_of(journal), source or str(known.get("source", "")))
    return b"".join(lines[:-1]) + json.dumps(ending).encode() + b"\n"


def journal_of(path: Path, fingerprint: str, kind: type[T]) -> Journal[T]:
    """Open the journal of a record type."""
    return Journal(path, fingerprint, lambda row: from_json(kind, row))


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the non-empty lines of a text file with their numbers, from 1.

    Raises:
        HarnessError: if the file is not UTF-8 text.
    """
    with open_regular(path) as file:
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


def header_of(path: Path) -> str | None:
    """Return the fingerprint in a journal's header, or ``None`` if it cannot be read."""
    try:
        return str(_fingerprint_in(path))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _fingerprint_in(path: Path) -> Any:
    with open_regular(path) as file:
        return parse_json(file.readline(_LONGEST))["fingerprint"]


def read_journal(path: Path, kind: type[T]) -> tuple[T, ...]:
    """Read a complete journal, whatever inputs it was made from.

    Raises:
        HarnessError: if it is absent, unfinished or damaged.
    """
    try:
        fingerprint = _fingerprint_in(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HarnessError(
            f"There is no journal {path} ({error}). Finish the run that writes it first."
        ) from error
    journal = journal_of(path, fingerprint, kind)
    if journal.altered:
        raise HarnessError(
            f"The rows in {path} are not those that were written: the SHA-256 in its last line "
            "differs. Get the file again from where it came, or run the command that wrote it "
            "again; answers that are kept in the store are not asked for again."
        )
    if not journal.complete:
        reason = f" ({journal.reason})" if journal.reason else ""
        raise HarnessError(
            f"The journal {path} is unfinished or damaged after its record {len(journal.rows)}"
            f"{reason}. Run the command that wrote it again; it goes on from there."
        )
    return tuple(journal.rows)
