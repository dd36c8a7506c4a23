"""Whether the files of a table are all there, and tables at all: pointers, shards."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from harness.errors import UsageError

SHARD = re.compile(r"(?P<stem>.*?)-?(?P<number>\d{5})-of-(?P<count>\d{5})(?P<rest>\..*)")
_POINTER = b"version https://git-lfs"


def upper(text: str) -> str:
    """Return a sentence with a capital."""
    return text[:1].upper() + text[1:]


def check_files(where: str, files: Iterable[Path]) -> None:
    """Refuse tables of which shards are absent, or that are no tables.

    Raises:
        UsageError: naming the file and what it is.
    """
    files = list(files)
    for path in files:
        with path.open("rb") as file:
            start = file.read(len(_POINTER))
        if start == _POINTER:
            raise UsageError(
                f"{path} is a Git LFS pointer, not the table: the data set was cloned without Git "
                "LFS. Run git lfs pull in its folder, or fetch it again with: harness data mirror"
            )
        if not path.stat().st_size:
            raise UsageError(f"{path} is empty. Fetch the data set again.")
    check_shards(where, files)


def check_shards(where: str, files: Iterable[Path]) -> None:
    """Refuse tables of which shards are absent or there twice; see :func:`check_files`."""
    series: dict[tuple[Path, str, str], set[int]] = {}
    for path in files:
        shard = SHARD.fullmatch(path.name)
        if shard:
            key = (path.parent / shard["stem"], shard["count"], shard["rest"])
            series.setdefault(key, set()).add(int(shard["number"]))
    for (stem, count, rest), there in series.items():
        gaps = [number for number in range(int(count)) if number not in there][:1000]
        if gaps:
            more = f" and {len(gaps) - 1} more" if gaps[1:] else ""
            raise UsageError(
                f"{upper(where)} is not whole: shard {gaps[0]:05d} of {count} is not there{more} "
                f"({stem}-{gaps[0]:05d}-of-{count}{rest}). Fetch the missing files, for example "
                "with: harness data mirror"
            )
    stems = Counter(stem for stem, _, rest in series)
    twice = [stem for stem, times in stems.items() if times > 1]
    if twice:
        counts = sorted(count for stem, count, _ in series if stem == twice[0])
        raise UsageError(
            f"{upper(where)} holds {twice[0].name} twice, in {' and in '.join(counts)} shards, "
            "and both would be read. Remove one of them."
        )
