"""One SQLite file (WAL) for what is dear to compute: answers and verdicts, by content key.

The key is made from everything that determines the value, so an entry can never be wrong, only
unused. All runs share the store; processes may write at the same time.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import HarnessError
from harness.records import from_json
from harness.storage.journal import cannot_write
from harness.storage.reading import parse_json
from harness.storage.secrets import without_keys

T = TypeVar("T")

_CHUNK = 500


def _object(text: Any) -> dict[str, Any] | None:
    try:
        value = parse_json(text)
    except (ValueError, TypeError):
        return None
    return value if isinstance(value, dict) else None


class Store:
    """A persistent map from key to JSON object; safe against being killed at any moment."""

    def __init__(self, path: Path) -> None:
        """Name the store; the file is opened when it is first used."""
        self.path = path
        self._open: sqlite3.Connection | None = None

    @property
    def _db(self) -> sqlite3.Connection:
        """Open or create the file.

        A run that is finished needs no answers, so a damaged store does not stand in its way.

        Raises:
            HarnessError: if the file cannot be opened or is no store of ours.
        """
        if self._open is not None:
            return self._open
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists() and not self.path.is_file():
                raise sqlite3.DatabaseError("it is no regular file")
            found = sqlite3.connect(self.path, timeout=60, isolation_level=None)
            found.execute("PRAGMA journal_mode=WAL")
            found.execute("PRAGMA synchronous=NORMAL")
            found.execute(
                "CREATE TABLE IF NOT EXISTS entries"
                " (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"
            )
        except OSError as error:
            raise cannot_write(self.path, error) from error
        except sqlite3.Error as error:
            raise self._failed(error) from error
        self._open = found
        return found

    def records(self, keys: Iterable[str], kind: type[T]) -> dict[str, T]:
        """Return the known records among ``keys``; a damaged entry is forgotten, to be made again.

        Raises:
            HarnessError: if the file cannot be used.
        """
        found, damaged = dict[str, T](), list[str]()
        for key, row in self.get(keys).items():
            try:
                found[key] = from_json(kind, row)
            except (TypeError, ValueError):
                damaged.append(key)
        self._forget(damaged)
        return found

    def get(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the known entries among ``keys``; one that is not a JSON object is forgotten.

        Raises:
            HarnessError: if the file cannot be used.
        """
        wanted = list(keys)
        found: dict[str, dict[str, Any]] = {}
        damaged = []
        try:
            for start in range(0, len(wanted), _CHUNK):
                part = wanted[start : start + _CHUNK]
                marks = ",".join("?" * len(part))
                rows = self._db.execute(
                    f"SELECT key, value FROM entries WHERE key IN ({marks})", part
                )
                for key, text in rows:
                    value = _object(text)
                    if value is None:
                        damaged.append(key)
                    else:
                        found[key] = value
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise self._failed(error) from error
        self._forget(damaged)
        return found

    def _forget(self, keys: Iterable[str]) -> None:
        try:
            self._db.executemany("DELETE FROM entries WHERE key = ?", [(key,) for key in keys])
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def put(self, entries: Mapping[str, Mapping[str, Any]]) -> None:
        """Write entries in one transaction; an existing key keeps its first value.

        Raises:
            HarnessError: if the disk is full or the file cannot be written.
        """
        rows = [(key, without_keys(json.dumps(value))) for key, value in entries.items()]
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT OR IGNORE INTO entries VALUES (?, ?)", rows)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise self._failed(error) from error

    def entries(self) -> Iterator[dict[str, dict[str, Any]]]:
        """Yield all entries, some at a time.

        Raises:
            HarnessError: if the file cannot be used.
        """
        last = ""
        while True:
            try:
                rows = self._db.execute(
                    "SELECT key, value FROM entries WHERE key > ? ORDER BY key LIMIT ?",
                    (last, _CHUNK),
                ).fetchall()
            except (sqlite3.Error, UnicodeDecodeError) as error:
                raise self._failed(error) from error
            if not rows:
                return
            last = rows[-1][0]
            yield {key: value for key, text in rows if (value := _object(text)) is not None}

    def close(self) -> None:
        """Close the file; the object is of no use afterwards."""
        if self._open is not None:
            self._open.close()

    def _failed(self, error: Exception) -> HarnessError:
        return HarnessError(
            f"The answer store {self.path} cannot be used: {error}. Free some disk space, name "
            "another folder with --out, or move the file away if it is damaged; then run the same "
            "command again."
        )
