"""The radar finds copies, however they were saved, and leaves different images alone."""

from __future__ import annotations

import io
from collections.abc import Callable

import PIL.Image
import PIL.ImageEnhance
import pytest
from harness_tinyworld.scenes import POPE, PROMPT, make_scene, render

from harness import radar
from harness.records import Sample

Change = Callable[[PIL.Image.Image], PIL.Image.Image]


def jpeg(image: PIL.Image.Image, quality: int) -> PIL.Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return PIL.Image.open(buffer).convert("RGB")


CHANGES: dict[str, Change] = {
    "JPEG at quality 50": lambda image: jpeg(image, 50),
    "half the size": lambda image: image.resize((40, 40)),
    "an odd size": lambda image: image.resize((111, 97), PIL.Image.Resampling.LANCZOS),
    "larger, then JPEG": lambda image: jpeg(image.resize((200, 200)), 60),
    "a little darker": lambda image: PIL.ImageEnhance.Brightness(image).enhance(0.95),
}


def drawings(first: int, count: int) -> list[PIL.Image.Image]:
    return [PIL.Image.fromarray(render(make_scene(first + n))) for n in range(count)]


def test_dhash_by_hand() -> None:
    ramp = PIL.Image.new("L", (9, 8))
    ramp.putdata([20 * (8 - column) for _ in range(8) for column in range(9)])
    assert radar.dhash(ramp) == 2**64 - 1, "every pixel is lighter than its right neighbour"
    assert radar.dhash(ramp.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT)) == 0
    step = PIL.Image.new("L", (9, 8))
    step.putdata([255 if column < 4 else 0 for _ in range(8) for column in range(9)])
    assert radar.dhash(step) == int("00010000" * 8, 2), "one edge in each row"
    assert radar.distance(0b1011, 0b0010) == 2


@pytest.mark.parametrize("name", CHANGES)
def test_a_copy_is_found(name: str) -> None:
    images = drawings(PROMPT, 60)
    known = radar.seen((f"p{n}", f"p{n}.png", image) for n, image in enumerate(images))
    rows = [(str(n), (), [CHANGES[name](image)]) for n, image in enumerate(images)]
    found = radar.scan("pope", rows, known)
    assert [(touch.row, touch.owner) for touch in found.touched] == [
        (str(n), f"p{n}") for n in range(60)
    ]


def test_other_images_are_left_alone() -> None:
    known = radar.seen((f"p{n}", "", image) for n, image in enumerate(drawings(PROMPT, 200)))
    rows = [(str(n), (), [image]) for n, image in enumerate(drawings(POPE, 100))]
    found = radar.scan("pope", rows, known)
    assert (found.rows, found.touched) == (100, ())


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("COCO_val2014_000000310196", 310196),
        ("COCO_train2014_000000000009.jpg", 9),
        ("coco/train2017/000000310196.jpg", 310196),
        ("000000310196.jpg", 310196),
        ("images/000000310196.jpg", 310196),
        ("310196", None),
        ("p0001.png", None),
        ("tinyworld_3000000001", None),
        ("ocr_vqa/images/0001.jpg", None),
        ("2324501", None),
    ],
)
def test_coco_numbers(text: str, number: int | None) -> None:
    assert radar.coco_number(text) == number


def test_the_same_photograph_in_another_edition_is_found_by_its_number() -> None:
    one, two = drawings(PROMPT, 2)
    known = radar.seen([("llava-7", "coco/train2017/000000310196.jpg", one)])
    rows = [
        ("4", ("COCO_val2014_000000310196",), [two]),
        ("5", ("COCO_val2014_000000310197",), [two]),
    ]
    (touch,) = radar.scan("pope", rows, known).touched
    assert touch == radar.Touch("4", "llava-7", None, 310196)


def test_the_figure_without_the_touched_rows() -> None:
    samples = tuple(
        Sample(str(n), "", "", "", "", "yes", 1, "stop", scores={"strict": float(n < 2)})
        for n in range(4)
    )
    found = radar.Contamination("pope", 4, (radar.Touch("0", "p1", 0, None),))
    assert [sample.id for sample in radar.without(samples, found)] == ["1", "2", "3"]
    assert found.ids == {"0"}
    doc = {"image_source": "COCO_val2014_000000310196", "question_id": 3, "image": object()}
    assert radar.names_in(doc) == ("COCO_val2014_000000310196", "3")
