"""The one boundary for files: what comes from outside is checked against bounds before it is used.

Records, bundles, configurations and weights may come from strangers. Everything here fails with
``OSError`` (there is no such regular file) or ``ValueError`` (it is too large, too deep or not what
it claims to be), which every reader turns into one paragraph that names the file.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import IO, Any

LARGEST = 4 << 30
"""Bytes of a text file that is read whole; a journal of a large benchmark stays far below."""
DEEPEST = 64
"""Levels of brackets in JSON or YAML; the deepest record of ours has nine."""
_HEADER = 100_000_000  # bytes of a safetensors header, the format's own limit
_NODES = 1_000_000  # values in a YAML file, aliases counted as often as they are used


def open_regular(path: Path, within: Path | None = None) -> IO[bytes]:
    """Open a file for reading unless it is a pipe, a device or a folder, which could block.

    Args:
        path: the file.
        within: a folder that the file must lie in, links followed.

    Raises:
        OSError: if there is no such regular file, or a link leads out of ``within``.
    """
    if within is not None and not path.resolve().is_relative_to(within.resolve()):
        raise OSError(f"it is a link out of {within}")
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError("it is no regular file")
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def put_in_place(written: Path, path: Path) -> None:
    """Give a file that was written beside another one its name; a device or pipe stays.

    Raises:
        OSError: if it cannot be done, or something else than a file has that name.
    """
    if path.exists() and not path.is_file():  # rename() takes the place even of /dev/null
        raise OSError("it is no regular file")
    os.replace(written, path)


def read_bytes(path: Path, limit: int = LARGEST, within: Path | None = None) -> bytes:
    """Read a regular file of at most ``limit`` bytes.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is larger.
    """
    with open_regular(path, within) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise ValueError(f"it has {size} bytes, more than the {limit} that are read")
        return file.read(limit)


def read_text(path: Path, limit: int = LARGEST, within: Path | None = None) -> str:
    """Read a regular UTF-8 file of at most ``limit`` bytes.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is larger, or is no UTF-8.
    """
    return read_bytes(path, limit, within).decode("utf-8")


def parse_json(text: str | bytes) -> Any:
    """Parse JSON of a bounded depth.

    Raises:
        ValueError: if it is not JSON, or nested more than 64 levels deep.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(f"it is nested more than {DEEPEST} levels deep") from None
    brackets = ("[", "{") if isinstance(text, str) else (b"[", b"{")
    if sum(map(text.count, brackets)) > DEEPEST:  # type: ignore[arg-type]  # both of one kind
        check_depth(value)
    return value


def read_json(path: Path, limit: int = LARGEST, within: Path | None = None) -> Any:
    """Read a JSON file; see :func:`read_text` and :func:`parse_json`.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is not JSON that we would read.
    """
    return parse_json(read_text(path, limit, within))


def check_depth(value: Any, most: int = _NODES * 100) -> None:
    """Refuse a value that is nested too deep, holds itself, or has more than ``most`` parts.

    Raises:
        ValueError: if it does.
    """
    level, parts = [value], 0
    for _ in range(DEEPEST + 1):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        parts += len(level)
        if parts > most:
            raise ValueError(f"it holds more than {most} values")
        if not level:
            return
    raise ValueError(f"it is nested more than {DEEPEST} levels deep")


def parse_yaml(text: str, loader: Any) -> Any:
    """Parse YAML with a loader of PyYAML's safe kind.

    Raises:
        ValueError: if it is no YAML, nested too deep, holds itself, or grows by its aliases.
    """
    import yaml  # type: ignore[import-untyped]

    try:
        value = yaml.load(text, loader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    except RecursionError:
        raise ValueError(f"it is nested more than {DEEPEST} levels deep") from None
    check_depth(value, _NODES)
    return value


def read_header(path: Path) -> tuple[dict[str, Any], int]:
    """Read the header of a safetensors file, and the size that the file must have.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is no safetensors file.
    """
    with open_regular(path) as file:
        length = int.from_bytes(file.read(8), "little")
        if length > _HEADER:
            raise ValueError(f"its header would have {length} bytes")
        header = parse_json(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("its header is not a JSON object")
    try:
        entries = [entry for key, entry in header.items() if key != "__metadata__"]
        ends = [int(entry["data_offsets"][1]) for entry in entries]
    except (KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
        raise ValueError("its header names no places") from error
    return header, 8 + length + max(ends, default=0)


def writable(place: Path) -> bool:
    """Whether a folder can be written or, where it is absent, be made."""
    place = place.absolute()
    while not place.exists():
        place = place.parent
    return place.is_dir() and os.access(place, os.W_OK)
