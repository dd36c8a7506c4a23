"""Where the image of a row is: a file, bytes in the table, or an address."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import os
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from harness.errors import plain
from harness.model import fetched
from harness.pairs.turns import Unusable
from harness.records import IMAGE_FORMATS, image_problem
from harness.storage import open_regular

_SECONDS = 30.0


class Images:
    """Finds the image files of one table's rows.

    Images that lie in the table, or behind an address, are kept as files named by their content.
    """

    def __init__(
        self, table: Path, folder: Path | None, keep: Path | None, *, allow_urls: bool
    ) -> None:
        """Remember where to look; nothing is read.

        Paths begin in ``folder`` and beside the ``table``; ``keep`` is for images that are no files
        yet, and ``None`` keeps none of them.
        """
        beside = table if table.is_dir() else table.parent
        self._bases = [beside] if folder is None else [folder, beside]
        self._named = folder is not None
        self._keep, self._allow_urls = keep, allow_urls
        self._seen: dict[str, Path | Unusable] = {}

    def find(self, image: Any) -> Path:
        """Return an image of a row as a file that can be opened.

        Raises:
            Unusable: if it cannot be used; says why.
        """
        if isinstance(image, Mapping):
            data, name = image.get("bytes"), image.get("path")
            image = data if isinstance(data, bytes) and data else name
        if isinstance(image, bytes):
            return self._kept(image, "the bytes in the row")
        if not isinstance(image, str) or not image.strip():
            raise Unusable("no image", f"{type(image).__name__} where an image was expected")
        if image not in self._seen:
            try:
                self._seen[image] = self._named_file(image)
            except Unusable as error:
                self._seen[image] = error
        found = self._seen[image]
        if isinstance(found, Unusable):
            raise Unusable(found.reason, found.detail)
        return found

    def _named_file(self, name: str) -> Path:
        if name.startswith(("http://", "https://")):
            if not self._allow_urls:
                raise Unusable("image is a URL", f"{name[:120]}; --allow-urls fetches it")
            try:
                return self._kept(fetched(name, _SECONDS), name[:120])
            except OSError as error:
                raise Unusable("image not fetched", f"{name[:120]}: {error}") from error
        if name.startswith("data:"):
            try:
                return self._kept(base64.b64decode(name.partition(",")[2], validate=True), name)
            except binascii.Error as error:
                raise Unusable("image unreadable", f"{name[:120]}: {error}") from error
        path = PurePath(name.removeprefix("file://"))
        if "\0" in name or ".." in path.parts:
            raise Unusable("image outside", plain(f"{name[:120]!r} is outside of the image folder"))
        inside = [base for base in self._bases if _is_below(path, base)]
        for base in inside:
            file = base / path  # an absolute path stays what it is
            try:
                with open_regular(file) as opened:
                    _check(opened, name)
            except OSError:
                continue
            return file
        if not inside:
            raise Unusable("image outside", f"{name[:120]}; give its folder with --images DIR")
        hint = "" if self._named else "; --images DIR says where paths begin"
        raise Unusable("image missing", plain(f"{name[:120]}{hint}"))

    def _kept(self, data: bytes, where: str) -> Path:
        kind = _check(io.BytesIO(data), where)
        name = f"{hashlib.sha256(data).hexdigest()[:32]}.{kind.lower()}"
        if self._keep is None:
            return Path(name)
        path = self._keep / name
        if not path.exists():
            self._keep.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".{path.name}.{os.getpid()}")
            part.write_bytes(data)
            part.replace(path)
        return path


def _is_below(path: PurePath, base: Path) -> bool:
    return not path.is_absolute() or path.is_relative_to(base.absolute())


def _check(file: Any, where: str) -> str:
    """Read an image's header and return its format.

    Raises:
        Unusable: if it is no image that could be shown to a model.
    """
    import PIL.Image

    try:
        with PIL.Image.open(file, formats=IMAGE_FORMATS) as image:
            problem = image_problem(image)
            kind = str(image.format)
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as error:
        raise Unusable("image unreadable", plain(f"{where[:120]}: {error}"[:240])) from error
    if problem:
        raise Unusable("image unreadable", plain(f"{where[:120]}: {problem}"))
    return kind
