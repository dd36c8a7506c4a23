"""Small pictures of what was asked, kept beside a run so that a report needs no data set."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.storage.journal import cannot_write

if TYPE_CHECKING:
    import PIL.Image

_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
SIDE = 512
"""Longest side of a picture, in pixels."""


def image_folder(folder: Path) -> Path:
    """Return where the pictures of a run lie."""
    return folder / "images"


def thumbnail_path(folder: Path, name: str) -> Path:
    """Return where the picture of one cluster of rows (:attr:`Sample.cluster`) lies in a run."""
    return image_folder(folder) / f"{name}.webp"


def thumbnail_in(images: Path, name: str) -> Path | None:
    """Return the file of a picture in such a folder; a name that could lead elsewhere has none."""
    file = images / f"{name}.webp"
    return file if _NAME.fullmatch(name) and file.is_file() and not file.is_symlink() else None


def save_thumbnail(folder: Path, name: str, images: Sequence[PIL.Image.Image]) -> None:
    """Write one small picture of a row's images, side by side, unless it is there.

    Raises:
        HarnessError: if the disk is full or the folder cannot be written.
    """
    path = thumbnail_path(folder, name)
    if not images or path.exists():
        return
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        reduced(images)[0].save(beside, format="WEBP", quality=70)
        os.replace(beside, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise cannot_write(path, error) from error


def reduced(images: Sequence[PIL.Image.Image]) -> tuple[PIL.Image.Image, ...]:
    """Return one small picture of a row's images, side by side; none where there are none."""
    import PIL.Image

    small = [image.convert("RGB") for image in images]
    for image in small:
        image.thumbnail((SIDE // len(small), SIDE))
    if len(small) < 2:
        return tuple(small)
    whole = PIL.Image.new(
        "RGB", (sum(image.width for image in small), max(image.height for image in small)), "white"
    )
    left = 0
    for image in small:
        whole.paste(image, (left, 0))
        left += image.width
    return (whole,)
