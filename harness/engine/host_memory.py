"""How much memory of the host a process may still take: the system's, or its control group's.

A container or a batch job may have a limit far below what the machine has free. Linux names it in
the files of the control group (v2: ``memory.max``; v1: ``memory.limit_in_bytes``), and every group
above it may have a limit of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_MOUNT, _OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_V2 = ("memory.max", "memory.current", "inactive_file")
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def available() -> int:
    """Return the bytes that a process may still take, what the system only caches included."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found = next(line for line in lines if line.startswith("MemAvailable:"))
        free = int(found.split()[1]) * 1024
    except (OSError, StopIteration, ValueError, IndexError):
        return unused()
    return _limited(free)


def unused() -> int:
    """Return the bytes that nothing holds, not even the system's cache."""
    pages = os.sysconf("SC_AVPHYS_PAGES") if hasattr(os, "sysconf") else 1 << 19
    return _limited(pages * os.sysconf("SC_PAGE_SIZE"))


def group_left(mount: Path = _MOUNT, own: Path = _OWN) -> int | None:
    """Return the bytes that this process's control groups leave it, or ``None`` without a limit.

    Args:
        mount: where control groups are mounted.
        own: the file that names those of this process.
    """
    return min(_each_left(mount, own), default=None)


def _limited(free: int) -> int:
    left = group_left()
    return free if left is None else min(free, left)


def _each_left(mount: Path, own: Path) -> Iterator[int]:
    """Yield what is left under the limit of every group from a process's own to the root."""
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root, files = (mount / "memory", _V1) if controllers else (mount, _V2)
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            if (left := _left(folder, *files)) is not None:
                yield left
            if folder == root:
                break


def _left(folder: Path, limit: str, used: str, cached: str) -> int | None:
    """Return what a group may still take; its file cache gives way, so it counts as free."""
    try:
        most = int((folder / limit).read_text(encoding="ascii"))
        taken = int((folder / used).read_text(encoding="ascii"))
        stat = (folder / "memory.stat").read_text(encoding="ascii").split()
        return max(0, most - taken + int(stat[stat.index(cached) + 1]))
    except (OSError, ValueError, IndexError):  # "max": no limit; or no such file: no such group
        return None
