"""Which regions of an image an answer rests on, before and after: by occlusion, asked of the model.

Each cell of a grid is painted in the image's mean colour, and the fall of the answer's
log-probability is what the answer owed to that cell. Painting all of it gives the image's share.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from harness import progress
from harness.benchmark import Task
from harness.context import Context, EvalPlan
from harness.records import Request, Sample, Samples, distinct, fingerprint, from_json, to_json
from harness.storage import Memo, save_thumbnail

if TYPE_CHECKING:
    import PIL.Image

GRID = 6
NAME = "attribution.json"
_MOST = 0.75  # opacity of the cell that an answer depends on most
_COLOUR = (214, 39, 40)


@dataclass(frozen=True)
class Reading:
    """How much one model's answer depends on the image, in nats of its log-probability.

    Attributes:
        answer: that is explained. Hostile text.
        cells: fall by cell, row by row.
        whole: fall when the whole image is painted.
        picture: name of the overlay in the run's ``images`` folder.
    """

    answer: str
    cells: tuple[float, ...]
    whole: float
    picture: str


@dataclass(frozen=True)
class Attribution:
    """One row of a benchmark, read by both models; the ``grid`` has so many cells on a side."""

    benchmark: str
    id: str
    question: str
    grid: int
    before: Reading
    after: Reading


@dataclass(frozen=True)
class Reliance:
    """How much answers of one benchmark owe to their images: mean falls in nats over its rows."""

    benchmark: str
    samples: int
    before: float
    after: float

    @property
    def note(self) -> str:
        """One sentence for a reader."""
        return (
            f"Image reliance on {self.benchmark}: painting the image in its mean colour lowers the "
            f"log-probability of the model's own answer by {self.after:.2f} nats on average over "
            f"{self.samples} rows ({self.before:.2f} before training)."
        )


def reliance_of(found: Sequence[Attribution]) -> tuple[Reliance, ...]:
    """Return the image reliance of each benchmark."""
    every = []
    for name in distinct(each.benchmark for each in found):
        own = [each for each in found if each.benchmark == name]
        before, after = (
            statistics.fmean(reading.whole for reading in readings)
            for readings in ([e.before for e in own], [e.after for e in own])
        )
        every.append(Reliance(name, len(own), before, after))
    return tuple(every)


def attribute(
    context: Context[EvalPlan], models: tuple[Any, Any], before: Samples, after: Samples, count: int
) -> tuple[Attribution, ...]:
    """Explain ``count`` rows, those first whose answers changed, the benchmarks in turn.

    Rows of several images and those without an answer are left out.
    """
    if not count:
        return ()
    names = {bench.name: bench.task for bench in context.plan.benchmarks}
    turns = zip_longest(*(_ordered(name, before[name], after[name]) for name in names))
    wanted = [each for turn in turns for each in turn if each is not None]
    stamp = fingerprint(
        *(model.fingerprint for model in models),
        [(name, one.id, one.answer, two.answer) for name, _, one, two in wanted],
        (count, GRID),
    )
    memo = Memo(context.folder / NAME)
    kept = memo.read(stamp)
    if kept is not None:
        return tuple(from_json(Attribution, each) for each in kept["found"])
    found: list[Attribution] = []
    tasks: dict[str, Task] = {}
    with progress.bar("attribution", total=count, unit="rows") as bar:
        for name, place, one, two in wanted:
            if len(found) == count:
                break
            if name not in tasks:
                tasks[name] = Task(names[name], context.plan.data)
            row = next(iter(tasks[name].rows(place, place + 1)))
            if row.problem is not None or len(row.images) != 1 or row.id != one.id:
                continue
            image = row.images[0].convert("RGB")
            cells = [_falls(m, image, s) for m, s in zip(models, (one, two), strict=True)]
            if cells[0] is None or cells[1] is None:
                continue
            found.append(_read(context, name, one, two, image, (cells[0], cells[1])))
            bar.advance(1)
    memo.write(stamp, found=[to_json(each) for each in found])
    return tuple(found)


def _ordered(
    name: str, before: Sequence[Sample], after: Sequence[Sample]
) -> list[tuple[str, int, Sample, Sample]]:
    """Return the answered rows of a benchmark with their places, changed answers first."""
    rows = [
        (name, place, one, two)
        for place, (one, two) in enumerate(zip(before, after, strict=True))
        if one.answer and two.answer
    ]
    return sorted(rows, key=lambda row: row[2].said == row[3].said)


def _falls(model: Any, image: PIL.Image.Image, sample: Sample) -> list[float] | None:
    """Return the fall of the answer's log-probability by cell, that of the whole image last."""
    shown = (image, *occluded(image))
    asked = (Request(sample.prompt, (each,), 1, choices=(str(sample.answer),)) for each in shown)
    scores = [answer.choices[0] if answer.choices else None for answer in model.answer(asked)]
    first, *rest = scores
    if first is None or any(score is None for score in rest):
        return None
    return [first - score for score in rest if score is not None]


def occluded(image: PIL.Image.Image) -> Iterator[PIL.Image.Image]:
    """Yield the image with each cell painted in its mean colour, then painted as a whole."""
    import PIL.ImageStat

    colour = tuple(round(value) for value in PIL.ImageStat.Stat(image).mean)
    for box in (*_boxes(image.size), (0, 0, *image.size)):
        painted = image.copy()
        painted.paste(colour, box)
        yield painted


def _boxes(size: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    width, height = size
    for row in range(GRID):
        for column in range(GRID):
            left, right = (width * (column + step) // GRID for step in (0, 1))
            top, bottom = (height * (row + step) // GRID for step in (0, 1))
            yield left, top, right, bottom


def _read(
    context: Context[EvalPlan],
    name: str,
    one: Sample,
    two: Sample,
    image: PIL.Image.Image,
    falls: tuple[Sequence[float], Sequence[float]],
) -> Attribution:
    most = max(0.0, *falls[0][:-1], *falls[1][:-1])
    readings = []
    for arm, sample, values in zip(("before", "after"), (one, two), falls, strict=True):
        *cells, whole = values
        key = fingerprint(name, sample.id, sample.answer, values)
        picture = f"attribution-{key[:16]}-{arm}"
        save_thumbnail(context.folder, picture, [overlay(image, cells, most)])
        readings.append(Reading(str(sample.answer), tuple(cells), whole, picture))
    return Attribution(name, one.id, one.prompt, GRID, *readings)


def overlay(image: PIL.Image.Image, cells: Sequence[float], most: float) -> PIL.Image.Image:
    """Colour each cell by how much the answer depends on it; ``most`` has the strongest colour."""
    import PIL.Image

    made = image.convert("RGB")
    for box, fall in zip(_boxes(image.size), cells, strict=True):
        opacity = _MOST * max(fall, 0.0) / most if most > 0 else 0.0
        part = made.crop(box)
        if 0 in part.size:  # of an image with fewer pixels than cells
            continue
        made.paste(PIL.Image.blend(part, PIL.Image.new("RGB", part.size, _COLOUR), opacity), box)
    return made
