from __future__ import annotations

from dataclasses import replace

import PIL.Image
import pytest
from harness_multineg import Options, make_pairs, pictures, train
from harness_multineg.negatives import expanded, labels, single, with_others

from harness import dpo
from harness.errors import UsageError
from harness.records import Answer, Drop, Pair, Prompt


class Script:
    """Answers ``clean`` first and then by noise step; choices score by their length."""

    def __init__(self, **by_step):
        self.by_step, self.views = by_step, []

    def answer(self, requests):
        for request in requests:
            if request.choices:
                yield Answer("", choices=tuple(-float(len(one)) for one in request.choices))
                continue
            self.views.append(request.view)
            key = "clean" if request.view is None else f"s{request.view.step}"
            yield Answer(self.by_step.get(key))


@pytest.fixture
def prompts(tmp_path):
    PIL.Image.new("RGB", (8, 8)).save(tmp_path / "i.png")
    return [Prompt(f"p{n}", tmp_path / "i.png", "what") for n in range(40)]


def test_one_list_a_prompt_without_twins_weakest_first(prompts):
    model = Script(clean="a b c d", s200="a b c d", s500="a b c x", s800="a y z x")
    (pair,) = make_pairs(prompts[:1], model, Options(), 0)
    assert (pair.chosen, pair.rejected) == ("a b c d", ("a b c x", "a y z x"))
    assert list(pair.meta["changes"].values()) == [0.0, 0.25, 0.75]
    steps = [view.step for view in model.views[1:]]
    assert steps == [200, 500, 800]
    assert len({view.seed for view in model.views[1:]}) == 1  # one ladder, one noise
    model = Script(clean="a", s200="b", s500="b", s800="a")
    (pair,) = make_pairs(prompts[:1], model, Options(), 0)
    assert pair.rejected == ("b",)
    (drop,) = make_pairs(prompts[:1], Script(clean="a", s200="a", s500="a", s800="a"), Options(), 0)
    assert isinstance(drop, Drop)
    assert drop.reason == "equal"
    (drop,) = make_pairs(prompts[:1], Script(clean="a", s200="b", s500="b"), Options(), 0)
    assert drop.reason == "missing"


def test_every_prompt_gets_its_own_list_across_chunks(prompts):
    model = Script(clean="a", s200="b", s500="c", s800="d")
    made = list(make_pairs(iter(prompts), model, Options(), 0))
    assert [pair.prompt.id for pair in made] == [prompt.id for prompt in prompts]


def test_a_corruption_named_twice_is_drawn_twice():
    assert list(labels(["moco", "noise", "moco"])) == ["moco", "noise:step=500", "moco#2"]


def test_hard_negatives(prompts):
    model = Script(clean="a b c d", s200="x", s500="a b c e", s800="a b e f g h")
    hard = Options(hard="similar", keep=2)
    (pair,) = make_pairs(prompts[:1], model, hard, 0)
    assert pair.rejected == ("a b c e", "a b e f g h")
    # Letters per word, blanks counted: 1, 7/4, 11/6; the likeliest has the fewest.
    (pair,) = make_pairs(prompts[:1], model, replace(hard, hard="likely"), 0)
    assert pair.rejected == ("x", "a b c e")
    for wrong in ({"hard": "similar"}, {"keep": 2}, {"hard": "worst", "keep": 1}):
        with pytest.raises((ValueError, UsageError), match="hard"):
            Options(**wrong)


def test_the_controls_have_the_rows_and_steps_they_promise(prompts, tmp_path, monkeypatch):
    pairs = [Pair(prompt, "a", ("b", "c", "d")[: 1 + n % 3]) for n, prompt in enumerate(prompts)]
    seen = []
    monkeypatch.setattr(
        dpo, "train", lambda pairs, *_, training, **__: seen.append((pairs, training))
    )
    for options in (
        Options(),
        Options(expand=True),
        Options(expand=True, equal_steps=True, epochs=2.0),
        Options(one_negative=True),
    ):
        train(pairs, None, options, tmp_path, 0)
    # 10 of the 40 images are held out, so 30 rows are trained on, 7 a step: 5 steps.
    other = [replace(pair, prompt=replace(pair.prompt, image=tmp_path / f"{n}.png"))
             for n, pair in enumerate(pairs)]  # fmt: skip
    few = {"batch_size": 7, "accumulation": 1, "holdout": 0.25}
    train(other, None, Options(expand=True, equal_steps=True, **few), tmp_path, 0)
    assert seen.pop()[1].max_steps == 5
    rows = sum(len(pair.rejected) for pair in pairs)
    assert [len(given) for given, _ in seen] == [40, rows, rows, 40]
    assert [training.loss for _, training in seen] == ["multi_softmax", "dpo", "dpo", "dpo"]
    # 40 rows of 128 a step and epoch: one step each, where 80 rows of 2 * 40 / 80 epochs gave one.
    assert (seen[2][1].max_steps, seen[2][1].epochs) == (2, 2.0)
    assert all(len(pair.rejected) == 1 for pair in expanded(pairs) + single(pairs, 0))
    drawn = [pair.rejected[0] for pair in single(pairs, 0)]
    assert set(drawn) == {"b", "c", "d"}
    for wrong in ({"expand": True, "one_negative": True}, {"equal_steps": True}):
        with pytest.raises(ValueError, match=r"control|equal_steps"):
            Options(**wrong)
    with pytest.raises(ValueError, match="no corruption"):
        Options(corruptions=("nois",))


def test_every_corrupted_image_can_be_shown_again(prompts):
    model = Script(clean="a", s200="b", s500="c", s800="d")
    (pair,) = make_pairs(prompts[:1], model, Options(), 5)
    shown = pictures(pair=pair, options=Options(), seed=5)
    assert list(shown) == list(pair.meta["changes"])
    for view, image in zip(model.views[1:], shown.values(), strict=True):
        assert image.tobytes() == view.picture(prompts[0].open_image()).tobytes()


def test_answers_of_other_prompts_are_negatives_too(prompts):
    pairs = [Pair(prompt, f"c{n % 3}", (f"r{n}", "c1")) for n, prompt in enumerate(prompts[:6])]
    made = with_others(pairs, 1, 0)
    assert with_others(pairs, 0, 0) == pairs
    for pair, more in zip(pairs, made, strict=True):
        assert more.rejected[:2] == pair.rejected
        assert set(more.rejected[2:]) <= {"c0", "c2"} - {pair.chosen}
        assert len(more.rejected) == 3
    assert made == with_others(pairs, 1, 0)
    assert len(with_others(pairs, 9, 0)[1].rejected) == 4


def test_scores_by_distance_and_by_likelihood(prompts):
    from harness_multineg.scores import scored

    pair = Pair(prompts[0], "a red cat sits", ("a blue cat sits", "no"))
    (near,) = scored([pair], Script(), "distance")
    assert [side.score for side in near.sides] == [1.0, 0.75, 0.0]
    (likely,) = scored([pair], Script(), "likelihood")
    assert [side.score for side in likely.sides] == [-14 / 4, -15 / 4, -2.0]
    (single_one,) = single([near], 0)
    assert len(single_one.sides) == 2
    drop = Drop(prompts[1], "equal")
    assert list(scored([drop, pair], Script(), "likelihood")) == [drop, likely]
    assert list(scored([pair], Script(), "none")) == [pair]
