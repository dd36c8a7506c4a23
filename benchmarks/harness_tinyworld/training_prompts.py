"""The training prompts: an image, a free-form question, and a reference answer.

This module makes them; the folder `prompts` beside it holds them as shipped.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from harness_tinyworld import describe, lessons, questions
from harness_tinyworld.minis.table import png
from harness_tinyworld.questions import Asker, Question
from harness_tinyworld.scenes import PROMPT, Scene, make_scene, render

COUNT = 640
MIX: dict[Asker | None, int] = {  # None: any kind of question that has a sentence for an answer
    describe.description: 26,
    describe.brief: 12,
    describe.half: 8,
    describe.colours: 4,
    describe.shapes: 6,
    questions.existence: 16,
    questions.colour: 8,
    questions.count: 8,
    None: 12,
}


@dataclass(frozen=True, slots=True)
class Prompt:
    """One line of the prompt file; `image` is relative to that file."""

    id: str
    image: str
    question: str
    reference: str


def _asked(scene: Scene, rng: random.Random) -> Question:
    while True:
        asker = rng.choices(list(MIX), list(MIX.values()))[0]
        asked = asker(scene, rng) if asker else lessons.draw(scene, rng)
        if asked and asked.kind not in ("chinese", "unanswerable"):
            return asked


def make_prompts() -> Iterator[tuple[Prompt, Scene]]:
    """Yield every prompt with its scene."""
    for number in range(COUNT):
        scene = make_scene(PROMPT + number)
        asked = _asked(scene, random.Random(f"prompt {number}"))
        name = f"p{number:04d}"
        yield Prompt(name, f"images/{name}.png", asked.text, asked.right.sentence), scene


def write(folder: Path) -> Path:
    """Write `prompts.jsonl` and its images to a folder; return the file."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    lines = []
    for prompt, scene in make_prompts():
        (folder / prompt.image).write_bytes(png(render(scene)))
        lines.append(json.dumps(asdict(prompt), ensure_ascii=False))
    target = folder / "prompts.jsonl"
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return target
