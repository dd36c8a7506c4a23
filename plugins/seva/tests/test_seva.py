from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import PIL.Image
import pytest
import torch
from harness_seva import PRESETS, Options, make_pairs, pictures, uses, within_quota
from harness_seva.corruptions import DEFAULTS, parse
from harness_seva.noise import Noise, signal_and_noise
from harness_seva.prompts import Part, convert, main, question_of

from harness.errors import HarnessError, UsageError
from harness.pairs import read_prompts
from harness.records import Answer, Drop, Pair, Prompt, seed_of


@pytest.mark.parametrize(
    ("step", "signal", "noise"),
    # Computed from the published schedule, independently of this code.
    [(500, 0.863017, 0.505175), (800, 0.467014, 0.884250), (999, 0.285042, 0.958515)],
)
def test_the_schedule_is_the_published_one(step, signal, noise):
    assert signal_and_noise(step) == pytest.approx((signal, noise), abs=1e-6)


def test_noise_depends_on_its_seed_alone_and_has_the_stated_strength():
    pixels = torch.linspace(-2, 2, 3 * 64 * 64).reshape(1, 3, 64, 64)
    torch.manual_seed(1)
    first = Noise(500, 7)(pixels)
    torch.manual_seed(2)
    assert torch.equal(first, Noise(500, 7)(pixels))
    assert not torch.equal(first, Noise(500, 8)(pixels))
    drawn = (first - 0.863017 * pixels) / 0.505175
    assert drawn.mean().abs() < 0.03
    assert drawn.std() == pytest.approx(1, abs=0.03)
    assert first.abs().max() > 2.5  # nothing is clipped


def test_a_noise_names_itself_completely():
    assert repr(Noise(500, 7)) == "Noise(step=500, seed=7)"


