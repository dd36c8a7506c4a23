"""The cache key of an answer: a hash over everything that determines it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.records import Request

if TYPE_CHECKING:
    import PIL.Image

ENGINE_VERSION = "1"
"""Grows when the engine would answer an old request differently."""
SAMPLING_VERSION = "2"
"""Grows when only sampled answers would differ; greedy ones keep their keys."""


@dataclass(frozen=True, slots=True, eq=False)
class EngineRequest:
    """A request on its way to the engine.

    Attributes:
        request: the request.
        rendered: the prompt as the model reads it.
        images: hash of each image's content.
    """

    request: Request
    rendered: str
    images: tuple[str, ...]


class ImageDigests:
    """Hashes of image contents; an image object seen again is not hashed again.

    The object is kept, so that its id cannot pass to another image meanwhile: use one instance
    per window of requests.
    """

    def __init__(self) -> None:
        """Begin with nothing known."""
        self._known: dict[int, tuple[PIL.Image.Image, str]] = {}

    def of(self, image: PIL.Image.Image) -> str:
        """Hash mode, size, palette and pixels."""
        known = self._known.get(id(image))
        if known is None:
            total = hashlib.sha256(f"{image.mode} {image.size}".encode())
            total.update(image.tobytes())
            palette = image.getpalette() if image.mode == "P" else None
            total.update(repr((palette, image.info.get("transparency"))).encode())
            known = self._known[id(image)] = (image, total.hexdigest())
        return known[1]


def answer_key(model: str, rendered: str, request: Request, digests: ImageDigests) -> str:
    """Return the key under which the answer to a request is stored; every field of it counts."""
    # A greedy answer does not depend on seed and nucleus, so their values must not split it.
    sampled = [request.temperature, request.top_p, request.seed, SAMPLING_VERSION]
    settings: list[object] = [
        ENGINE_VERSION,
        model,
        rendered,
        [digests.of(image) for image in request.images],
        repr(request.view) if request.view is not None else None,
        request.max_new_tokens,
        sampled if request.temperature > 0 else None,
        list(request.stop),
        list(request.choices),
    ]
    text = json.dumps(settings, ensure_ascii=True)
    return "answer:" + hashlib.sha256(text.encode()).hexdigest()
