"""``manifest.json``: what a finished run or a bundle holds, with size and SHA-256 of every member.

Of a run folder it names every record that a report may show. Weights are not among them: records
such as ``training.json`` hold their hashes. A result that was written together with a manifest says
so (``run.manifest`` of ``comparison.json``), so that a manifest that is gone is noticed. While a
later call is at work in the folder, the manifest says that and names nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.storage.journal import write_whole
from harness.storage.reading import parse_json, read_bytes, read_json

MANIFEST = "manifest.json"
VERSION = 1
_RECORDS = (".json", ".jsonl", ".webp")
_FOLDERS = ("before", "after", "judged", "rounds", "seeds", "checkpoint", "images")
_BESIDE = (
    *("pairs.jsonl", "dropped.jsonl", "pair_report.json", "training.json", "pace.json"),
    *("image_ablation.json", "canary.json", "attribution.json", "merged.json"),
)
"""Records of stages that lie in the run folder itself; others there may be a user's own reports."""
_WORKING = {"at_work": "a call of this run has begun and not written its result"}


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
    return _members(parse_json(manifest))


def _members(content: Any) -> dict[str, Any]:
    found = content.get("members") if isinstance(content, dict) else None
    if not isinstance(found, dict):
        raise ValueError("it names no members")
    return found


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

    A run that is not finished, or that an earlier version wrote, has no manifest; one that a later
    call is at work in has one without members. Records may be taken out with the folder that they
    lie in, such as ``images`` or a ``checkpoint``.
    """
    path = folder / MANIFEST
    try:
        text = read_bytes(path, within=folder)
        content = parse_json(text)
        noted = _members(content)
    except FileNotFoundError:
        gone = f"{MANIFEST} is missing, so the run is incomplete"
        return (gone,) if _written_with_one(folder) else ()
    except (OSError, ValueError) as error:
        return (f"{MANIFEST} cannot be read: {error}",)
    if text == manifest_text({}, **_WORKING).encode():
        return ()
    packed = {name: content[name] for name in ("made_by",) if name in content}  # of a bundle
    told = [] if manifest_text(noted, **packed).encode() == text else [f"{MANIFEST} has changed"]
    for name, entry in noted.items():
        path = folder / name
        try:
            if not _taken_out(path, folder) and _entry(path, folder) != entry:
                told.append(f"{name} has changed")
        except FileNotFoundError:
            told.append(f"{name} is missing")
        except (OSError, ValueError) as error:
            told.append(f"{name} cannot be read: {error}")
    return (*told, *(f"{name} was added" for name in _added(folder, noted)))


def _written_with_one(folder: Path) -> bool:
    """Whether the result in a folder was written by a version that writes a manifest with it."""
    try:
        return bool(read_json(folder / "comparison.json")["run"].get("manifest"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False  # no result; what is wrong with it is said by who reads it


def _added(folder: Path, noted: Collection[str]) -> Iterator[str]:
    """Name the records of stages that a manifest does not name."""
    for path in _records(folder):
        name = path.relative_to(folder).as_posix()
        ours = "/" in name or name in _BESIDE
        if ours and name not in noted and not _taken_out(path, folder):
            yield name


def _taken_out(path: Path, folder: Path) -> bool:
    """Whether the folder of a record is gone, or lies elsewhere as scratch space may."""
    if not path.parent.is_dir():
        return True
    moved = not path.parent.resolve().is_relative_to(folder.resolve())
    return moved and path.relative_to(folder).parts[0] in ("checkpoint", "images")


def reopen(folder: Path, *names: str) -> None:
    """Note in a finished run that a call is at work in it again: its records may change.

    It gets its manifest anew with its result. A call that does not get that far leaves the result
    before it, which is then held against the rows alone.

    Args:
        folder: the run folder; nothing is done where it has no manifest.
        names: records that were just written, where nothing has begun unless they have changed.
    """
    with contextlib.suppress(OSError, ValueError, HarnessError):
        noted = entries_in(read_bytes(folder / MANIFEST))
        if not names or any(noted.get(name) != _entry(folder / name, folder) for name in names):
            write_whole(folder / MANIFEST, manifest_text({}, **_WORKING))


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
