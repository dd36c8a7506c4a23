"""Tensors in files, by name: safetensors, and pickles where they are trusted.

The only module that reads pickles: as tensors only (``weights_only``), and only when told to.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

Get = Callable[[], "Tensor"]


class Reader:
    """Reads the tensors of files by name; each is loaded when it is written."""

    def __init__(self, pickles: bool) -> None:
        self._pickles = pickles

    def folder(self, folder: Path, what: str) -> dict[str, Get]:
        """Return all tensors of a folder's weights."""
        for pattern in ("*.safetensors", "pytorch_model*.bin"):
            files = sorted(folder.glob(pattern))
            files = [file for file in files if not file.name.startswith("adapter_")]
            if files:
                return {name: get for file in files for name, get in self.file(file).items()}
        raise UsageError(
            f"{folder} holds no weights of {what} (*.safetensors or pytorch_model*.bin). Check "
            "that the download is complete."
        )

    def file(self, path: Path) -> dict[str, Get]:
        """Return the tensors of one file.

        Raises:
            UsageError: if it is a pickle and none may be read, or holds something else.
        """
        if path.suffix == ".safetensors":
            return self._safe(path)
        if not self._pickles:
            raise UsageError(
                f"{path} is a pickle, a format that can run code when it is read. If you trust "
                "where it comes from, add --trust-pickles: then it is read with torch's "
                "weights_only, which takes tensors and nothing else."
            )
        import torch

        try:
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except Exception as error:
            reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else ""
            raise UsageError(
                f"{path} cannot be read as tensors ({type(error).__name__}: {reason}). It is "
                "damaged, or holds more than tensors; nothing of it was run."
            ) from error
        if not isinstance(found, dict) or not all(
            isinstance(name, str) and isinstance(value, torch.Tensor)
            for name, value in found.items()
        ):
            raise UsageError(f"{path} holds something else than tensors by name.")
        size = sum(value.nbytes for value in found.values())
        if size > path.stat().st_size:
            raise UsageError(f"{path} claims {size:,} bytes of tensors, more than the file has.")
        return {name: partial(_same, value) for name, value in found.items()}

    def _safe(self, path: Path) -> dict[str, Get]:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="pt") as file:
                return {name: partial(_stored, path, name) for name in list(file.keys())}
        except (SafetensorError, OSError) as error:
            raise UsageError(f"{path} is damaged ({error}). Download or copy it again.") from error


def _same(value: Tensor) -> Tensor:
    return value


def _stored(path: Path, name: str) -> Tensor:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        found: Tensor = file.get_tensor(name)
        return found
