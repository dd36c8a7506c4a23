"""Which image regions an answer rests on: against models whose regions are known."""

from __future__ import annotations

import dataclasses

import numpy as np
import PIL.Image
import pytest
from harness_reports import html
from harness_tinyworld import DEMO

from harness.benchmark import benchmark
from harness.records import Answer, Sample
from harness.stages import attribute, reliance_of
from harness.stages.attribution import GRID, _falls, occluded, overlay
from tests.support.contexts import eval_context
from tests.support.hostile import report


class Looks:
    """A model whose answer is the likelier, the brighter a box of the image is."""

    def __init__(self, box, fingerprint="model"):
        self.box, self.fingerprint, self.asked = box, fingerprint, 0

    def answer(self, requests):
        for request in requests:
            self.asked += 1
            image = request.images[0]
            size = [side / 6 for side in image.size * 2]
            box = [round(part * scale) for part, scale in zip(self.box, size, strict=True)]
            bright = float(np.asarray(image.convert("L").crop(box)).mean())
            yield Answer("", choices=(bright,) * len(request.choices))


def picture():
    image = PIL.Image.new("RGB", (60, 48), (40, 40, 40))
    image.paste((250, 250, 250), (10, 8, 20, 16))  # the second cell of the second row
    return image


def sample(number, answer, content="c"):
    return Sample(str(number), content, "x", "what?", "t", answer, 1, "stop")


def test_only_the_cell_that_the_answer_rests_on_falls():
    *cells, whole = _falls(Looks((1, 1, 2, 2)), picture(), sample(0, "yes"))
    assert len(cells) == GRID * GRID
    mean = round(40 + 210 / 36)
    assert cells[GRID + 1] == pytest.approx(250 - mean, abs=1)
    assert cells.count(0.0) == GRID * GRID - 1
    assert whole == pytest.approx(250 - mean, abs=1)
    assert _falls(Looks((4, 4, 6, 6)), picture(), sample(0, "yes"))[GRID + 1] == 0


def test_what_cannot_be_scored_is_no_number():
    class Silent:
        def answer(self, requests):
            yield from (Answer("") for _ in requests)

    assert _falls(Silent(), picture(), sample(0, "yes")) is None


def test_the_cells_cover_the_image_once_whatever_its_size():
    for size in ((60, 48), (7, 13), (5, 3)):
        image = PIL.Image.effect_noise(size, 90).convert("RGB")
        *parts, whole = occluded(image)
        first = np.asarray(image).astype(int)
        changed = sum((np.asarray(part) != first).any(-1).astype(int) for part in parts)
        assert changed.max() <= 1
        assert (changed == (np.asarray(whole) != first).any(-1)).all()


def test_the_overlay_paints_what_falls_and_leaves_the_rest():
    cells = [0.0] * (GRID * GRID)
    cells[GRID + 1], cells[0] = 3.0, -5.0
    image = picture()
    made = overlay(image, cells, 3.0)
    difference = (np.asarray(made) != np.asarray(image)).any(-1)
    assert difference[8:16, 10:20].all()
    assert difference.sum() == 80
    red, green, _ = made.getpixel((15, 12))
    assert red > green
    assert overlay(image, [0.0] * 36, 0.0).tobytes() == image.tobytes()
    overlay(PIL.Image.new("RGB", (3, 3)), cells, 3.0)


def test_changed_answers_come_first_and_are_read_once(tmp_path):
    bench = benchmark("pope")
    context = eval_context(tmp_path, [bench], DEMO.data)
    before = {"pope": tuple(sample(n, "yes") for n in range(6))}
    after = {"pope": tuple(sample(n, "no" if n in (2, 4) else "yes") for n in range(6))}
    after["pope"] = (dataclasses.replace(after["pope"][0], answer=None), *after["pope"][1:])
    models = Looks((0, 0, 6, 6), "one"), Looks((0, 0, 3, 3), "two")
    assert attribute(context, models, before, after, 0) == ()
    found = attribute(context, models, before, after, 3)
    assert [each.id for each in found] == ["2", "4", "1"]
    assert [each.after.answer for each in found] == ["no", "no", "yes"]
    pictures = {path.stem for path in (tmp_path / "images").iterdir()}
    assert pictures == {r.picture for each in found for r in (each.before, each.after)}
    asked = models[0].asked
    assert attribute(context, models, before, after, 3) == found
    assert models[0].asked == asked
    (share,) = reliance_of(found)
    assert share.samples == 3
    assert share.after == pytest.approx(sum(each.after.whole for each in found) / 3)


def test_the_page_shows_both_readings_and_no_foreign_markup(tmp_path):
    context = eval_context(tmp_path, [benchmark("pope")], DEMO.data)
    arm = {"pope": (sample(0, "<script>x</script>"),)}
    found = attribute(context, (Looks((0, 0, 3, 3)), Looks((3, 3, 6, 6), "b")), arm, arm, 1)
    one = dataclasses.replace(report(["what"] * 4), attribution=found, images=tmp_path / "images")
    html.write(one, tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert page.count('alt="Image regions behind the answer ') == 2
    assert page.count("data:image/webp") >= 2
    assert "<script>x" not in page
    assert any(text.startswith("Image reliance on pope") for text in one.sentences)
