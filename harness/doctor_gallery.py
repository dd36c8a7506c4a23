"""The pair doctor of a run: its report and the pictures of its examples, kept in the run folder.

A method shows what the model saw for the rejected answers with a module function
``pictures(pair, options, seed)``; see docs/write-a-method.md. Without it only the clean image is
shown.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import progress
from harness.comparison_training import PairReport
from harness.doctor import diagnose, pairs_fingerprint, read_pairs
from harness.folder import write_json
from harness.plugins import Method
from harness.records import Pair, fingerprint, from_json, to_json
from harness.thumbnails import save_thumbnail

if TYPE_CHECKING:
    import PIL.Image

NAME = "pair_report.json"
CLEAN = "clean"


def examine(folder: Path, method: Method, options: Any, *, seed: int) -> PairReport:
    """Examine the pairs of a run once, draw the examples' pictures, and keep both.

    Raises:
        HarnessError: if the folder has no finished pairs, or cannot be written.
    """
    stamp = pairs_fingerprint(folder)
    if (known := _read(folder, stamp)) is not None:
        return known
    pairs, drops = read_pairs(folder)
    found = diagnose(pairs, drops, seed=seed)
    by_texts = {(pair.prompt.id, pair.chosen, pair.rejected): pair for pair in pairs}
    examples = []
    for example in found.examples:
        pair = by_texts[example.id, example.chosen, example.rejected]
        pictures = _drawn(pair, method, options, seed)
        names = _saved(folder, fingerprint(stamp, pair.prompt.id), pictures)
        examples.append(dataclasses.replace(example, pictures=names))
    found = dataclasses.replace(found, examples=tuple(examples))
    write_json(folder / NAME, {"fingerprint": stamp, "report": to_json(found)})
    for warning in found.warnings:
        progress.say(f"Pairs: {warning}")
    return found


def read_pair_report(folder: Path) -> PairReport | None:
    """Return what :func:`examine` kept, or ``None`` where a run has no such file."""
    return _read(folder, None)


def _read(folder: Path, stamp: str | None) -> PairReport | None:
    try:
        kept = json.loads((folder / NAME).read_text(encoding="utf-8"))
        fits = stamp is None or kept["fingerprint"] == stamp
        return from_json(PairReport, kept["report"]) if fits else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _drawn(pair: Pair, method: Method, options: Any, seed: int) -> Mapping[str, PIL.Image.Image]:
    """Return the clean image and what the method shows; a report does without, a run goes on."""
    shown = {CLEAN: pair.prompt.open_image()}
    draw = getattr(method.module, "pictures", None)
    if draw is None:
        return shown
    try:
        return {**shown, **draw(pair=pair, options=options, seed=seed)}
    except Exception as error:
        progress.say(
            f"No picture of what was rejected for prompt '{pair.prompt.id}': 'pictures' of the "
            f"method '{method.name}' ({method.owner}) failed: {type(error).__name__}: {error}"
        )
        return shown


def _saved(folder: Path, stamp: str, pictures: Mapping[str, PIL.Image.Image]) -> Mapping[str, str]:
    names = {}
    for number, (label, image) in enumerate(pictures.items()):
        names[label] = f"pair-{stamp}-{number}"
        save_thumbnail(folder, names[label], [image])
    return names
