"""One SQLite file (WAL) for what is dear to compute: answers and verdicts, by content key.

The key is made from everything that determines the value, so an entry can never be wrong, only
unused. All runs share the store; processes may write at the same time.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.storage.journal import cannot_write
from harness.storage.reading import parse_json

_CHUNK = 500


class Store:
    """A persistent map from key to JSON object; safe against being killed at any moment."""

    def __init__(self, path: Path) -> None:
        """Open or create the store.

        Raises:
            HarnessError: if the file cannot be opened or is no store of ours.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=60, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS entries"
                " (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"
            )
        except OSError as error:
            raise cannot_write(path, error) from error
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def get(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the known entries among ``keys``."""
        wanted = list(keys)
        found: dict[str, dict[str, Any]] = {}
        try:
            for start in range(0, len(wanted), _CHUNK):
                part = wanted[start : start + _CHUNK]
                marks = ",".join("?" * len(part))
                rows = self._db.execute(
                    f"SELECT key, value FROM entries WHERE key IN ({marks})", part
                )
                found.update((key, parse_json(value)) for key, value in rows)
        except sqlite3.Error as error:
            raise self._failed(error) from error
        return found

    def put(self, entries: Mapping[str, Mapping[str, Any]]) -> None:
        """Write entries in one transaction; an existing key keeps its first value.

        Raises:
            HarnessError: if the disk is full or the file cannot be written.
        """
        rows = [(key, json.dumps(value)) for key, value in entries.items()]
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT OR IGNORE INTO entries VALUES (?, ?)", rows)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise self._failed(error) from error

    def close(self) -> None:
        """Close the file; the object is of no use afterwards."""
        self._db.close()

    def _failed(self, error: Exception) -> HarnessError:
        return HarnessError(
            f"The answer store {self.path} cannot be used: {error}. Free some disk space, name "
            "another folder with --out, or move the file away if it is damaged; then run the same "
            "command again."
        )
