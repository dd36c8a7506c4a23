"""Contamination check: benchmark images that a model may have seen in its training prompts.

Two signs. The *perceptual hash* of two images differs in few bits when one is a re-coded, resized
or slightly brightened copy of the other. The *COCO number* in file names and ids is that of one
photograph across editions: train2017 holds most of val2014, on which POPE and CHAIR rest.

The hash is a dHash (Krawetz): the image in grey, shrunk to 9 x 8, one bit for each pair of
neighbours in a row. Scaling and compression leave it nearly as it is. Images that are mostly empty
have similar hashes by chance, so a thumbnail in colour has to agree too. Neither survives cropping
or turning: a check that finds nothing proves nothing about those.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from harness import progress
from harness.benchmark import Benchmark, Metric, Task, headline
from harness.compare import Comparison, compare
from harness.context import Context, Plan
from harness.errors import HarnessError
from harness.records import UNREADABLE, Prompt, Samples, fingerprint, open_image, to_json
from harness.stats import half_up
from harness.storage import lines_of, parse_json

if TYPE_CHECKING:
    import PIL.Image


THRESHOLD = 8
"""Bits of 64 in which the hashes of copies may differ. Re-coding at JPEG quality 50, halving and
odd resizing cost drawings up to 8 bits, because noise decides a bit where an image is flat; unlike
drawings differ in about 20."""
LEVELS = 20.0
"""Largest difference of two 8 x 8 colour thumbnails, in levels of 255 and without their mean
colour, that copies may have: 15 was measured after the changes above, 19.5 after brightening by a
tenth. Of 192,000 pairs of unlike drawings 717 had similar hashes, and none came below 24."""
_COCO_NAME = re.compile(
    r"COCO_(?:train|val|test)20\d\d_0*(\d+)|(?:train|val)20\d\d/0*(\d+)|(?:^|/)0{6}(\d{6})(?:\.\w+)?$"
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


def seen_in(prompts: Iterable[Prompt], dropped: Collection[str] = ()) -> tuple[Seen, ...]:
    """Hash the images of a prompt file, each file once.

    Args:
        prompts: all of the file.
        dropped: ids of those that the pair stage dropped, as an image of theirs cannot be read.

    Raises:
        HarnessError: if the image of another prompt cannot be read.
    """
    files = {image: prompt.id for prompt in prompts for image in prompt.images}
    found: list[Seen] = []
    for file, owner in files.items():
        try:
            found += seen([(owner, str(file), open_image(file, owner))])
        except HarnessError:
            if owner not in dropped:
                raise
    if lost := len(files) - len(found):
        progress.say(f"{lost} unreadable images of the prompts are not looked for in benchmarks.")
    return tuple(found)


def _unreadable(folder: Path) -> set[str]:
    """Return the ids of the prompts that the pair stage dropped for an unreadable image."""
    file = folder / "dropped.jsonl"
    drops = [parse_json(line) for _, line in lines_of(file)] if file.is_file() else []
    return {each["prompt"]["id"] for each in drops if each["reason"] == UNREADABLE}


def scan(
    rows: Iterable[tuple[str, Sequence[str], Sequence[PIL.Image.Image]]],
    known: Sequence[Seen],
) -> Contamination:
    """Look for the images of a benchmark among those of the training prompts.

    Args:
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
    return Contamination(count, tuple(touched))


def inspect(
    benchmark: Benchmark, task: Task, known: Sequence[Seen], limit: int | None = None
) -> ImageOverlap:
    """Look for the images of a loaded benchmark among those of the training prompts."""
    rows = (
        (row.id, (*names_in(row.doc), benchmark.image_source(row.doc)), row.images)
        for row in task.rows(0, limit)
        if row.problem is None
    )
    found = scan(rows, known)
    ids = tuple(touch.row for touch in found.touched)
    by_number = sum(touch.bits is None for touch in found.touched)
    return ImageOverlap(benchmark.name, found.rows, ids, by_number)


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


_VERSION = 1  # of the contamination check itself: grows when it would find something else


@dataclass(frozen=True)
class ImageOverlap:
    """Rows of one benchmark whose image was found among the training prompts.

    Attributes:
        benchmark: as in ``--bench``.
        rows: how many rows were looked at.
        ids: those that show an image of the training prompts.
        by_number: of these, rows that only share a photograph's number in its collection, such as
            a COCO number; their pixels may differ.
    """

    benchmark: str
    rows: int
    ids: tuple[str, ...]
    by_number: int


