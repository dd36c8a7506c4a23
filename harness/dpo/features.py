"""Image features that are kept from one visit of a row to the next."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from harness.dpo.forward import image_features


def pixel_key(vision: Mapping[str, Tensor]) -> str:
    """Hash what the tower reads of a row, so that another view of an image is another key."""
    made = hashlib.sha256()
    for name, value in sorted(vision.items()):
        made.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        made.update(value.contiguous().numpy().tobytes())
    return made.hexdigest()


class FeatureCache:
    """Features of frozen tower and projector, held in the host's memory up to a limit.

    Each image is read alone, so that its features are the same bytes whatever batch it is in and
    whether they were kept or not.

    Attributes:
        limit: bytes.
        held: bytes that are kept now.
        computed: how many images were read.
    """

    def __init__(self, limit: float) -> None:
        """Begin with nothing."""
        self.limit, self.held, self.computed = limit, 0, 0
        self._kept: dict[str, Tensor] = {}

    def of(
        self, network: Any, vision: Sequence[Mapping[str, Tensor]], keys: Sequence[str]
    ) -> list[Tensor]:
        """Return what :func:`~harness.dpo.forward.image_features` does, one tensor for each row."""
        return [self._one(network, one, key) for one, key in zip(vision, keys, strict=True)]

    def _one(self, network: Any, vision: Mapping[str, Tensor], key: str) -> Tensor:
        if vision and key in self._kept:
            return self._kept[key].to(vision["pixel_values"].device)
        (made,) = image_features(network, [vision], grad=False)
        self.computed += 1
        if self.held + made.nbytes <= self.limit:
            self.held += made.nbytes
            # A copy: what the tower returns may be a view of something larger.
            self._kept[key] = made.detach().clone().cpu()
        return made
