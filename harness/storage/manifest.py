"""``manifest.json``: what a finished run or a bundle holds, with size and SHA-256 of every member.

Of a run folder it names every record that a report may show. Weights are not among them: records
such as ``training.json`` hold their hashes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.storage.journal import write_whole
from harness.storage.reading import parse_json, read_bytes

MANIFEST = "manifest.json"
VERSION = 1
_RECORDS = (".json", ".jsonl", ".webp")
_FOLDERS = ("before", "after", "judged", "rounds", "seeds", "checkpoint", "images")


def entry_of(data: bytes) -> dict[str, Any]:
    """Return what a manifest says of a member."""
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def manifest_text(members: Mapping[str, Mapping[str, Any]], **more: str) -> str:
    """Return the text of a manifest; equal members give equal bytes."""
    content = {"version": VERSION, "members": members, **more}
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def entries_in(manifest: bytes) -> dict[str, Any]:
    """Return the members that a manifest names.

    Raises:
        ValueError: if it names none.
    """
    try:
        return dict(parse_json(manifest)["members"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"it names no members: {error!r}") from error


def write_manifest(folder: Path, besides: Collection[Path] = ()) -> Path:
    """Note what a finished run folder holds.

    Args:
        folder: the run folder.
        besides: files in it that are not evidence, such as a report's.

    Raises:
        HarnessError: if it cannot be written.
    """
    members = {}
    for path in _records(folder):
        if path not in besides:
            with contextlib.suppress(OSError, ValueError):  # a link out, as of scratch space
                members[path.relative_to(folder).as_posix()] = _entry(path, folder)
    return write_whole(folder / MANIFEST, manifest_text(members))


def changed_records(folder: Path) -> tuple[str, ...]:
    """Say which records of a run folder are not those that its manifest was written for.

    A run that is not finished, or that an earlier version wrote, has no manifest. Records may be
    taken out with the folder that they lie in, such as ``images`` or a ``checkpoint``.
    """
    try:
        text = read_bytes(folder / MANIFEST)
        noted = entries_in(text)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        return (f"{MANIFEST} cannot be read: {error}",)
    told = [] if manifest_text(noted).encode() == text else [f"{MANIFEST} has changed"]
    for name, entry in noted.items():
        path = folder / name
        try:
            if path.parent.is_dir() and _entry(path, folder) != entry:
                told.append(f"{name} has changed")
        except FileNotFoundError:
            told.append(f"{name} is missing")
        except (OSError, ValueError) as error:
            told.append(f"{name} cannot be read: {error}")
    return tuple(told)


def _records(folder: Path) -> Iterator[Path]:
    """Yield what the stages of a run wrote, without weights."""
    deeper = (path for name in _FOLDERS for path in (folder / name).rglob("*"))
    for path in sorted((*folder.glob("*"), *deeper)):
        inside = path.relative_to(folder).parts
        told = inside != (MANIFEST,) and path.name[0] != "." and "checkpoint" not in inside[:-2]
        if told and path.suffix in _RECORDS and path.is_file():
            yield path


def _entry(path: Path, folder: Path) -> dict[str, Any]:
    return entry_of(read_bytes(path, within=folder))
