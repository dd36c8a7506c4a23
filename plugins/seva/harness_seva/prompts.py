"""SeVa's training prompts out of LLaVA's instruction file, as this house's JSON lines.

``convert`` reads ``llava_v1_5_mix665k.json`` and writes the two parts that SeVa (arXiv
2404.10501, released ``data/step1``) asks: questions about book covers (``ocr_vqa/``) without the
line that wants a short answer, so that the model answers in sentences; and the items with images
of ``textvqa/``, which are TextCaps caption prompts. The released scripts left their seed commented
out, so their very draw cannot be repeated; here the seed alone decides.

    python -m harness_seva.prompts llava_v1_5_mix665k.json --images DIR --out prompts.jsonl
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, UsageError
from harness.records import seed_of
from harness.storage import write_whole

SHORT_ANSWER = "Answer the question using a single word or phrase."


@dataclass(frozen=True)
class Part:
    """Which rows of the file are asked.

    Attributes:
        name: folder that the images of this part lie in; the prompts' ids begin with it.
        images: how many images are drawn.
        questions: how many questions of each image are drawn.
    """

    name: str
    images: int
    questions: int


OCR_VQA = Part("ocr_vqa", images=4000, questions=2)
TEXT_VQA = Part("textvqa", images=8000, questions=1)


@dataclass(frozen=True)
class Converted:
    """What was written: how many prompts by part, and how many images were not there."""

    path: Path
    prompts: dict[str, int]
    absent: int


def convert(
    source: Path,
    images: Path,
    out: Path,
    *,
    parts: Sequence[Part] = (OCR_VQA, TEXT_VQA),
    seed: int = 0,
) -> Converted:
    """Draw SeVa's prompts and write them as JSON lines.

    Args:
        source: LLaVA's instruction file: a JSON list of ``{"id", "image", "conversations"}``.
        images: folder below which the file's image paths lie.
        out: where to write; image paths in it are relative to it.
        parts: what to draw.
        seed: decides which images and which of their questions.

    Raises:
        UsageError: if the file or the folder is not there.
        HarnessError: if the file is no such list, or none of its images is there.
    """
    if not source.is_file() or not images.is_dir():
        absent = source if not source.is_file() else images
        raise UsageError(f"There is no {absent}. Give LLaVA's instruction file and --images DIR.")
    asked = _questions(source, [part.name for part in parts])
    lines: list[str] = []
    written: dict[str, int] = {}
    absent_images = 0
    for part in parts:
        there = {name: rows for name, rows in asked[part.name].items() if (images / name).is_file()}
        absent_images += len(asked[part.name]) - len(there)
        drawn = sorted(there, key=lambda name: seed_of(seed, name))[: part.images]
        before = len(lines)
        for name in sorted(drawn):
            rows = there[name]
            order = sorted(range(len(rows)), key=lambda at: seed_of(seed, name, at))
            for at in sorted(order[: part.questions]):
                lines.append(_line(name, at, rows[at], images, out))
        written[part.name] = len(lines) - before
    if not lines:
        raise HarnessError(
            f"None of the images of {', '.join(asked)} named in {source} lies below {images}. Give "
            "the folder that holds those folders with --images."
        )
    write_whole(out, "".join(lines))
    return Converted(out, written, absent_images)


def question_of(text: str) -> str:
    """Return a human turn without the image mark and the short-answer line."""
    lines = [line for line in text.split("\n") if line.strip() not in ("<image>", SHORT_ANSWER)]
    return "\n".join(lines).replace("<image>", "").strip()


def _line(name: str, at: int, row: tuple[str, str], images: Path, out: Path) -> str:
    image = os.path.relpath(images / name, out.parent)
    shown = {"id": f"{name}#{at}", "image": image, "question": row[0], "reference": row[1]}
    return json.dumps(shown, ensure_ascii=False) + "\n"


def _questions(source: Path, names: Sequence[str]) -> dict[str, dict[str, list[tuple[str, str]]]]:
    """Return question and answer by part and image."""
    found: dict[str, dict[str, list[tuple[str, str]]]] = {name: {} for name in names}
    for row in _rows(source):
        image = row.get("image") or ""
        part = str(image).partition("/")[0]
        if part not in found:
            continue
        try:
            said = [turn["value"] for turn in row["conversations"]]
            turns = [
                (question_of(human), str(model))
                for human, model in zip(said[::2], said[1::2], strict=False)
            ]
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise HarnessError(
                f"The row {row.get('id')} of {source} holds no conversation ({error!r}). Download "
                "llava_v1_5_mix665k.json again."
            ) from error
        found[part].setdefault(image, []).extend(turns)
    return found


def _rows(source: Path) -> Iterator[dict[str, Any]]:
    """Decode the list one object at a time: the whole would take ten times its size."""
    text = source.read_text(encoding="utf-8")
    decoder = json.JSONDecoder()
    at = text.find("[") + 1
    try:
        while at and (at := _skip(text, at)) < len(text) and text[at] != "]":
            row, at = decoder.raw_decode(text, at)
            yield row
    except (ValueError, AttributeError) as error:
        raise HarnessError(
            f"{source} is no JSON list of conversations ({error}). Download "
            "llava_v1_5_mix665k.json again."
        ) from error


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n,":
        at += 1
    return at


def main(words: Sequence[str] | None = None) -> int:
    """Run the converter from a shell and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m harness_seva.prompts", description=__doc__)
    parser.add_argument("source", type=Path, help="llava_v1_5_mix665k.json")
    parser.add_argument("--images", type=Path, required=True, help="folder with ocr_vqa/, textvqa/")
    parser.add_argument("--out", type=Path, required=True, help="JSONL file to write")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(words)
    try:
        made = convert(given.source, given.images, given.out, seed=given.seed)
    except HarnessError as error:
        sys.stderr.write(f"Error: {error}\n")
        return int(error.code)
    counts = ", ".join(f"{count} {part}" for part, count in made.prompts.items())
    sys.stdout.write(f"{made.path}: {counts} ({made.absent} images absent)\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
