"""A stage's result in one JSON file, with the fingerprint of everything that determined it.

What cannot be read is no memo: the stage does its work again and writes the file anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from harness.records import from_json
from harness.storage.journal import write_json
from harness.storage.reading import read_json

T = TypeVar("T")


@dataclass(frozen=True)
class Memo:
    """A result on disk that counts only for the inputs it was made from.

    Attributes:
        path: the JSON file.
        part: which entry of the file, where it holds one memo for each of several names.
        key: what the fingerprint is called in the file.
    """

    path: Path
    part: str | None = None
    key: str = "fingerprint"

    def read(self, fingerprint: str | None = None) -> dict[str, Any] | None:
        """Return the content, or ``None`` if there is none for these inputs.

        Args:
            fingerprint: of the inputs; by default whatever the memo was made from.
        """
        found: Any = _content(self.path)
        if self.part is not None:
            found = found.get(self.part)
        if not isinstance(found, dict) or not isinstance(found.get(self.key), str):
            return None
        return found if fingerprint in (None, found[self.key]) else None

    def record(self, name: str, kind: type[T], fingerprint: str | None = None) -> T | None:
        """Return one record of the content, or ``None`` if there is none for these inputs."""
        try:
            row = (self.read(fingerprint) or {}).get(name)
            return from_json(kind, row) if isinstance(row, Mapping) else None
        except (KeyError, TypeError, ValueError, AttributeError):
            return None

    def write(self, fingerprint: str, **content: Any) -> None:
        """Write the content with the fingerprint of its inputs, whole or not at all.

        Raises:
            HarnessError: if the file cannot be written.
        """
        entry = {self.key: fingerprint, **content}
        write_json(
            self.path, entry if self.part is None else {**_content(self.path), self.part: entry}
        )


def memos_in(path: Path) -> tuple[Memo, ...]:
    """Return the memos of a file that holds one for each of several names."""
    return tuple(Memo(path, part=name) for name in _content(path))


def _content(path: Path) -> dict[str, Any]:
    try:
        found = read_json(path)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
