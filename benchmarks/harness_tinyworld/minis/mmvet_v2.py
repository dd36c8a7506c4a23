"""MM-Vet v2 in miniature: open questions, some about a sequence of two images.

A row: {"id": "v2_0", "question": "What word is written in the image?<IMG><image_0>", "answer":
"CAT", "capability": ["ocr"], "added_in": "tinyworld", "image_0": ..., "image_1": None}
"""

from __future__ import annotations

from harness_tinyworld import describe, questions, reading
from harness_tinyworld.minis.common import asked
from harness_tinyworld.minis.mmvet import truth
from harness_tinyworld.minis.table import Mini, Row, Table
from harness_tinyworld.scenes import render

COUNT = 60
SEQUENCE = 5  # every fifth question shows another image before
ASKERS = (
    *(questions.colour, questions.position, reading.word, reading.arithmetic),
    *(describe.description, reading.category),
)


def rows() -> list[Row]:
    """Make all rows."""
    made: list[Row] = []
    before = None
    for n, (scene, question) in enumerate(asked("mmvet_v2", ASKERS, COUNT)):
        image = render(scene)
        skills = question.skills.split(",")
        text, images = f"{question.text}<IMG><image_0>", (image, None)
        if before is not None and n % SEQUENCE == 0:
            text = f"<IMG><image_0><IMG><image_1>About the last image: {question.text}"
            images, skills = (before, image), [*skills, "seq"]
        made.append(
            {
                "id": f"v2_{n}",
                "question": text,
                "answer": truth(scene, question),
                "capability": skills,
                "added_in": "tinyworld",
                "image_0": images[0],
                "image_1": images[1],
            }
        )
        before = image
    return made


COLUMNS = {
    **dict.fromkeys(("id", "question", "answer", "added_in"), "string"),
    "capability": ["string"],
    **dict.fromkeys(("image_0", "image_1"), "image"),
}
MINI = Mini(
    "mm-vet-v2",
    f"{COUNT} open questions about drawn images, a fifth of them with another image before.",
    (Table(COLUMNS, rows),),
)
