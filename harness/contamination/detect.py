"""Contamination check: benchmark images that a model may have seen in its training prompts.

Two signs. The *perceptual hash* of two images differs in few bits when one is a re-coded, resized
or slightly brightened copy of the other. The *COCO number* in file names and ids is that of one
photograph across editions: train2017 holds most of val2014, on which POPE and CHAIR rest.

The hash is a dHash (Krawetz): the image in grey, shrunk to 9 x 8, one bit for each pair of
neighbours in a row. Scaling and compression leave it nearly as it is. Images that are mostly empty
have similar hashes by chance, so a thumbnail in colour has to agree too. Neither survives cropping
or turning: a check that is silent proves nothing about those.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.records import Prompt, open_image

if TYPE_CHECKING:
    import PIL.Image

    from harness.benchmark import Benchmark, Task

THRESHOLD = 8
"""Bits of 64 in which the hashes of copies may differ. Re-coding at JPEG quality 50, halving and
odd resizing cost drawings up to 8 bits, because noise decides a bit where an image is flat; unlike
drawings differ in about 20."""
LEVELS = 20.0
"""Largest difference of two 8 x 8 colour thumbnails, in levels of 255 and without their mean
colour, that copies may have: 15 was measured after the changes above, 19.5 after brightening by a
tenth. Of 192,000 pairs of unlike drawings 717 had similar hashes, and none came below 24."""
_COCO_NAME = re.compile(
    r"COCO_(?:train|val|test)20\d\d_0*(\d+)|(?:train|val)20\d\d/0*(\d+)|(?:^|/)0{5,}(\d+)(?:\.\w+)?$"
)


@dataclass(frozen=True)
class Look:
    """What is compared of an image: 64 bits, and its thumbnail without the mean colour."""

    bits: int
    thumbnail: tuple[float, ...]


@dataclass(frozen=True)
class Seen:
    """An image of the training prompts: who shows it, its looks, its COCO number if it has one."""

    owner: str
    look: Look
    coco: int | None = None


@dataclass(frozen=True)
class Touch:
    """A benchmark row whose image was found among the training prompts.

    Attributes:
        row: id of the sample.
        owner: id of the prompt with the nearest image.
        bits: in which the two hashes differ; ``None`` where only the COCO numbers agree.
        coco: the common COCO number, if that is the sign.
    """

    row: str
    owner: str
    bits: int | None
    coco: int | None


@dataclass(frozen=True)
class Contamination:
    """What was found in one benchmark: how many rows were looked at, and the touched ones."""

    benchmark: str
    rows: int
    touched: tuple[Touch, ...]


def dhash(image: PIL.Image.Image) -> int:
    """Return 64 bits that survive scaling and compression: which of two neighbours is lighter."""
    import PIL.Image

    small = image.convert("L").resize((9, 8), PIL.Image.Resampling.BOX, reducing_gap=None)
    grey = small.tobytes()
    value = 0
    for row in range(8):
        for column in range(8):
            left, right = grey[row * 9 + column], grey[row * 9 + column + 1]
            value = value << 1 | (left > right)
    return value


def look_of(image: PIL.Image.Image) -> Look:
    """Return hash and thumbnail of an image."""
    import PIL.Image

    small = image.convert("RGB").resize((8, 8), PIL.Image.Resampling.BOX).tobytes()
    channels = [small[start::3] for start in range(3)]
    levels = [value - sum(part) / len(part) for part in channels for value in part]
    return Look(dhash(image), tuple(levels))


def alike(one: Look, two: Look) -> bool:
    """Say whether two images look like copies of one."""
    if distance(one.bits, two.bits) > THRESHOLD:
        return False
    pairs = zip(one.thumbnail, two.thumbnail, strict=True)
    return max(abs(a - b) for a, b in pairs) <= LEVELS


def distance(one: int, two: int) -> int:
    """Return in how many bits two hashes differ."""
    return (one ^ two).bit_count()


def coco_number(text: str) -> int | None:
    """Read the number of a COCO photograph from a path or id; ``None`` if it is none.

    ``COCO_val2014_000000310196``, ``train2017/000000310196.jpg`` and ``000000310196.jpg`` are one
    photograph; a bare short number is not taken for one.
    """
    found = _COCO_NAME.search(text)
    return int(next(part for part in found.groups() if part)) if found else None


def seen(prompts: Iterable[tuple[str, str, PIL.Image.Image]]) -> tuple[Seen, ...]:
    """Hash the images of the training prompts.

    Args:
        prompts: id, path or name of the image, and the image, of each.
    """
    return tuple(Seen(owner, look_of(image), coco_number(name)) for owner, name, image in prompts)


def seen_in(prompts: Iterable[Prompt]) -> tuple[Seen, ...]:
    """Hash the images of a prompt file, each file once.

    Raises:
        HarnessError: if an image cannot be decoded.
    """
    files = {image: prompt.id for prompt in prompts for image in prompt.images}
    return seen((owner, str(file), open_image(file, owner)) for file, owner in files.items())


def scan(
    benchmark: str,
    rows: Iterable[tuple[str, Sequence[str], Sequence[PIL.Image.Image]]],
    known: Sequence[Seen],
) -> Contamination:
    """Look for the images of a benchmark among those of the training prompts.

    Args:
        benchmark: its name.
        rows: id, texts that may hold a COCO number (``image_source``, ``question_id`` ...), and
            images, of each row.
        known: what :func:`seen` found.
    """
    numbers = {item.coco: item for item in known if item.coco is not None}
    looks = _Known(known)
    touched, count = [], 0
    for row, texts, images in rows:
        count += 1
        shared = [n for n in map(coco_number, texts) if n is not None and n in numbers]
        near = [looks.nearest(look_of(image)) for image in images]
        found = min((hit for hit in near if hit is not None), key=lambda hit: hit[0], default=None)
        if found is not None:
            touched.append(Touch(row, found[1].owner, found[0], next(iter(shared), None)))
        elif shared:
            touched.append(Touch(row, numbers[shared[0]].owner, None, shared[0]))
    return Contamination(benchmark, count, tuple(touched))


def inspect(
    benchmark: Benchmark, task: Task, known: Sequence[Seen], limit: int | None = None
) -> Contamination:
    """Look for the images of a loaded benchmark among those of the training prompts."""
    rows = (
        (row.id, (*names_in(row.doc), benchmark.image_source(row.doc)), row.images)
        for row in task.rows(0, limit)
        if row.problem is None
    )
    return scan(benchmark.name, rows, known)


def names_in(doc: Mapping[str, object]) -> tuple[str, ...]:
    """Return a row's short texts that may hold a COCO number."""
    keys = ("image_source", "image_id", "imageId", "question_id", "id", "file_name", "img_id")
    return tuple(str(doc[key]) for key in keys if isinstance(doc.get(key), str | int))


class _Known:
    """The looks of the training images, held so that one image is compared with all at once."""

    def __init__(self, known: Sequence[Seen]) -> None:
        import numpy as np

        self._known = known
        self._bits = np.array([item.look.bits for item in known], dtype=np.uint64)
        self._found: dict[Look, tuple[int, Seen] | None] = {}

    def nearest(self, look: Look) -> tuple[int, Seen] | None:
        """Return the nearest copy and in how many bits it differs, or ``None``."""
        import numpy as np

        if look not in self._found:
            bits = np.bitwise_count(self._bits ^ np.uint64(look.bits))
            close = (
                (int(bits[place]), self._known[place])
                for place in np.flatnonzero(bits <= THRESHOLD).tolist()
                if alike(look, self._known[place].look)
            )
            self._found[look] = min(close, key=lambda hit: hit[0], default=None)
        return self._found[look]