@dataclass(frozen=True)
class CleanResult:
    """One headline column over the rows that were not touched; fields as in ``MetricResult``."""

    column: str
    unit: str
    digits: int
    samples: int
    before: float | None
    after: float | None
    difference: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Overlap:
    """The contamination check's finding on one benchmark.

    Attributes:
        touched: the rows.
        figures: headline columns without them; empty where none was touched, or all were.
    """

    touched: ImageOverlap
    figures: tuple[CleanResult, ...] = ()

    @property
    def note(self) -> str:
        """One or two sentences for a reader; empty where nothing was touched."""
        found = self.touched
        if not found.ids:
            return ""
        number = f", {found.by_number} of them by its number only" if found.by_number else ""
        text = (
            f"{found.benchmark}: {len(found.ids)} of {found.rows} rows show an image of the "
            f"training prompts{number}."
        )
        told = "; ".join(_told(figure) for figure in self.figures)
        return f"{text} Without them: {told}." if told else f"{text} None is left without them."


def check_contamination(context: Context[Plan]) -> tuple[ImageOverlap, ...]:
    """Look for the images of the training prompts in every benchmark.

    Findings are kept in the store, so that a second run on the same prompts and data, with
    whatever method, decodes nothing.
    """
    plan, store = context.plan, context.store
    limit = plan.settings.limit
    keys = {
        benchmark.name: "radar:"
        + fingerprint(
            [_VERSION, THRESHOLD, LEVELS],
            [prompt.id for prompt in plan.prompts],
            plan.inputs["prompts"],
            plan.inputs[f"bench:{benchmark.name}"],
            limit,
        )
        for benchmark in plan.benchmarks
    }
    found = store.records(keys.values(), ImageOverlap)
    waiting = [benchmark for benchmark in plan.benchmarks if keys[benchmark.name] not in found]
    if waiting:
        with progress.bar("contamination", len(waiting), "benchmarks") as bar:
            bar.advance(0, "images of the prompts")
            known = seen_in(plan.prompts, _unreadable(context.folder))
            for benchmark in waiting:
                bar.advance(0, benchmark.name)
                touched = inspect(benchmark, Task(benchmark.task, plan.data), known, limit)
                store.put({keys[benchmark.name]: to_json(touched)})
                found[keys[benchmark.name]] = touched
                bar.advance(1)
    return tuple(found[keys[benchmark.name]] for benchmark in plan.benchmarks)


def overlaps_of(
    touched: Sequence[ImageOverlap],
    before: Samples,
    after: Samples,
    columns: Mapping[str, Sequence[Metric]],
    comparison: Comparison,
    more: Sequence[tuple[Samples, Samples]] = (),
) -> tuple[Overlap, ...]:
    """Compare again without the touched rows, as the comparison was made; see `compare`."""
    arms = [(before, after), *more]
    return tuple(
        Overlap(found, _figures(found, arms, columns[found.benchmark], comparison))
        for found in touched
        if found.benchmark in columns
    )


def _figures(
    found: ImageOverlap,
    arms: Sequence[tuple[Samples, Samples]],
    columns: Sequence[Metric],
    comparison: Comparison,
) -> tuple[CleanResult, ...]:
    name, left_out = found.benchmark, frozenset(found.ids)

    def kept(arm: Samples) -> Samples:
        return {name: tuple(row for row in arm[name] if row.id not in left_out)}

    (before, after), *more = [(kept(one), kept(two)) for one, two in arms]
    if not left_out or not before[name] or not after[name]:
        return ()
    again = compare(
        before,
        after,
        {name: headline(columns)},
        more=more,
        seed=comparison.seed,
        draws=comparison.draws,
        **asdict(comparison.terms),
        partial=any(each.left_out for each in comparison.benchmarks),
    )
    return tuple(
        CleanResult(**{field.name: getattr(figure, field.name) for field in fields(CleanResult)})
        for figure in again.benchmarks[0].figures
    )


def _told(figure: CleanResult) -> str:
    if figure.before is None or figure.after is None or figure.difference is None:
        return f"{figure.column} cannot be known"
    before, after, difference = (
        half_up(value, figure.digits) for value in (figure.before, figure.after, figure.difference)
    )
    text = f"{figure.column} {before} before, {after} after, {difference:+}"
    if figure.interval is not None:
        low, high = (half_up(end, figure.digits) for end in figure.interval)
        text += f" [{low:+}, {high:+}]"
    return text
