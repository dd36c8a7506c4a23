"""Image files: which are opened, and how."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HarnessError

if TYPE_CHECKING:
    import PIL.Image

MOST_PIXELS = 90_000_000
"""About where Pillow begins to warn; such an image takes 270 MB as RGB."""
IMAGE_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What Pillow may take a file for, whatever its name says: EPS would start Ghostscript."""


@contextlib.contextmanager
def listed_formats() -> Iterator[None]:
    """Let Pillow know :data:`IMAGE_FORMATS` alone, where a library opens images for us."""
    import PIL.Image

    _whole_files_only()
    PIL.Image.init()  # else it would add the others when none of the list fits
    known = list(PIL.Image.ID)
    PIL.Image.ID[:] = [name for name in known if name in IMAGE_FORMATS]
    try:
        yield
    finally:
        PIL.Image.ID[:] = known


_HANDED: dict[tuple[Path, int, int], PIL.Image.Image] = {}
"""The image that was opened to be looked at first, by path, time and size of its file."""


def open_image(path: Path, owner: str, *, again: bool = False) -> PIL.Image.Image:
    """Decode an image file completely as RGB, turned upright as a camera's EXIF tag says.

    ``datasets`` and ``transformers`` turn images too, so prompts and benchmarks look alike.

    Args:
        path: the file.
        owner: who wants it, for messages.
        again: the image is only checked now and opened again soon: the next call for the same,
            unchanged file returns this object instead of decoding it a second time.

    Raises:
        HarnessError: if it cannot be decoded, or has more than 8 bits a channel, which Pillow
            would cut to white.
    """
    import PIL.Image
    import PIL.ImageOps

    _whole_files_only()
    try:
        found = path.stat()
        key = (path, found.st_mtime_ns, found.st_size)
        if (handed := _HANDED.pop(key, None)) is not None:
            return handed
        with PIL.Image.open(path, formats=IMAGE_FORMATS) as image:
            if problem := image_problem(image):
                raise ValueError(problem)
            PIL.ImageOps.exif_transpose(image, in_place=True)
            made = image.convert("RGB")  # a copy, whatever the mode
    except Exception as error:  # Pillow's readers raise many kinds
        raise HarnessError(
            f"The image of {owner} cannot be read: {path} ({error}). "
            "Replace the file, or remove its line from the prompt file, and run again."
        ) from error
    if again:
        _HANDED.clear()
        _HANDED[key] = made
    return made


def _whole_files_only() -> None:
    """Take back what lmms-eval sets when imported: that Pillow fills torn files with grey."""
    from PIL import ImageFile

    ImageFile.LOAD_TRUNCATED_IMAGES = False


def image_problem(image: PIL.Image.Image) -> str | None:
    """Say why an image is not shown to a model, before its pixels are decoded.

    With more than 8 bits a channel, converting would cut it to white; with too many pixels, it
    would take the machine's memory.
    """
    if image.mode.startswith(("I", "F")):
        return f"its mode is {image.mode}; save it with 8 bits a channel"
    if image.width * image.height > MOST_PIXELS:
        return (
            f"it has {image.width} x {image.height} pixels, and {MOST_PIXELS:,} are the most that "
            "are read; save it smaller"
        )
    return None
