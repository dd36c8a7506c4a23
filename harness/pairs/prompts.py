"""Read training prompts, each an image with a question.

The format is JSON lines, ``{"image": ..., "question": ..., "reference": ..., "id": ...}``; image
paths are relative to the file. SIMA's published names ``text`` and ``ground_truth`` are accepted
for question and reference. A file of this form is ours to be right: one broken line is an error.
Tables of every other form are read by :mod:`harness.pairs.given`, which counts what it drops.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from harness.errors import HarnessError, UsageError
from harness.model import without_password
from harness.pairs.contents import Unusable, refuse_torn
from harness.pairs.forms import OWN_REFERENCES, recognise, reference_of
from harness.pairs.given import Given, given_fingerprint, read_given
from harness.pairs.tables import rows_of
from harness.records import Prompt
from harness.storage import files_digest, lines_of, parse_json

_MARK = re.compile(r"^\s*<image>\s*|\s*<image>\s*$")
"""The place of the image in LLaVA's data; a chat template puts its own."""
_ADDRESSES = ("http://", "https://", "data:")
_QUESTIONS = ("question", "text")


def gather(
    path: Path,
    limit: int | None = None,
    *,
    images: Path | None = None,
    keep: Path | None = None,
    allow_urls: bool = False,
    answers: bool = False,
) -> tuple[Given, str]:
    """Read the prompts, or pairs, of a file or folder in any form, and fingerprint them.

    Arguments and errors are those of :func:`harness.pairs.given.read_given`.
    """
    if not answers and _is_ours(path):
        prompts = read_prompts(path, limit, images)
        return Given(prompts), prompts_fingerprint(path, prompts)
    given = read_given(
        path, images=images, keep=keep, allow_urls=allow_urls, limit=limit, answers=answers
    )
    return given, given_fingerprint(path, given, keep)


def _is_ours(path: Path) -> bool:
    if path.suffix != ".jsonl" or not path.is_file():
        return False
    rows = (row.values or {} for row in rows_of(path))
    first = next(rows, {})
    form = recognise(first)
    return (form is None or form.name == "prompts") and not any(
        str(values.get("image")).lower().startswith(_ADDRESSES) for values in chain([first], rows)
    )


def read_prompts(
    path: Path, limit: int | None = None, images: Path | None = None
) -> tuple[Prompt, ...]:
    """Read a prompt file.

    Args:
        path: the file.
        limit: read only this number of prompts.
        images: where its image paths begin; beside the file by default.

    Raises:
        UsageError: if there is no such file.
        HarnessError: for a broken line, a missing key, a double id or a missing image, with the
            line's number.
    """
    if not path.is_file():
        raise UsageError(
            f"There is no prompt file {path}. Name one with --prompts FILE.jsonl, or leave the "
            "option out to use the built-in prompts."
        )
    prompts: dict[str, Prompt] = {}
    files: dict[str, Path] = {}  # prompts about one image hold one path
    for number, line in lines_of(path):
        prompt = _prompt(path, number, line, images or path.parent, files)
        if prompt.id in prompts:
            raise _broken(path, number, f"the id '{prompt.id}' is on an earlier line too")
        prompts[prompt.id] = prompt
        if limit is not None and len(prompts) >= limit:
            break
    if not prompts:
        raise HarnessError(f"The prompt file {path} holds no prompts. Add one JSON line for each.")
    return tuple(prompts.values())


def prompts_fingerprint(path: Path, prompts: Sequence[Prompt]) -> str:
    """Hash what the prompts say and the bytes of their images."""
    images = sorted({image for prompt in prompts for image in prompt.images})
    base = path.parent
    inside = [image for image in images if image.is_relative_to(base)]
    outside = [image for image in images if not image.is_relative_to(base)]
    return (
        files_digest(base, [path, *inside])[:32]
        + files_digest(Path(path.anchor or "/"), [image.absolute() for image in outside])[:16]
    )


def _prompt(path: Path, number: int, line: str, folder: Path, files: dict[str, Path]) -> Prompt:
    try:
        row = parse_json(line)
    except ValueError as error:
        raise _broken(path, number, f"it is not JSON ({error})") from error
    if not isinstance(row, dict):
        raise _broken(path, number, "it is not a JSON object")
    question = str(next((row[key] for key in _QUESTIONS if isinstance(row.get(key), str)), ""))
    if not _MARK.sub("", question).strip() or not isinstance(row.get("image"), str):
        raise _broken(path, number, "it needs the texts 'image' and 'question'")
    name = row["image"].removeprefix("file://")
    image = files.setdefault(name, folder / name)
    if not name or not os.path.isfile(image):  # Path.is_file raises for names that are too long
        raise _broken(path, number, _no_image(name, image))
    own, reference = row.get("id"), reference_of(row, OWN_REFERENCES)
    try:
        refuse_torn(question, reference)
    except Unusable as error:
        raise _broken(path, number, f"it holds {error.detail}") from error
    return Prompt(
        id=str(number if own is None else own),
        image=image,
        question=_MARK.sub("", question),
        reference=reference,
    )


def _no_image(name: str, image: Path) -> str:
    if name.lower().startswith(_ADDRESSES):
        told = without_password(name)[:80]
        return f"its image is an address ({told}), not a file; save it, and name the file"
    return f"its image {str(image)!r:.300} does not exist" if name else "its image has no name"


def _broken(path: Path, number: int, reason: str) -> HarnessError:
    return HarnessError(
        f"Line {number} of {path} cannot be used: {reason}. Expected, on one line: "
        '{"image": "picture.png", "question": "What is shown?", "reference": "optional"}. '
        "Repair or remove the line and run again."
    )
