"""What each augmentation of a run did: how far answers changed, and how hard its negatives are."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.pairs.diagnostics import read_pairs
from harness.pairs.gallery import read_pair_report
from harness.pairs.measures import changes
from harness.records import Drop, Pair, Request
from harness.storage import image_folder, thumbnail_in

if TYPE_CHECKING:
    import PIL.Image

CHOSEN = "augmentation"
"""Key of ``meta`` that says which of several augmentations gave the rejected answer."""


@dataclass(frozen=True)
class Augmentation:
    """One augmentation of a run's images; ``None`` is "not known", never zero.

    Attributes:
        name: as the method calls it.
        answers: how many answers under it are known.
        equal: share of them that did not change.
        near: share of them that changed in at most a tenth of the words.
        distance: mean share of the words that changed.
        pairs: pairs whose rejected answer came from it; ``None`` where pairs do not say.
        scored: of how many of those the next two are.
        ratio: mean log-probability of the chosen minus the rejected answer under the model before
            training, in nats: the smaller, the harder the negative.
        inverted: share of the pairs whose rejected answer is the more likely one.
    """

    name: str
    answers: int
    equal: float
    near: float
    distance: float
    pairs: int | None
    scored: int = 0
    ratio: float | None = None
    inverted: float | None = None


def augmentations_of(folder: Path, model: Any = None, *, limit: int = 64) -> list[Augmentation]:
    """Examine what the augmentations of a run did.

    Args:
        folder: a run, or one round of a run.
        model: the model before training; ``None`` scores no negatives.
        limit: how many pairs of each augmentation are scored.

    Raises:
        UsageError: if the pairs were not made by augmentations.
        HarnessError: if there are no finished pairs.
    """
    pairs, drops = read_pairs(folder)
    known = changes(_metas(pairs, drops))
    if not known:
        raise UsageError(
            f"The pairs of {folder} do not say what changed their answers (meta['changes']), so "
            "there is nothing to show by augmentation. See them with: harness pairs RUN"
        )
    alone = len(known) == 1
    found = []
    for each in known:
        own = [pair for pair in pairs if alone or pair.meta.get(CHOSEN) == each.name]
        told = alone or any(CHOSEN in pair.meta for pair in pairs)
        ratios = _ratios(own[:limit], model) if model is not None else []
        found.append(
            Augmentation(
                each.name,
                each.prompts,
                each.equal,
                each.near,
                each.distance,
                len(own) if told else None,
                len(ratios),
                statistics.fmean(ratios) if ratios else None,
                statistics.fmean(ratio < 0 for ratio in ratios) if ratios else None,
            )
        )
    return found


def _metas(pairs: Iterable[Pair], drops: Iterable[Drop]) -> list[Any]:
    return [*(pair.meta for pair in pairs), *(drop.meta for drop in drops)]


def _ratios(pairs: Sequence[Pair], model: Any) -> list[float]:
    """Return chosen minus mean rejected log-probability of each pair that could be scored."""
    asked = (
        Request(
            pair.prompt.question,
            (pair.prompt.open_image(),),
            max_new_tokens=1,
            choices=(pair.chosen, *pair.rejected),
        )
        for pair in pairs
    )
    scores = [answer.choices for answer in model.answer(asked)]
    return [each[0] - statistics.fmean(each[1:]) for each in scores if len(each) > 1]


def contact_sheet(folder: Path, out: Path) -> int:
    """Write the example pairs of a run, clean and augmented side by side, into one image.

    Returns:
        How many examples it shows; without any, no file is written.
    """
    import PIL.Image

    report = read_pair_report(folder)
    rows: list[list[PIL.Image.Image]] = []
    for example in report.examples if report is not None else ():
        files = [thumbnail_in(image_folder(folder), name) for name in example.pictures.values()]
        if files and all(files):
            rows.append([_opened(file) for file in files if file is not None])
    if not rows:
        return 0
    side = max(image.width for row in rows for image in row)
    tall = max(image.height for row in rows for image in row)
    sheet = PIL.Image.new("RGB", (side * max(map(len, rows)), tall * len(rows)), "white")
    for line, row in enumerate(rows):
        for place, image in enumerate(row):
            sheet.paste(image, (place * side, line * tall))
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(out)
    return len(rows)


def _opened(file: Path) -> PIL.Image.Image:
    from harness.records import open_image

    return open_image(file, f"the example {file.name}")
