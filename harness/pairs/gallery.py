"""Pair diagnostics of a run: its report and the pictures of its examples, kept in the run folder.

A method shows what the model saw for the rejected answers with a module function
``pictures(pair, options, seed)``; see docs/write-a-method.md. Without it only the clean image is
shown. Of a method's augmentations it says how far answers changed, and how hard its negatives are.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import progress
from harness.context import Context, Plan
from harness.errors import UsageError
from harness.pairs.diagnostics import by_text, diagnose, pairs_fingerprint, read_pairs
from harness.pairs.measures import PairReport, changes
from harness.records import Pair, Request, fingerprint, to_json
from harness.storage import Memo, image_folder, save_thumbnail, thumbnail_in

if TYPE_CHECKING:
    import PIL.Image


NAME = "pair_report.json"
CLEAN = "clean"
_REPORT = "report"


def pair_diagnostics(context: Context[Plan]) -> PairReport:
    """Examine the pairs of a run once, draw the examples' pictures, and keep both.

    Raises:
        HarnessError: if the folder has no finished pairs, or cannot be written.
    """
    folder, method = context.folder, context.plan.method
    stamp = pairs_fingerprint(folder)
    memo = Memo(folder / NAME)
    if (known := memo.record(_REPORT, PairReport, stamp)) is not None:
        return known
    pairs, drops = read_pairs(folder)
    found = diagnose(pairs, drops, seed=context.plan.seed)
    texts = ((pair, by_text(pair)) for pair in pairs)
    by_texts = {(one.prompt.id, one.chosen, one.rejected): pair for pair, one in texts}
    examples, failures = [], []
    for example in found.examples:
        pair = by_texts[example.id, example.chosen, example.rejected]
        pictures: dict[str, PIL.Image.Image] = {}
        try:
            clean = pair.prompt.open_images()
            labels = [CLEAN, *(f"image {number}" for number in range(2, len(clean) + 1))]
            pictures |= dict(zip(labels, clean, strict=False))
            pictures |= _shown(pair, context.plan)
        except Exception as error:
            failures.append(f"{type(error).__name__}: {error}")
        names = _saved(folder, fingerprint(stamp, pair.prompt.id), pictures)
        examples.append(dataclasses.replace(example, pictures=names))
    found = dataclasses.replace(found, examples=tuple(examples))
    memo.write(stamp, **{_REPORT: to_json(found)})
    if failures:
        progress.say(
            f"{len(failures)} of {len(examples)} example pairs lack a picture of what was "
            f"rejected: 'pictures' of the method '{method.name}' ({method.owner}) failed with "
            f"{failures[0]}"
        )
    for warning in found.warnings:
        progress.say(f"Pairs: {warning}")
    return found


def read_pair_report(folder: Path) -> PairReport | None:
    """Return what :func:`pair_diagnostics` kept, or ``None`` where a run did not write the file."""
    return Memo(folder / NAME).record(_REPORT, PairReport)


def _shown(pair: Pair, plan: Plan) -> Mapping[str, PIL.Image.Image]:
    """Return what the method shows; whatever it raises costs the picture, not the run."""
    draw = getattr(plan.method.module, "pictures", None)
    made = {} if draw is None else draw(pair=pair, options=plan.options, seed=plan.seed)
    return {str(label): image.convert("RGB") for label, image in made.items()}


def _saved(folder: Path, stamp: str, pictures: Mapping[str, PIL.Image.Image]) -> Mapping[str, str]:
    names = {}
    for number, (label, image) in enumerate(pictures.items()):
        names[label] = f"pair-{stamp}-{number}"
        save_thumbnail(folder, names[label], [image])
    return names


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
    known = changes([*(pair.meta for pair in pairs), *(drop.meta for drop in drops)])
    if not known:
        raise UsageError(
            f"The pairs of {folder} do not say what changed their answers (meta['changes']), so "
            "there is nothing to show by augmentation. See them with: harness pairs RUN"
        )
    alone = len(known) == 1
    told = alone or any(CHOSEN in pair.meta for pair in pairs)
    found = []
    for each in known:
        own = [pair for pair in pairs if alone or pair.meta.get(CHOSEN) == each.name]
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
