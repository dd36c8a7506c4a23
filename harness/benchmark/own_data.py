"""The data files that a task of one's own names: found, refused in words, hashed by their bytes.

A task file may take its rows from files (``dataset_path: json`` with ``data_files``) or from a
folder. Relative paths in it are relative to the task file that says them, from wherever it is run.
"""

from __future__ import annotations

import glob
import os
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.benchmark.table_files import stored_texts
from harness.errors import UsageError
from harness.records import fingerprint
from harness.storage import file_digest, folder_digest

# The readers of ``datasets`` that take files, and those that would unpickle or ask a database.
_READERS = ("json", "csv", "parquet", "arrow", "text", "xml", "imagefolder", "webdataset")
_REFUSED = ("pandas", "sql", "spark", "generator", "cache")
_TEXTS = (".json", ".jsonl", ".csv", ".tsv", ".txt")
_TABLES = (".parquet", ".arrow")
# Two steps, each linear: one pattern of both took minutes for an image in base64.
_PART = re.compile(rb"[^\"',;\t\r\n]+")
_END = re.compile(rb"\.(?:png|jpe?g|webp|bmp|gif|tiff?)\b", re.I)


@dataclass(frozen=True)
class OwnData:
    """What a task of one's own reads instead of a named data set.

    ``source`` (a reader or a folder) and ``options`` are what ``datasets.load_dataset`` takes; a
    folder has no ``splits``; ``task`` is the file that names them.
    """

    source: str
    options: Mapping[str, Any]
    splits: Mapping[str, tuple[Path, ...]]
    task: Path

    def fingerprint(self) -> str:
        """Hash the bytes of all files, and of the images that rows name by their path."""
        if not self.splits:
            folder = Path(str(self.options.get("data_dir") or self.source))
            inside = folder.resolve()
            tables = [path for path in sorted(folder.rglob("*")) if path.is_file()]
            named = {image.resolve() for image in _images_of(tables, self.task.parent)}
            outside = sorted(file_digest(one) for one in named if not one.is_relative_to(inside))
            whole = folder_digest(folder)
            return fingerprint("own data", whole, outside) if outside else whole
        digests: dict[Path, str] = {}
        for files in self.splits.values():
            for file in files:
                digests.setdefault(file, file_digest(file))
        images = sorted({file_digest(image) for image in _images_of(digests, self.task.parent)})
        held = [(split, [digests[file] for file in files]) for split, files in self.splits.items()]
        return fingerprint("own data", self.source, held, images)


def read_own_data(settings: Mapping[str, Any], homes: Mapping[str, Path]) -> OwnData | None:
    """Return the data that a task's settings name as files; ``None`` where they name a data set.

    ``homes`` are the files that say each setting.
    """
    source = str(settings.get("dataset_path") or "")
    given = settings.get("dataset_kwargs")
    options = dict(given) if isinstance(given, Mapping) else {}
    if source in _REFUSED:
        raise UsageError(
            f"The task file {homes['dataset_path']} reads its data with '{source}', which can run "
            f"code or ask a database. Save the rows as JSON lines or Parquet, and take "
            "'json' or 'parquet' as dataset_path."
        )
    if source in _READERS:
        home = homes.get("dataset_kwargs", homes["dataset_path"])
        if options.get("data_files"):
            splits = _files(options["data_files"], home)
            found = {split: [str(path) for path in paths] for split, paths in splits.items()}
            return OwnData(source, {**_kept(options), "data_files": found}, splits, home)
        if options.get("data_dir"):
            folder = _folder(str(options["data_dir"]), home)
            return OwnData(source, {**_kept(options), "data_dir": str(folder)}, {}, home)
        return None
    looks_like_a_path = source.startswith((".", "/", "~")) or "\\" in source
    if source and (looks_like_a_path or options.get("load_from_disk")):
        folder = _folder(source, homes["dataset_path"])
        return OwnData(str(folder), _kept(options), {}, homes["dataset_path"])
    return None


def _kept(options: Mapping[str, Any]) -> dict[str, Any]:
    dropped = ("data_files", "data_dir", "token", "trust_remote_code", "cache_dir")
    return {key: value for key, value in options.items() if key not in dropped}


def _files(named: object, home: Path) -> dict[str, tuple[Path, ...]]:
    splits = named if isinstance(named, Mapping) else {"train": named}
    found = {}
    for split, patterns in splits.items():
        listed = patterns if isinstance(patterns, list | tuple) else [patterns]
        found[str(split)] = tuple(path for one in listed for path in _matched(str(one), home))
    return found


def _matched(pattern: str, home: Path) -> list[Path]:
    _refuse_address(pattern, home)
    place = os.path.join(home.parent, os.path.expanduser(pattern))
    if Path(place).is_file():
        return [Path(os.path.abspath(place))]
    paths = [Path(os.path.abspath(one)) for one in sorted(glob.glob(place, recursive=True))]
    files = [path for path in paths if path.is_file()]
    if not files:
        raise UsageError(
            f"The task file {home} names the data {pattern}, and there is no "
            f"{os.path.abspath(place)}. "
            "Relative paths in a task file are relative to it. Correct data_files, or put the "
            "file there."
        )
    return files


def _folder(name: str, home: Path) -> Path:
    _refuse_address(name, home)
    folder = Path(os.path.abspath(home.parent / Path(name).expanduser()))
    if not folder.is_dir():
        raise UsageError(
            f"The task file {home} names the folder {name}, and there is no {folder}. Relative "
            "paths in a task file are relative to it. Correct the path, or put the folder there."
        )
    return folder


def _refuse_address(name: str, home: Path) -> None:
    if "://" in name:
        raise UsageError(
            f"The task file {home} reads {name} from the network, where it may change between two "
            "runs. Download it, and name the file in data_files."
        )


def _images_of(files: Iterable[Path], home: Path) -> Iterator[Path]:
    """Yield the images that tables name by a path that leads to one."""
    for file in files:
        kind, seen = file.suffix.lower(), set[str]()
        for text in _lines(file) if kind in _TEXTS else _cells(file) if kind in _TABLES else ():
            for found in _paths(text):
                name = found.replace(b"\\/", b"/").decode("utf-8", errors="replace").strip()
                if name in seen or "\0" in name or "://" in name:
                    continue
                seen.add(name)
                image = _found(name, (Path.cwd(), file.parent, home))
                if image is not None:
                    yield image


def _paths(text: bytes) -> Iterator[bytes]:
    """Yield each part of a text up to the last ending of an image in it."""
    for part in _PART.findall(text):
        for end in deque(_END.finditer(part), maxlen=1):
            yield part[: end.end()]


def _lines(file: Path) -> Iterator[bytes]:
    with file.open("rb") as lines:
        yield from lines


def _cells(file: Path) -> Iterator[bytes]:
    return (text.encode("utf-8", "surrogatepass") for text in stored_texts(file))


def _found(name: str, bases: Iterable[Path]) -> Path | None:
    with suppress(OSError):
        return next((base / name for base in bases if (base / name).is_file()), None)
    return None
