"""A run as evidence: one file that others can open, check and compare with, without a model.

A bundle is a zip with the layout of a run folder, less the weights, plus ``manifest.json`` with
size and SHA-256 of every member. Names are sorted and dates fixed: the same run gives the same
bytes. What it holds was cleaned of this machine's paths (:mod:`harness.runs.redact`).
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path, PurePosixPath

from harness.errors import HarnessError, UsageError, some
from harness.judge import JUDGED
from harness.runs.redact import cleaned, leaks_in
from harness.storage import (
    MANIFEST,
    cannot_write,
    changed_records,
    digest_of,
    disk_is_full,
    entries_in,
    entry_of,
    file_digest,
    locked,
    manifest_text,
    put_in_place,
    read_bytes,
    sealed,
)

_NEEDED = ("comparison.json", "settings.json")
_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that zip knows
_LARGEST = 2 << 30  # bytes a bundle may unpack to; 20,000 rows with pictures stay far below
_MEMBERS = 100_000
_LONGEST, _LEVELS = 255, 16  # bytes of a member's name between slashes, and how many of those
_SCRATCH = "harness-bundle-"
_FRESH = 60.0  # seconds


@dataclass(frozen=True)
class Packed:
    """A bundle that was written: where, how many members, and the SHA-256 of the whole file."""

    path: Path
    members: int
    digest: str


def pack(run: Path, out: Path | None = None, *, images: bool = False) -> Packed:
    """Pack a run folder into one file.

    Args:
        run: the run folder, whose figures are known to follow from its rows.
        out: the file; ``<run>.zip`` in the working directory by default.
        images: with the small pictures of the benchmarks' images, whose licences may forbid it.

    Raises:
        UsageError: if ``out`` is a folder.
        HarnessError: if a file is a link, a text holds what looks like a key, or the bundle
            cannot be written.
    """
    out = out or Path(f"{run.resolve().name}.zip")
    if out.is_dir() or not out.name:
        raise UsageError(f"--out {out} is a folder. Name a file, as in --out {out / 'run.zip'}")
    members = {path.relative_to(run).as_posix(): _bytes(path, run) for path in _wanted(run, images)}
    _tie(members)
    entries = {name: entry_of(data) for name, data in members.items()}
    text = manifest_text(entries, made_by=f"vlm-harness {version('vlm-harness')}")
    _write(out, {**members, MANIFEST: text.encode()})
    return Packed(out, len(members), file_digest(out))


@contextmanager
def unpacked(path: Path, *, damaged: bool = False) -> Iterator[Path]:
    """Lend a folder with the contents of a bundle; a run folder is lent as it is.

    One whose files are not what its manifest says is refused, unless ``damaged`` is set. An
    unfinished run has no manifest yet.

    Raises:
        UsageError: if there is neither.
        HarnessError: if it is not a bundle, or it was changed.
    """
    if path.is_dir():
        if not damaged:
            refuse_changed(path)
        yield path
        return
    with _opened(path) as file:
        members = _read(file, path)
    wrong = _wrong(members)
    if wrong and not damaged:
        raise HarnessError(
            f"The bundle {path} is not what was packed: {some(wrong, '; ')}. Get it again from "
            f"where it came, or see what it changes with: harness verify {path}"
        )
    with _scratch() as folder:
        try:
            for member, data in members.items():
                place = folder.joinpath(*PurePosixPath(member).parts)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(data)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise _no_bundle(path, "two members claim one place") from error
        except OSError as error:
            if disk_is_full(error):
                raise cannot_write(folder, error) from error
            raise _no_bundle(path, f"a member cannot be unpacked: {error.strerror}") from error
        try:
            yield folder
        except HarnessError as error:  # the folder is gone when the message is read
            raise type(error)(str(error).replace(str(folder), str(path))) from error


def refuse_changed(run: Path) -> None:
    """Refuse a run folder whose records are not those that its manifest was written for.

    Raises:
        HarnessError: if there are any; it names them.
    """
    if changed := changed_records(run):
        raise HarnessError(
            f"{run} is not as it was written, so nothing is taken from it: {some(changed, '; ')}. "
            f"See what follows from its rows with: harness verify {run}; get it again from where "
            "it came, or call the command that made the run again (an import: into a new folder)."
        )


@contextmanager
def _scratch() -> Iterator[Path]:
    """Lend a folder that is gone afterwards; those of killed processes are removed too."""
    for left in Path(tempfile.gettempdir()).glob(f"{_SCRATCH}*"):
        if _abandoned(left):
            shutil.rmtree(left, ignore_errors=True)
    with (
        tempfile.TemporaryDirectory(prefix=_SCRATCH, ignore_cleanup_errors=True) as name,
        locked(Path(name)),
    ):
        (Path(name) / "run").mkdir()
        yield Path(name) / "run"


def _abandoned(folder: Path) -> bool:
    """Whether an unpacked bundle is ours and its process, which held the lock, has died."""
    try:
        found = folder.lstat()
        fresh = time.time() - found.st_mtime < _FRESH  # may not be locked yet
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or fresh:
            return False
        with locked(folder):
            return True
    except (OSError, HarnessError, AttributeError):  # AttributeError: no getuid on Windows
        return False


def wrong_members(path: Path) -> tuple[str, ...]:
    """Say which members of a bundle are not what its manifest says."""
    with _opened(path) as file:
        return tuple(_wrong(_read(file, path)))


def _wanted(run: Path, images: bool) -> Iterator[Path]:
    """Yield what is packed: records and curves; of the checkpoint nothing else."""
    for path in sorted(run.rglob("*")):
        parts = path.relative_to(run).parts
        hidden = any(part.startswith(".") for part in parts)
        if hidden or parts == (MANIFEST,) or not path.is_file():
            continue
        if "checkpoint" in parts:
            if path.name == "curves.jsonl":
                yield path
        elif path.suffix in (".json", ".jsonl") or (
            images and parts[0] == "images" and path.suffix == ".webp"
        ):
            yield path


def _bytes(path: Path, run: Path) -> bytes:
    try:
        if path.suffix == ".webp":
            return read_bytes(path, within=run)
        text = cleaned(path, run)
    except (OSError, ValueError) as error:
        raise HarnessError(
            f"{path} cannot be packed: {error}. Replace or remove the file, or call the command "
            "that wrote the run again, and pack again."
        ) from error
    leaks = leaks_in(text)
    if leaks:
        raise HarnessError(
            f"{path} seems to hold a key ({some(leaks, '; ')}), so it was not packed. Remove it "
            "from the file, or from the environment if it is no secret, and pack again."
        )
    return sealed(text.encode()) if path.suffix == ".jsonl" else text.encode()


def _tie(members: dict[str, bytes]) -> None:
    """Let judged journals name the cleaned journals that they were made from."""
    for name, data in members.items():
        head, found, tail = name.partition(f"{JUDGED}/")
        raw = members.get(head + tail)
        if found and raw is not None and name.endswith(".jsonl"):
            members[name] = sealed(data, source=digest_of(raw))


def _write(out: Path, members: Mapping[str, bytes]) -> None:
    beside = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(beside, "w") as file:
            for name, data in sorted(members.items()):
                info = zipfile.ZipInfo(name, _DATE)
                info.create_system = 3  # Unix on every system: the same bytes everywhere
                info.external_attr = 0o644 << 16
                file.writestr(info, data, zipfile.ZIP_DEFLATED, 9)
        put_in_place(beside, out)
    except OSError as error:
        with suppress(OSError):  # a read-only disk refuses that too
            beside.unlink(missing_ok=True)
        raise cannot_write(out, error) from error


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    if not path.is_file():
        raise UsageError(
            f"There is no run folder or bundle {path}. Name a folder such as "
            "runs/seva-tinyworld-1a2b3c4d, or a file that harness bundle wrote."
        )
    try:
        file = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise _no_bundle(path, str(error)) from error
    with file:
        yield file


def _read(file: zipfile.ZipFile, path: Path) -> dict[str, bytes]:
    """Read every member, none of which may point out of the folder or fill the disk."""
    listed = file.infolist()
    names = [info.filename for info in listed]
    if MANIFEST not in names and any(PurePosixPath(name).name == _NEEDED[0] for name in names):
        raise UsageError(
            f"{path} is a zipped run folder, not a bundle. Unpack it and name the folder, or make "
            "a bundle of it with: harness bundle RUN"
        )
    strange = [name for name in names if not _inside(name)]
    if strange or len(set(names)) < len(names):
        raise _no_bundle(path, f"strange members: {some(strange, '; ') or 'one name twice'}")
    if sum(info.file_size for info in listed) > _LARGEST or len(listed) > _MEMBERS:
        most = f"{_LARGEST >> 30} GiB or {_MEMBERS} members"
        raise _no_bundle(path, f"it would unpack to more than {most}")
    lacking = [name for name in (*_NEEDED, MANIFEST) if name not in names]
    if lacking:
        raise _no_bundle(path, f"it lacks {' and '.join(lacking)}")
    try:
        return {name: file.read(name) for name in names}
    except Exception as error:  # zlib, lzma, a wrong checksum, an encrypted member ...
        raise _no_bundle(path, f"{type(error).__name__}: {error}") from error


def _inside(name: str) -> bool:
    parts = PurePosixPath(name).parts
    plain = all(part not in ("", "..") and not set(part) & set("\\:\0") for part in parts)
    short = all(len(part.encode()) <= _LONGEST for part in parts) and len(parts) <= _LEVELS
    return bool(parts) and plain and short and not name.startswith("/") and not name.endswith("/")


def _wrong(members: Mapping[str, bytes]) -> list[str]:
    try:
        known = entries_in(members[MANIFEST])
    except ValueError:
        return [f"{MANIFEST} cannot be read"]
    found = {name: data for name, data in members.items() if name != MANIFEST}
    wrong = []
    for name in sorted(known.keys() | found.keys()):
        if name not in found:
            wrong.append(f"{name} is missing")
        elif name not in known:
            wrong.append(f"{name} is not in the manifest")
        elif entry_of(found[name]) != known[name]:
            wrong.append(f"{name} has changed")
    return wrong


def _no_bundle(path: Path, reason: str) -> HarnessError:
    return HarnessError(
        f"{path} is not a bundle ({reason}). Name a run folder, or a file made with: "
        "harness bundle RUN"
    )
