"""Families with tiles or grids: packed rows are separate rows, and both are TRL's."""

from __future__ import annotations

import dataclasses
import json
import operator

import pytest
import torch

from harness import dpo
from harness.dpo import Training, forward
from harness.dpo.ablation import blanked
from harness.dpo.forward import collate, image_features, packed_logits, plain_logits
from harness.errors import HarnessError
from harness.model import Model
from harness.records import Pair, Prompt
from tests.dpo.test_equal_to_trl import assert_close, gradients, ours, stock, wake
from tests.engine.test_engine import picture
from tests.support.families import idefics, intern, llava_next, qwen, smol

torch.set_num_threads(1)
TRAINING = Training(
    loss="multi_mean", learning_rate=1e-3, lora_rank=4, lora_alpha=8, batch_size=4, accumulation=1
)
SHAPES = ((28, 28), (60, 30), (24, 56), (56, 50))
REJECTED = ("no", "a cat above the tree", "two", "there are two people in the street and a car")


@pytest.fixture(scope="module", params=[llava_next, idefics, smol, intern, qwen])
def model(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param.__name__)
    return Model.open(request.param(folder / "model"), device="cpu")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("pairs"), []
    for number, shape in enumerate(SHAPES):
        image = folder / f"{number}.png"
        picture(number, shape).save(image)
        question = "is there a dog?" + " please" * number
        chosen = "yes a red circle" + " left of the water" * (number % 2)
        made.append(Pair(Prompt(f"p{number}", image, question), chosen, REJECTED[: number + 1]))
    return made


@pytest.mark.parametrize("also", ["", "gradient_checkpointing", "train_projector"])
def test_packed_rows_are_separate_rows(model, pairs, tmp_path, also):
    """Loss and gradients of ragged rows whose images have different numbers of tokens."""
    training = dataclasses.replace(TRAINING, **({also: True} if also else {}))
    sides = []
    for packed in (True, False):
        how = dataclasses.replace(training, packed=packed)
        trainer, batch = ours(model, pairs, tmp_path, how)
        trainer.model.double()
        sides.append((trainer, batch))
    (packed, tight), (plain, wide) = sides
    assert len({row.prompt.count(model.network.config.image_token_id) for row in wide["rows"]}) > 1
    wake(packed, plain)
    with torch.no_grad():
        base = packed.model.get_base_model()
        features = image_features(base, tight["vision"], grad=False)
        mine = packed._answers(packed.model, base, tight, features)
        theirs = plain._answers(plain.model, plain.model.get_base_model(), wide, [])
    assert len(mine) == sum(2 + number for number in range(4))
    torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=0)
    found = gradients(packed, tight)
    assert_close(found, gradients(plain, wide))
    assert any("lora_" not in name for name in found[1]) == (also == "train_projector")


def test_loss_and_gradients_are_trls(model, pairs, tmp_path):
    few = [dataclasses.replace(pair, rejected=pair.rejected[-1:]) for pair in pairs]
    training = dataclasses.replace(TRAINING, loss="dpo")
    mine, batch = ours(model, few, tmp_path, training)
    theirs, reference = stock(model, few, tmp_path, training)
    wake(mine, theirs)
    assert mine.packed
    assert_close(gradients(mine, batch), gradients(theirs, reference))


def test_a_whole_training_with_accumulation_is_that_of_separate_rows(model, pairs, tmp_path):
    training = dataclasses.replace(
        TRAINING, batch_size=2, accumulation=2, epochs=4, learning_rate=1e-2
    )
    losses = []
    for packed in (None, False):
        out = tmp_path / str(packed)
        how = dataclasses.replace(training, packed=packed)
        dpo.train(pairs, model, out, seed=3, training=how)
        lines = (out / "curves.jsonl").read_text().splitlines()
        losses.append([json.loads(line)["loss"] for line in lines])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert losses[0][-1] < losses[0][0] - 0.01


def test_references_of_new_rows_are_computed_beside_known_ones(model, pairs, tmp_path):
    trainer, batch = ours(model, pairs, tmp_path, TRAINING)
    base = trainer.model.get_base_model()
    features = image_features(base, batch["vision"], grad=False)
    whole = trainer._reference(trainer.model, batch, features)
    for row in (1, 3):
        del trainer.references._kept[row]
    again = trainer._reference(trainer.model, batch, features)
    torch.testing.assert_close(again, whole, rtol=1e-5, atol=0)


def test_image_tokens_are_counted_on_both_paths(model, pairs, tmp_path):
    _, batch = ours(model, pairs[:2], tmp_path, TRAINING)
    features = image_features(model.network, batch["vision"], grad=False)
    token = model.network.config.image_token_id
    for row, feature in zip(batch["rows"], features, strict=True):
        assert len(feature) == row.prompt.count(token) > 0
    short = [features[0], features[1][:-1]]
    with pytest.raises(HarnessError, match=f"pair 'p1' gives {len(short[1])} features"):
        packed_logits(model.network, model.network, batch, short)
    row = dataclasses.replace(batch["rows"][1], vision=batch["vision"][1])
    place = row.prompt.index(token)
    extra = {key: values[:place] + values[place + 1 :] for key, values in row.extra.items()}
    cut = row.prompt[:place] + row.prompt[place + 1 :]
    wrong = collate([dataclasses.replace(row, prompt=cut, extra=extra)], packed=False)
    with torch.no_grad(), pytest.raises(HarnessError, match="refuses the batch of pair 'p1'"):
        plain_logits(model.network, model.network, wrong)


@pytest.mark.parametrize("known", [True, False])
def test_the_canary_scores_what_the_model_alone_scores(model, pairs, monkeypatch, known):
    if not known:
        monkeypatch.setattr(forward, "PACKED_FAMILIES", ())
    seen = dpo.image_ablation(pairs, model)
    true = [alone(model, pair, pair.prompt.open_image()) for pair in pairs]
    blank = [alone(model, pair, blanked(pair.prompt.open_image())) for pair in pairs]
    assert seen.chosen == pytest.approx(sum(true) / len(true), rel=1e-5)
    assert seen.chosen_blank == pytest.approx(sum(blank) / len(blank), rel=1e-5)
    assert seen.drops == sum(map(operator.lt, blank, true)) / len(true)
    assert abs(seen.chosen - seen.chosen_blank) > 1e-3


def alone(model, pair, image):
    """The chosen answer's log-probability by the processor and the network, nothing of ours."""
    question = {"type": "text", "text": pair.prompt.question}
    turns = [
        {"role": "user", "content": [{"type": "image"}, question]},
        {"role": "assistant", "content": [{"type": "text", "text": pair.chosen}]},
    ]
    sizes = []
    for end in (1, 2):
        text = model.processor.apply_chat_template(turns[:end], add_generation_prompt=end == 1)
        inputs = model.processor(
            images=[image], text=[text], add_special_tokens=False, return_tensors="pt"
        )
        sizes.append(inputs["input_ids"].shape[1])
    with torch.no_grad():
        logits = model.network(**inputs).logits[0, sizes[0] - 1 : -1]
    answer = inputs["input_ids"][0, sizes[0] :, None]
    return logits.log_softmax(-1).gather(1, answer).sum().item()