def picture(width=60, height=40) -> PIL.Image.Image:
    rows, columns = np.indices((height, width))
    ramp = (rows + columns) * 2 + 20 * (rows * columns % 3)  # sharp edges on a slope
    pixels = np.stack([ramp, 255 - ramp, ramp // 2 + 60], axis=-1)
    return PIL.Image.fromarray(pixels.astype(np.uint8))


@pytest.mark.parametrize("name", [name for name in DEFAULTS if name != "noise"])
def test_every_corruption_is_decided_by_its_seed_and_leaves_the_rest_alone(name):
    image, corruption = picture(), parse(name)
    before = image.tobytes()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    made = [corruption.apply(image, seed)[0] for seed in (1, 1, 2, 3, 4, 5, 6, 7)]
    assert torch.equal(torch.rand(3), expected)  # torch's own stream is where it was
    assert image.tobytes() == before
    assert all(one.mode == "RGB" for one in made)
    assert made[0].tobytes() == made[1].tobytes()
    assert any(one.tobytes() != before for one in made)


def test_strengths_do_what_they_say():
    image = picture()
    assert parse("pad").apply(image, 0)[0].size == (160, 140)
    assert parse("center_crop:size=20").apply(image, 0)[0].size == (20, 20)
    assert parse("moco:size=32").apply(image, 0)[0].size == (32, 32)
    flipped = parse("flip:p=1").apply(image, 0)[0]
    assert flipped.tobytes() == image.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT).tobytes()
    inverted = parse("invert:p=1").apply(image, 0)[0]
    assert (np.asarray(inverted) == 255 - np.asarray(image)).all()
    poster = np.asarray(parse("posterize:p=1").apply(image, 0)[0])
    assert (poster == (np.asarray(image) & 0b11000000)).all()
    solar = np.asarray(parse("solarize:p=1").apply(image, 0)[0])
    plain = np.asarray(image)
    assert (solar == np.where(plain >= 128, 255 - plain, plain)).all()
    grey = np.asarray(parse("grayscale").apply(image, 0)[0])
    assert (grey[..., 0] == grey[..., 1]).all()
    turned = parse("rotation:degrees=180").apply(image, 0)[0]
    assert turned.tobytes() == image.transpose(PIL.Image.Transpose.ROTATE_180).tobytes()
    soft, softer = (np.asarray(parse(f"blur:sigma={s}").apply(image, 0)[0]) for s in (0.5, 3))
    assert abs(softer - plain.astype(float)).sum() > abs(soft - plain.astype(float)).sum()


def test_a_corruption_is_written_and_read():
    assert str(parse("noise")) == "noise:step=500"
    assert str(parse("affine:degrees=20..40,scale=0.9")) == "affine:degrees=20..40,scale=0.9..0.9"
    assert str(parse("blur")) == "blur"
    for text, said in [
        ("blurr", "no corruption 'blurr'. Did you mean 'blur'"),
        ("blur:sigm=2", "no strength 'sigm'. Did you mean 'sigma'"),
        ("blur:sigma=much", "blur:sigma=much has no valid value"),
        ("pad:pixels=1..2", "pixels=1..2 has no valid value"),
        ("flip:p=1.5", "lies outside"),
        ("blur:sigma=nan", "blur:sigma=nan has no valid value"),
        ("blur:sigma=inf", "blur:sigma=inf has no valid value"),
        ("pad:pixels=1e12", "lies outside"),
        ("blur:sigma=3..1", "lies outside"),
        ("noise:step=1000", "noise_step must lie in 0..999"),
    ]:
        with pytest.raises(ValueError, match=r".") as caught:
            parse(text)
        assert said in str(caught.value)


def test_the_presets_are_the_paper_and_the_released_code():
    paper, released = PRESETS["paper"], PRESETS["released"]
    assert (paper.noise_step, paper.beta, paper.learning_rate) == (500, 0.1, 2e-6)
    assert (paper.lora_rank, paper.lora_alpha, paper.epochs, paper.repeats) == (1024, 2048, 1.0, 1)
    assert paper.batch_size * paper.accumulation == 128
    assert (released.noise_step, released.repeats, released.train_projector) == (800, 2, True)
    assert released.quotas() == {"ocr_vqa": 4300, "textvqa": 6500}
    with pytest.raises(UsageError, match="noise_step"):
        Options(noise_step=1000)
    with pytest.raises(UsageError, match="beta"):
        Options(beta=0)


class Script:
    """A model that says what it was told to say."""

    def __init__(self, *texts):
        self.texts, self.seen = list(texts), []

    def answer(self, requests):
        for request in requests:
            self.seen.append(request)
            text = self.texts.pop(0)
            yield Answer(text, error=None if text is not None else "no memory")


@pytest.fixture
def prompts(tmp_path):
    picture().save(tmp_path / "a.png")
    return [Prompt(f"p{n}", tmp_path / "a.png", f"question {n}") for n in range(3)]


def test_clean_is_chosen_corrupted_is_rejected_equal_and_missing_are_dropped(prompts):
    model = Script("a red cat", "a blue cat", "same", "same", "x", None)
    first, second, third = make_pairs(prompts, model, Options(), 3)
    assert first == Pair(
        prompts[0],
        "a red cat",
        ("a blue cat",),
        {"changes": {"noise:step=500": pytest.approx(1 / 3)}},
    )
    assert second == Drop(prompts[1], "equal", {"changes": {"noise:step=500": 0.0}})
    assert (third.reason, third.meta["error"]) == ("missing", "no memory")
    clean, noised = model.seen[:2]
    assert clean.view is None
    assert noised.view.step == 500
    assert noised.view.seed != model.seen[3].view.seed


def test_what_was_thought_is_kept_beside_the_pair_and_not_trained_on(prompts):
    class Thinks(Script):
        def answer(self, requests):
            for answer in super().answer(requests):
                yield replace(answer, thought="Hm, a cat.") if "red" in answer.text else answer

    (pair,) = make_pairs(prompts[:1], Thinks("a red cat", "a blue cat"), Options(), 3)
    assert (pair.chosen, pair.rejected) == ("a red cat", ("a blue cat",))
    assert pair.meta["thoughts"] == {"clean": "Hm, a cat."}


def test_a_corrupted_image_takes_the_clean_ones_place(prompts):
    model = Script("a", "b")
    list(make_pairs(prompts[:1], model, Options(corruption="invert:p=1"), 3))
    clean, inverted = (request.images[0] for request in model.seen)
    assert (np.asarray(inverted) == 255 - np.asarray(clean)).all()


def test_released_answers_lose_their_line_breaks(prompts):
    model = Script("one\ntwo", "one\n\nthree")
    (pair,) = make_pairs(prompts[:1], model, replace(PRESETS["released"], quota=()), 3)
    assert (pair.chosen, pair.rejected) == ("onetwo", ("onethree",))


def test_a_quota_draws_by_seed_and_spares_the_others(prompts):
    pairs = [Pair(replace(prompts[0], id=f"{kind}/{n}"), "a", ("b",)) for kind in "xyz"
             for n in range(20)]  # fmt: skip
    options = Options(quota=("x/=5", "y/=100"))
    kept = within_quota(pairs, options, 1)
    assert [sum(pair.prompt.id.startswith(kind) for pair in kept) for kind in "xyz"] == [5, 20, 20]
    assert kept == within_quota(pairs, options, 1)
    assert kept != within_quota(pairs, options, 2)
    with pytest.raises(ValueError, match="PREFIX=COUNT"):
        Options(quota=("x",))


def test_llavas_file_becomes_prompts_without_the_short_answer_line(tmp_path, capsys):
    suffix = "\nAnswer the question using a single word or phrase."
    rows = [{"id": "1", "conversations": [{"from": "human", "value": "no image"}]}]
    for n in range(6):
        turns = []
        for q in range(4):
            mark = "<image>\n" if q == 0 else ""
            asked = f"{mark}Who wrote {q}?{suffix if q == 0 else ''}"
            turns += [{"from": "human", "value": asked}, {"from": "gpt", "value": f"writer {q}"}]
        rows.append({"id": str(n), "image": f"ocr_vqa/images/{n}.jpg", "conversations": turns})
    caption = "<image>\nProvide a caption.\nReference OCR token: stop"
    turns = [{"from": "human", "value": caption}, {"from": "gpt", "value": "A sign."}]
    rows.append({"id": "t", "image": "textvqa/train_images/t.jpg", "conversations": turns})
    for row in rows[1:-2] + rows[-1:]:
        path = tmp_path / "images" / row["image"]
        path.parent.mkdir(parents=True, exist_ok=True)
        picture().save(path)
    source = tmp_path / "mix.json"
    source.write_text(json.dumps(rows, indent=1))
    out = tmp_path / "made" / "prompts.jsonl"
    parts = (Part("ocr_vqa", 3, 2), Part("textvqa", 9, 1))
    made = convert(source, tmp_path / "images", out, parts=parts, seed=4)
    assert (made.prompts, made.absent) == ({"ocr_vqa": 6, "textvqa": 1}, 1)
    read = read_prompts(out)
    assert len({prompt.image for prompt in read}) == 4
    assert all("single word" not in prompt.question for prompt in read)
    assert read[-1].question == "Provide a caption.\nReference OCR token: stop"
    assert read[-1].reference == "A sign."
    assert read[-1].id.startswith("textvqa/")
    first = out.read_bytes()
    convert(source, tmp_path / "images", out, parts=parts, seed=4)
    assert out.read_bytes() == first
    words = [str(source), "--images", str(tmp_path / "images"), "--out", str(out)]
    assert main(words) == 0
    assert "1 textvqa (1 images absent)" in capsys.readouterr().out
    assert main([str(tmp_path / "no.json"), *words[1:]]) == 2
    assert question_of("<image>\nWhat?" + suffix) == "What?"
    for row in ('{"image": "textvqa/a.jpg", "id": "7"}', '{"image": null}, {"image": 3}'):
        source.write_text(f"[{row}]")
        assert main(words) == 1
        told = capsys.readouterr().err
        assert ("row 7" in told) == ("id" in row)
        assert "Traceback" not in told
    source.write_text("[{]")
    with pytest.raises(HarnessError, match="no JSON list"):
        convert(source, tmp_path / "images", out)


def test_a_noised_picture_is_the_formula_undone():
    grey = PIL.Image.new("RGB", (64, 64), (128, 128, 128))
    shown = np.asarray(parse("noise:step=500").picture(grey, 7), dtype=float) / 255
    # x_t back in 0..1: signal * (x - mean) + noise * deviation * eps + mean, by channel.
    mean, deviation = np.array([0.4815, 0.4578, 0.4082]), np.array([0.2686, 0.2613, 0.2758])
    expected = 0.863017 * (128 / 255 - mean) + mean
    assert shown.reshape(-1, 3).mean(axis=0) == pytest.approx(expected, abs=0.01)
    assert shown.reshape(-1, 3).std(axis=0) == pytest.approx(0.505175 * deviation, rel=0.05)
    large = parse("noise:step=500").picture(PIL.Image.new("RGB", (1000, 500)), 7)
    assert large.size == (336, 168)


def test_the_pictures_are_those_of_the_pairs(prompts):
    from harness_seva import pictures

    options = replace(PRESETS["small"], corruption="rotation")
    model = Script("a", "b")
    (first,) = make_pairs(prompts[:1], model, options, 3)
    worse = model.seen[1].images[0]
    (shown,) = pictures(pair=first, options=options, seed=3).values()
    assert np.array_equal(np.asarray(shown), np.asarray(worse))


def test_a_chain_does_one_after_the_other_with_seeds_of_their_own():
    image = picture()
    chain = parse("grayscale+flip:p=1+noise:step=400")
    assert str(chain) == "grayscale+flip:p=1+noise:step=400"
    worse, view = chain.apply(image, 3)
    by_hand = parse("flip:p=1").apply(parse("grayscale").apply(image, 0)[0], 0)[0]
    assert worse.tobytes() == by_hand.tobytes()
    assert view == Noise(400, seed_of(3, 2))
    pixels = torch.zeros(1, 3, 4, 4)
    twice = parse("noise:step=1+noise:step=2").apply(image, 3)[1]
    assert torch.equal(twice(pixels), Noise(2, seed_of(3, 1))(Noise(1, seed_of(3, 0))(pixels)))
    with pytest.raises(ValueError, match="no corruption 'blurr'"):
        parse("noise:step=1+blurr")


def test_a_step_may_be_drawn_from_a_range():
    image = picture()
    steps = {parse("noise:step=200..800").apply(image, seed)[1].step for seed in range(300)}
    assert 200 <= min(steps) < 230
    assert 770 < max(steps) <= 800
    assert parse("noise:step=200..200") == parse("noise:step=200")
    with pytest.raises(ValueError, match=r"lie in 0\.\.999"):
        parse("noise:step=200..1000")


def test_auto_takes_the_mildest_that_changes_enough_and_keeps_the_table(prompts):
    ladder = ("noise:step=1", "noise:step=2", "noise:step=3")
    options = Options(corruption="auto", ladder=ladder, target=0.5)
    told = ("a b c d", "a b c d", "a b x y", "v w x y")
    (pair,) = make_pairs(prompts[:1], Script(*told), options, 0)
    assert pair.rejected == ("a b x y",)
    assert pair.meta["augmentation"] == "noise:step=2"
    assert pair.meta["changes"] == dict(zip(ladder, (0.0, 0.5, 1.0), strict=True))
    assert list(pictures(pair, options, 0)) == ["noise:step=2"]
    (drop,) = make_pairs(prompts[:1], Script(*("a b c d",) * 4), options, 0)
    assert (drop.reason, set(drop.meta["changes"].values())) == ("equal", {0.0})
    with pytest.raises(ValueError, match="ladder names no corruption"):
        Options(corruption="auto", ladder=())


def test_an_edit_is_any_callable_of_another_package(monkeypatch):
    import importlib.metadata

    def edit(image, seed):
        return PIL.Image.new("L", image.size, seed % 256)

    class Point:
        name, dist, value, module = "grey", None, "somewhere", "json"

        def load(self):
            return edit

    real = importlib.metadata.entry_points
    monkeypatch.setattr(
        "harness.plugins.entry_points",
        lambda group: [Point()] if group == "harness.edits" else real(group=group),
    )
    worse, view = parse("edit:grey").apply(picture(), 7)
    assert view is None
    assert worse.mode == "RGB"
    assert worse.getpixel((0, 0)) == (7, 7, 7)
    assert str(parse("edit:grey+grayscale")) == "edit:grey+grayscale"
    assert uses(Options(corruption="edit:grey+grayscale")) == ("edits/grey",)
    with pytest.raises(UsageError, match=r"No edit is named 'gray'\. Did you mean 'grey'"):
        parse("edit:gray")
    monkeypatch.setattr(Point, "load", lambda self: lambda image, seed: "text")
    with pytest.raises(HarnessError, match="returned str instead of a PIL image"):
        parse("edit:grey").apply(picture(), 7)
