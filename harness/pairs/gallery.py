"""Pair diagnostics of a run: its report and the pictures of its examples, kept in the run folder.

A method shows what the model saw for the rejected answers with a module function
``pictures(pair, options, seed)``; see docs/write-a-method.md. Without it only the clean image is
shown.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from harness import progress
from harness.context import Context, Plan
from harness.pairs.diagnostics import by_text, diagnose, pairs_fingerprint, read_pairs
from harness.pairs.records import PairReport
from harness.records import Pair, fingerprint, to_json
from harness.storage import Memo, save_thumbnail

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
    """Return what :func:`examine` kept, or ``None`` where a run did not write the file."""
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
