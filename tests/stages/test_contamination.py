"""Copies are found, however they were saved; different images are left alone."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import PIL.Image
import PIL.ImageEnhance
import pytest
from harness_tinyworld import DATA
from harness_tinyworld.scenes import POPE, PROMPT, make_scene, render

from harness.compare import compare
from harness.errors import HarnessError
from harness.plugins import load
from harness.records import UNREADABLE, Drop, Prompt, to_json
from harness.stages import contamination as detect
from harness.stages.contamination import ImageOverlap, check_contamination, overlaps_of
from tests.support.contexts import run_context
from tests.support.finished import pope

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
    assert detect.dhash(ramp) == 2**64 - 1, "every pixel is lighter than its right neighbour"
    assert detect.dhash(ramp.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT)) == 0
    step = PIL.Image.new("L", (9, 8))
    step.putdata([255 if column < 4 else 0 for _ in range(8) for column in range(9)])
    assert detect.dhash(step) == int("00010000" * 8, 2), "one edge in each row"
    assert detect.distance(0b1011, 0b0010) == 2


@pytest.mark.parametrize("name", CHANGES)
def test_a_copy_is_found(name: str) -> None:
    images = drawings(PROMPT, 60)
    known = detect.seen((f"p{n}", f"p{n}.png", image) for n, image in enumerate(images))
    rows = [(str(n), (), [CHANGES[name](image)]) for n, image in enumerate(images)]
    found = detect.scan(rows, known)
    assert [(touch.row, touch.owner) for touch in found.touched] == [
        (str(n), f"p{n}") for n in range(60)
    ]


def test_other_images_are_left_alone() -> None:
    known = detect.seen((f"p{n}", "", image) for n, image in enumerate(drawings(PROMPT, 200)))
    rows = [(str(n), (), [image]) for n, image in enumerate(drawings(POPE, 100))]
    found = detect.scan(rows, known)
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
        ("imgs/000001.jpg", None),
        ("00000123.jpg", None),
        ("0000000000123.jpg", None),
        ("2324501", None),
    ],
)
def test_coco_numbers(text: str, number: int | None) -> None:
    assert detect.coco_number(text) == number


def test_the_same_photograph_in_another_edition_is_found_by_its_number() -> None:
    one, two = drawings(PROMPT, 2)
    known = detect.seen([("llava-7", "coco/train2017/000000310196.jpg", one)])
    rows = [
        ("4", ("COCO_val2014_000000310196",), [two]),
        ("5", ("COCO_val2014_000000310197",), [two]),
    ]
    (touch,) = detect.scan(rows, known).touched
    assert touch == detect.Touch("4", "llava-7", None, 310196)


def test_names_that_may_hold_a_number() -> None:
    doc = {"image_source": "COCO_val2014_000000310196", "question_id": 3, "image": object()}
    assert detect.names_in(doc) == ("COCO_val2014_000000310196", "3")


def test_the_nearest_of_many_is_the_one_that_a_plain_search_finds() -> None:
    known = detect.seen((f"p{n}", "", image) for n, image in enumerate(drawings(PROMPT, 80)))
    images = [jpeg(image, 40) for image in drawings(PROMPT + 40, 60)]
    found = detect.scan([(str(n), (), [im]) for n, im in enumerate(images)], known)
    plain = {}
    for number, image in enumerate(images):
        look = detect.look_of(image)
        hits = [
            (detect.distance(look.bits, item.look.bits), item.owner)
            for item in known
            if detect.alike(look, item.look)
        ]
        if hits:
            plain[str(number)] = min(hits, key=lambda hit: hit[0])
    assert {touch.row: (touch.bits, touch.owner) for touch in found.touched} == plain
    assert len(plain) > 30  # forty were planted; at this quality some are lost


@pytest.fixture
def planted(tmp_path: Path) -> tuple[Prompt, ...]:
    """Six prompts, of which two show the images of some rows of the POPE miniature, re-coded."""
    from harness.benchmark import Task

    task = Task("pope/pope.yaml", DATA)
    shown: dict[str, PIL.Image.Image] = {}
    for row in task.rows(0, 36):
        shown.setdefault(row.image, row.images[0])
    pictures = [*list(shown.values())[:2], *drawings(PROMPT, 4)]
    for number, picture in enumerate(pictures):
        picture.convert("RGB").save(tmp_path / f"{number}.jpg", quality=70)
    return tuple(
        Prompt(f"p{n}", tmp_path / f"{n}.jpg", "What is this?") for n in range(len(pictures))
    )


def test_a_run_finds_them_once_and_knows_them_for_ever(
    planted: tuple[Prompt, ...], tmp_path: Path
) -> None:
    from harness.benchmark import Task, benchmark

    known = {"prompts": planted, "benchmarks": [benchmark("pope")], "data": DATA, "limit": 36}

    def look(**inputs: str) -> tuple[ImageOverlap, ...]:
        return check_contamination(run_context(tmp_path, inputs=inputs, **known))

    (found,) = look()
    task = Task("pope/pope.yaml", DATA)
    images = list(dict.fromkeys(row.image for row in task.rows(0, 36)))
    by_hand = tuple(row.id for row in task.rows(0, 36) if row.image in images[:2])
    assert (found.benchmark, found.rows, found.ids, found.by_number) == ("pope", 36, by_hand, 0)
    assert len(by_hand) == 12
    for prompt in planted:
        prompt.image.unlink()  # nothing is decoded again
    assert look() == (found,)
    with pytest.raises(HarnessError, match="cannot be"):
        look(prompts="other")  # gone since the training: not "nothing found"
    drops = [to_json(Drop(prompt, UNREADABLE)) for prompt in planted]
    (tmp_path / "dropped.jsonl").write_text("".join(json.dumps(drop) + "\n" for drop in drops))
    (lost,) = look(prompts="other")  # what could not be read was not trained on
    assert (lost.rows, lost.ids) == (36, ())


def test_the_figure_without_the_touched_rows_by_hand() -> None:
    rows = pope(90, right=0.6)
    better = pope(90, right=0.8, seed=3)
    columns = {"pope": load("benchmarks", "pope").columns}
    whole = compare({"pope": rows}, {"pope": better}, columns, draws=300)
    ids = tuple(row.id for row in rows if row.cluster in ("image0", "image3"))
    touched = [ImageOverlap("pope", 90, ids, 2), ImageOverlap("pope", 90, (), 0)]
    some, none = overlaps_of(touched, {"pope": rows}, {"pope": better}, columns, whole)
    (figure,) = some.figures
    kept = [row for row in better if row.id not in ids]
    assert figure.samples == len(kept) == 78
    assert figure.after == pytest.approx(100 * sum(row.scores["strict"] for row in kept) / 78)
    assert figure.after != whole.benchmarks[0].figures[0].after
    assert some.note.startswith(
        "pope: 12 of 90 rows show an image of the training prompts, 2 of them by its number only. "
        f"Without them: accuracy {figure.before:.1f} before, {figure.after:.1f} after"
    )
    assert (none.figures, none.note) == ((), "")
    seeds = {"pope": rows}, {"pope": pope(90, right=0.5, seed=4)}
    (both, _) = overlaps_of(touched, {"pope": rows}, {"pope": better}, columns, whole, [seeds])
    kept += [row for row in seeds[1]["pope"] if row.id not in ids]
    after = 100 * sum(row.scores["strict"] for row in kept) / 156
    assert both.figures[0].after == pytest.approx(after)
    all_of_them = [ImageOverlap("pope", 90, tuple(row.id for row in rows), 0)]
    (gone,) = overlaps_of(all_of_them, {"pope": rows}, {"pope": better}, columns, whole)
    assert gone.note.endswith("None is left without them.")


@pytest.mark.slow
def test_a_whole_run_tells_it_and_verify_makes_the_same_of_it(planted, tmp_path: Path) -> None:
    from harness.run import run
    from harness.runs import verify
    from harness.settings import Settings

    asked = ["Describe the image in detail.", "What can you see?", "Which shapes are there?"]
    lines = [
        json.dumps({"image": prompt.image.name, "question": question})
        for prompt in planted
        for question in asked
    ]
    (tmp_path / "p.jsonl").write_text("\n".join(lines))
    settings = Settings(
        method="seva",
        benches=("pope",),
        limit=36,
        prompts=str(tmp_path / "p.jsonl"),
        out=tmp_path / "runs",
    )
    outcome = run(settings)
    (overlap,) = outcome.report.overlaps
    assert len(overlap.touched.ids) == 12
    assert overlap.note in outcome.report.sentences
    assert "12 of 36 rows show an image of the training prompts" in (
        outcome.folder / "report.md"
    ).read_text(encoding="utf-8")
    found = verify(outcome.folder)
    assert found.passed
    assert "without training images" in {check.part for check in found.checks}
    again = run(settings)
    assert again.reused
    assert again.report.overlaps == outcome.report.overlaps
