from __future__ import annotations

from dataclasses import replace

import PIL.Image
import pytest
from harness_baselines import (
    GT_DPO,
    RANDOM_PAIRS,
    SFT,
    SWAPPED,
    Options,
    relabelled,
    training_of,
    wrapped,
)

from harness import dpo
from harness.errors import UsageError
from harness.plugins import load_method
from harness.records import Answer, Pair, Prompt, Side


class Script:
    """Says ``model says`` of a clean image and ``noise`` of a noised one."""

    def answer(self, requests):
        for request in requests:
            yield Answer("noise" if request.view else "model says")


@pytest.fixture
def prompts(tmp_path):
    PIL.Image.new("RGB", (8, 8)).save(tmp_path / "i.png")
    references = ["truth", None, "model says", "more truth", None]
    return [Prompt(f"p{n}", tmp_path / "i.png", "q", text) for n, text in enumerate(references)]


@pytest.mark.parametrize("name", ["sft", "swapped", "random_pairs", "gt_dpo"])
def test_each_is_a_method_like_any_other(name):
    method = load_method(name)
    options = method.options("small", {"of_set": "noise_step=800+beta=0.2"})
    _, inner, _ = wrapped(options)
    assert (inner.noise_step, inner.beta, inner.lora_rank) == (800, 0.2, 32)
    with pytest.raises(UsageError, match=r"no option 'noise_stp'. Did you mean 'noise_step'"):
        method.options("small", {"of_set": "noise_stp=800"})
    with pytest.raises(UsageError, match="No method is named 'sevva'"):
        method.options("small", {"of": "sevva"})
    with pytest.raises(UsageError, match="a baseline itself"):
        method.options("small", {"of": "sft"})
    with pytest.raises(UsageError, match="not a KEY=VALUE"):
        method.options("small", {"of_set": "noise_step"})


def test_the_pairs_are_the_wrapped_methods_but_for_the_labels(prompts):
    kept = list(SFT.make_pairs(prompts, Script(), Options(), 0))
    assert all((pair.chosen, pair.rejected) == ("model says", ("noise",)) for pair in kept)
    turned = list(SWAPPED.make_pairs(prompts, Script(), Options(), 0))
    assert all((pair.chosen, pair.rejected) == ("noise", ("model says",)) for pair in turned)
    assert [pair.prompt for pair in turned] == prompts
    tossed = list(RANDOM_PAIRS.make_pairs(prompts, Script(), Options(), 0))
    assert tossed == list(RANDOM_PAIRS.make_pairs(prompts, Script(), Options(), 0))
    assert tossed[2:] == list(RANDOM_PAIRS.make_pairs(prompts[2:], Script(), Options(), 0))


def test_the_coin_is_fair_among_all_answers(prompts):
    pairs = [Pair(Prompt(f"{n}", prompts[0].image, "q"), "w", ("x", "y")) for n in range(300)]
    winners = [relabelled(pair, "random_pairs", 5).chosen for pair in pairs]
    # A third each; 300 fair throws leave 70..130 with a chance far below one in a thousand.
    assert all(70 < winners.count(text) < 130 for text in "wxy")
    assert relabelled(pairs[0], "swapped", 5).rejected == ("w", "y")


def test_the_winner_under_another_image_is_the_new_winner_there(prompts):
    """Else mDPO's pairs would have two losing texts, which its loss does not take."""
    crop = Side(view="resized_crop:size=8")
    pair = Pair(prompts[0], "w", ("x", " w"), {}, (Side(), Side(), crop))
    made = relabelled(pair, "swapped", 0)
    assert (made.chosen, made.rejected, made.sides) == ("x", ("w", "x"), pair.sides)
    tossed = [relabelled(replace(pair, prompt=replace(pair.prompt, id=f"{n}")), "random_pairs", 5)
              for n in range(20)]  # fmt: skip
    assert {dpo.kinds_of(each) for each in [pair, *tossed]} == {(0, dpo.BY_TEXT, dpo.BY_IMAGE)}
    assert {each.chosen for each in tossed} == {"w", "x"}
    images = Pair(prompts[0], "w", ("w",), {}, (Side(), crop))
    assert relabelled(images, "swapped", 0).sides == (crop, Side())


def test_the_reference_wins_where_there_is_one(prompts):
    made = list(GT_DPO.make_pairs(iter(prompts), Script(), Options(), 0))
    assert [getattr(item, "reason", None) for item in made] == [
        None, "no reference", "equal", None, "no reference",
    ]  # fmt: skip
    assert [item.prompt for item in made] == prompts
    assert (made[3].chosen, made[3].rejected) == ("more truth", ("model says",))


def test_training_is_the_wrapped_methods_with_the_one_change(prompts, tmp_path, monkeypatch):
    seen = []

    def record(pairs, *_, training, **__):
        seen.append(training)
        return tmp_path

    monkeypatch.setattr(dpo, "train", record)
    pairs = [Pair(prompts[0], "a", ("b",))]
    options = Options(of_preset="small", of_set=("beta=0.3",))
    for baseline in (SFT, SWAPPED, RANDOM_PAIRS, GT_DPO):
        baseline.train(pairs, None, options, tmp_path, 0)
    assert [training.loss for training in seen] == ["sft", "dpo", "dpo", "dpo"]
    assert {training.beta for training in seen} == {0.3}
    assert {training.lora_rank for training in seen} == {32}
    assert training_of(object(), "sft") == dpo.Training(loss="sft")
