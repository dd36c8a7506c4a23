"""Answers with an image, weights and scores of their own: packed, separate, TRL's and by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from harness import dpo, progress
from harness.dpo import BY_BOTH, BY_IMAGE, BY_TEXT, Training, kinds_of
from harness.dpo.checks import refuse_unused
from harness.dpo.encoding import encoder_for
from harness.dpo.pair import Unfit, check
from harness.errors import HarnessError, UsageError
from harness.model import Model
from harness.records import Pair, Prompt, Side
from harness.storage import read_json
from tests.dpo.test_equal_to_trl import assert_close, gradients, ours, stock, wake
from tests.support.families import idefics, llava, paligemma, qwen

torch.set_num_threads(1)
TRAINING = Training(
    loss="dpo+conditional+anchor", learning_rate=1e-3, lora_rank=4, lora_alpha=8, batch_size=4,
    accumulation=1,
)  # fmt: skip
CROP = "resized_crop:size=20,scale=0.05..0.2"


@pytest.fixture(
    scope="module",
    params=[llava, qwen, *(pytest.param(f, marks=pytest.mark.slow) for f in (idefics, paligemma))],
)
def model(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param.__name__)
    return Model.open(request.param(folder / "model"), device="cpu")


def prompt(folder, number):
    return Prompt(f"p{number}", folder / f"{number}.png", "is there a dog?" + " please" * number)


@pytest.fixture(scope="module")
def pairs(folder):
    """Every kind of answer: another text, another image, a view, both, and none of these."""
    yes, no = "yes a red circle", "no"
    return [
        Pair(prompt(folder, 0), yes, (no, yes), {}, (Side(), Side(), Side(folder / "1.png"))),
        Pair(
            prompt(folder, 1), "a dog", ("a dog", no), {},
            (Side(), Side(view=CROP, seed=5), Side(view="noise:step=500", seed=2)),
        ),
        Pair(prompt(folder, 2), "blue", ("green water below",)),
        Pair(
            prompt(folder, 3), "two", ("two", "two", "three"), {},
            (Side(folder / "0.png"), Side(), Side(view="invert:p=1"), Side(folder / "0.png")),
        ),
    ]  # fmt: skip


def test_what_an_answer_is_rejected_by(pairs):
    assert [kinds_of(pair) for pair in pairs] == [
        (0, BY_TEXT, BY_IMAGE),
        (0, BY_IMAGE, BY_BOTH),
        (0, BY_TEXT),
        (0, BY_IMAGE, BY_IMAGE, BY_TEXT),
    ]  # fmt: skip
    # Answers that are rejected by their image alone come last, so that column 1 is a text.
    assert check(pairs[3]).rejected == ("three", "two", "two")
    assert kinds_of(check(pairs[3])) == (0, BY_TEXT, BY_IMAGE, BY_IMAGE)


@pytest.mark.parametrize(
    "also", ["", pytest.param("gradient_checkpointing", marks=pytest.mark.slow), "train_projector"]
)
def test_packed_rows_are_separate_rows_in_float64(model, pairs, tmp_path, also):
    training = dataclasses.replace(TRAINING, **({also: True} if also else {}))
    found = []
    for packed in (None, False):
        trainer, batch = ours(model, pairs, tmp_path, dataclasses.replace(training, packed=packed))
        trainer.model.double()
        found.append((trainer, batch))
    (first, tight), (second, wide) = found
    wake(first, second)
    with torch.no_grad():
        one, two = (
            each.policy_and_reference(each.model, each.model, dict(batch)) for each, batch in found
        )
    for mine, theirs in zip(one, two, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=0)
    assert_close(gradients(first, tight), gradients(second, wide))


def test_each_answer_is_what_a_pair_of_its_own_says(model, pairs, tmp_path):
    """Alone, an answer's image is the prompt's: nothing of sides is in it."""
    single = dataclasses.replace(TRAINING, loss="dpo")
    alone = []
    for image, text in (("0", "yes a red circle"), ("0", "no"), ("1", "yes a red circle")):
        file = pairs[0].prompt.image.with_stem(image)
        row = Pair(dataclasses.replace(pairs[0].prompt, image=file), text, ("else",))
        alone.append(policy_of(*ours(model, [row], tmp_path, single))[0])
    mine = policy_of(*ours(model, [pairs[0]], tmp_path, TRAINING))
    torch.testing.assert_close(mine, torch.stack(alone), rtol=1e-5, atol=1e-5)


def policy_of(trainer, batch):
    wake(trainer)
    with torch.no_grad():
        return trainer.policy_and_reference(trainer.model, trainer.model, batch)[0]


def test_mdpo_is_trls_losses_of_separate_pairs(plain_model, pairs, tmp_path):
    """TRL has no image for an answer, but its log-probabilities of each give the loss by hand."""
    beta, pair = TRAINING.beta, pairs[0]
    mine, batch = ours(plain_model, [pair], tmp_path, TRAINING)
    under = dataclasses.replace(pair.prompt, image=pair.prompt.image.parent / "1.png")
    rows = [Pair(pair.prompt, pair.chosen, ("no",)), Pair(under, pair.chosen, ("no",))]
    theirs, reference = stock(
        plain_model, rows, tmp_path, dataclasses.replace(TRAINING, loss="dpo")
    )
    wake(mine, theirs)
    found = gradients(mine, batch)
    labels = reference["input_ids"].masked_fill(reference["completion_mask"] == 0, -100)
    inputs = {key: value for key, value in reference.items() if key != "completion_mask"}
    theirs.model.zero_grad()
    policy = theirs.model(**inputs, labels=labels, fused_lm_head=True).log_probs.sum(1)
    before = torch.cat(theirs.compute_ref_log_probs(theirs.model, reference))
    clean, other, no, _ = beta * (policy - before)  # chosen of both rows, then rejected
    soft = torch.nn.functional.softplus
    loss = soft(no - clean) + soft(other - clean) + soft(-clean)
    loss.backward()
    named = theirs.model.named_parameters()
    by_hand = {name: weight.grad for name, weight in named if weight.grad is not None}
    assert_close(found, (loss.item(), by_hand))


def test_references_of_new_rows_are_computed_beside_known_ones(model, pairs, tmp_path):
    trainer, batch = ours(model, pairs, tmp_path, TRAINING)
    _, whole = trainer.policy_and_reference(trainer.model, trainer.model, dict(batch))
    for row in (1, 3):
        del trainer.references._kept[row]
    _, again = trainer.policy_and_reference(trainer.model, trainer.model, dict(batch))
    torch.testing.assert_close(again, whole, rtol=1e-5, atol=0)


def test_training_sees_what_generation_gives_under_each_image(model, pairs):
    for pair in pairs:
        training = dataclasses.replace(TRAINING, loss="dpo+conditional" if pair.sides else "dpo")
        if pair is pairs[1]:
            training = dataclasses.replace(training, loss="multi_mean+conditional")
        assert dpo.try_step(pair, model, training).difference <= 2e-5


def test_a_whole_training_learns_the_image(plain_model, pairs, tmp_path):
    training = dataclasses.replace(TRAINING, loss="conditional", epochs=12, save_steps=4)
    few = [pairs[0], pairs[1]]
    dpo.train(few, plain_model, tmp_path, seed=1, training=training)
    effect = read_json(tmp_path / "effect.json")
    assert effect["after"]["margin"] > effect["before"]["margin"] + 0.1


def test_weights_by_character_become_weights_by_token(plain_model, folder):
    """Byte tokens: a token a character, one end token; white space goes with its segment."""
    answer = "a red dog"
    pair = Pair(
        prompt(folder, 0), f" {answer}\n", ("no",), {}, (Side(weights=((3, 6, 5.0),)), Side())
    )
    encoder = encoder_for(plain_model.processor, plain_model.network, TRAINING)
    row = encoder.encode(0, check(pair))
    tokenizer = plain_model.processor.tokenizer
    words = [tokenizer.decode([id_]) for id_ in row.answers[0]]
    heavy = "".join(word for word, weight in zip(words, row.weights[0], strict=True) if weight == 5)
    assert heavy.strip() == "red"
    assert set(row.weights[0]) == {1.0, 5.0}
    assert row.weights[1] == (1.0,) * len(row.answers[1])


@pytest.mark.parametrize("mean", [0, 1])
def test_weighted_dpo_by_hand(plain_model, folder, tmp_path, mean):
    sides = (Side(weights=((2, 5, 5.0),)), Side(weights=((0, 2, 0.0),)))
    pair = Pair(prompt(folder, 0), "a red dog", ("no dog",), {}, sides)
    training = dataclasses.replace(TRAINING, loss=f"ddpo:mean={mean}")
    trainer, batch = ours(plain_model, [pair], tmp_path, training)
    wake(trainer)
    loss, _ = gradients(trainer, batch)
    row = batch["rows"][0]
    with torch.no_grad():
        policy, reference = trainer._both(trainer.model, trainer.model, batch, wanted=True)
    ratios, rewards, at = (policy - reference).tolist(), [], 0
    for weights in row.weights:
        its = ratios[at : at + len(weights)]
        at += len(weights)
        whole = sum(r * w for r, w in zip(its, weights, strict=True))
        rewards.append(training.beta * whole / (sum(weights) if mean else 1))
    assert loss == pytest.approx(float(np.log1p(np.exp(rewards[1] - rewards[0]))), rel=1e-5)


def test_a_question_of_its_own_is_trained_on(plain_model, folder):
    pair = Pair(prompt(folder, 0), "yes", ("no",), question="what colour is the car?")
    other = Pair(dataclasses.replace(prompt(folder, 0), question=pair.question), "yes", ("no",))
    encoder = encoder_for(plain_model.processor, plain_model.network, TRAINING)
    assert encoder.encode(0, pair).prompt == encoder.encode(0, other).prompt
    assert encoder.fit(pair).question == pair.question
    with pytest.raises(Unfit, match="The question of pair 'p0' spells"):
        encoder.fit(dataclasses.replace(pair, question="look <image> here"))


def test_an_image_that_shows_the_same_is_no_other_image(plain_model, folder):
    encoder = encoder_for(plain_model.processor, plain_model.network, TRAINING)
    sides = (Side(), Side(), Side(view="flip:p=0"))
    pair = Pair(prompt(folder, 0), "yes", ("no", "yes"), {}, sides)
    with pytest.raises(Unfit, match="same pixels"):
        encoder.fit(pair)
    with pytest.raises(Unfit, match="cannot be read"):
        encoder.fit(dataclasses.replace(pair, sides=(Side(), Side(), Side(folder / "absent.png"))))
    with pytest.raises(UsageError, match=r"No view is named 'nois'. Did you mean 'noise'"):
        encoder.fit(dataclasses.replace(pair, sides=(Side(), Side(), Side(view="nois:step=5"))))
    with pytest.raises(HarnessError, match="noise_step must lie in"):
        encoder.fit(dataclasses.replace(pair, sides=(Side(), Side(), Side(view="noise:step=5000"))))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"sides": (Side(),)}, "1 sides for 2 answers"),
        ({"sides": (Side(weights=((0, 9, 2.0),)), Side())}, "0 to 9 of an answer that has 3"),
        ({"sides": (Side(weights=((0, 2, 2.0), (1, 3, 2.0))), Side())}, "overlap at character 1"),
        ({"sides": (Side(weights=((0, 2, -1.0),)), Side())}, "a number of at least 0"),
        ({"sides": (Side(weights=(1.0, 5.0, 1.0)), Side())}, r"\(begin, end, weight\)"),
        ({"sides": (Side(score=float("nan")), Side())}, "a score is nan"),
        ({"sides": ("yes", "no")}, "records of harness.Side"),
        ({"question": " "}, "its question is empty"),
    ],
)
def test_what_a_side_cannot_say_is_refused_by_name(folder, change, told):
    pair = Pair(prompt(folder, 0), "yes", ("no",), **change)
    with pytest.raises(HarnessError, match=rf"Pair 'p0' cannot be trained on: .*{told}"):
        check(pair)


def test_loss_and_pairs_have_to_fit_each_other(plain_model, pairs, folder, tmp_path):
    plain = [pairs[2]]
    with pytest.raises(UsageError, match="no pair has its chosen answer under another"):
        dpo.train(plain, plain_model, tmp_path, seed=1, training=TRAINING)
    with pytest.raises(UsageError, match=r"no pair has weights.*dpo_norm"):
        dpo.train(
            plain,
            plain_model,
            tmp_path,
            seed=1,
            training=dataclasses.replace(TRAINING, loss="ddpo"),
        )
    alone = Pair(prompt(folder, 0), "yes", ("yes",), {}, (Side(), Side(folder / "1.png")))
    texts = dataclasses.replace(TRAINING, loss="dpo")
    with pytest.raises(UsageError, match=r"differ by their image alone.*conditional"):
        dpo.try_step(alone, plain_model, texts)
    with pytest.raises(Unfit, match=r"differ by their image alone.*dpo\+conditional") as caught:
        dpo.pair_encoder(plain_model, texts).fit(alone)  # the pair stage counts it instead
    assert caught.value.reason == "equal"
    assert dpo.pair_encoder(plain_model, TRAINING).fit(alone) == alone


def test_scores_are_told_when_they_are_missing(folder, tmp_path):
    pair = Pair(prompt(folder, 0), "yes", ("no",))
    scored = dataclasses.replace(pair, sides=(Side(score=1.0), Side(score=0.2)))
    training, log = dataclasses.replace(TRAINING, loss="infonca"), tmp_path / "log.txt"
    with progress.showing(progress.Reporter(quiet=True, log=log)):
        refuse_unused([pair], training)
        refuse_unused([scored], training)
    assert log.read_text().count("infonca equals multi_softmax") == 1
    with pytest.raises(UsageError, match="1 of 2 pairs have them"):
        refuse_unused([pair, scored], training)
