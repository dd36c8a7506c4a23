"""What lies in a folder that ``--data`` takes: each data set's version, and every file's hash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.storage import file_digest, read_json, write_json

MANIFEST = "manifest.json"
MADE = "files:"
"""Prefix of the revision of a data set that was converted; the hash of what it was made from."""


@dataclass(frozen=True)
class Mirrored:
    """One data set: its name, the hub's commit or what it was made from, its files.

    Attributes:
        dataset: the name its task reads.
        revision: the hub's commit; ``files:HASH`` where ``harness data convert`` made it.
        files: size and SHA-256 of every file by path.
    """

    dataset: str
    revision: str
    files: Mapping[str, tuple[int, str]]


def hashes_in(folder: Path) -> dict[str, tuple[int, str]]:
    """Return size and SHA-256 of every file below a folder by path, hidden ones aside."""
    found = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in inside.parts):
            found[inside.as_posix()] = (path.stat().st_size, file_digest(path))
    return found


def write_manifest(out: Path, entries: Mapping[str, Mirrored]) -> None:
    """Write the manifest of a folder; ``entries`` are named by the data set's folder.

    Raises:
        HarnessError: if the disk is full.
    """
    shown: dict[str, Any] = {
        name: {
            "dataset": entry.dataset,
            "revision": entry.revision,
            "files": {
                path: {"bytes": size, "sha256": digest}
                for path, (size, digest) in entry.files.items()
            },
        }
        for name, entry in entries.items()
    }
    write_json(out / MANIFEST, {"version": 1, "datasets": shown})


def known_in(out: Path) -> dict[str, Mirrored]:
    """Return what the manifest of a folder names; nothing where there is none yet.

    Raises:
        UsageError: if it cannot be read.
    """
    return read_manifest(out) if (out / MANIFEST).is_file() else {}


def read_manifest(folder: Path) -> dict[str, Mirrored]:
    """Return what the manifest of a folder names.

    Raises:
        UsageError: if there is none, or it cannot be read.
    """
    file = folder / MANIFEST
    try:
        shown = read_json(file)["datasets"]
        return {
            str(name): Mirrored(
                str(entry["dataset"]),
                str(entry["revision"]),
                {
                    str(path): (int(item["bytes"]), str(item["sha256"]))
                    for path, item in entry["files"].items()
                },
            )
            for name, entry in shown.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"The folder {folder} is not a mirror: {MANIFEST} cannot be read ({error}). Make one "
            "with: harness data mirror --bench NAME DIR"
        ) from error
