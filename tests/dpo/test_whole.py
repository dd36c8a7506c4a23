"""Weights trained themselves, by part: against a loop written by hand, and what is kept on disk."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file

from harness import dpo
from harness.dpo import Training
from harness.dpo.callback import Curves
from harness.dpo.config import PARTS
from harness.dpo.effect import EFFECT, TrainingEffect
from harness.dpo.parts import part_names
from harness.errors import UsageError
from harness.model import Model
from harness.records import from_json
from harness.stages import Checkpoint, ablation
from tests.dpo.test_resume import KilledError, lines
from tests.dpo.test_training import folder, model, one_thread, pairs  # noqa: F401
from tests.support.checkpoints import write_llava

FULL = Training(
    tune="full", learning_rate=3e-2, optimizer="sgd", scheduler="constant", max_grad_norm=0,
    batch_size=2, accumulation=2, epochs=2, save_steps=0, beta=0.5,
)  # fmt: skip


@pytest.fixture(scope="module")
def simple(pairs):  # noqa: F811
    return [dataclasses.replace(pair, rejected=pair.rejected[-1:]) for pair in pairs[:4]]


def stored(path):
    """Return the tensors of a checkpoint under the names of the network in memory."""
    from transformers import AutoModelForImageTextToText

    network = AutoModelForImageTextToText.from_pretrained(path, dtype="auto")
    return dict(network.named_parameters())


def log_probs(network, model, pair):  # noqa: F811
    """Sum an answer's log-probabilities by plain calls of the network, one answer at a time."""
    request = f"USER: <image>\n{pair.prompt.question} ASSISTANT:"
    sums = []
    for answer in (pair.chosen, *pair.rejected):
        whole = model.processor(
            text=f"{request} {answer}</s>", images=pair.prompt.open_image(), return_tensors="pt"
        )
        start = model.processor(text=request, images=pair.prompt.open_image(), return_tensors="pt")[
            "input_ids"
        ].shape[1]
        logits = network(**whole).logits[0, start - 1 : -1]
        labels = whole["input_ids"][0, start:]
        sums.append(logits.log_softmax(-1).gather(1, labels[:, None]).sum())
    return sums


def by_hand(model, pairs, parts, steps):  # noqa: F811
    """Train with DPO by plain gradient descent; nothing of the trainer is in it."""
    from transformers import AutoModelForImageTextToText

    policy, old = (AutoModelForImageTextToText.from_pretrained(model.path) for _ in range(2))
    policy.requires_grad_(False)
    part = part_names(policy)
    trained = [weight for name, weight in policy.named_parameters() if part(name) in parts]
    for weight in trained:
        weight.requires_grad = True
    optimizer = torch.optim.SGD(trained, lr=FULL.learning_rate)
    for _ in range(steps):
        losses = []
        for pair in pairs:
            chosen, rejected = log_probs(policy, model, pair)
            with torch.no_grad():
                before = log_probs(old, model, pair)
            gap = (chosen - before[0]) - (rejected - before[1])
            losses.append(-torch.nn.functional.logsigmoid(FULL.beta * gap))
        optimizer.zero_grad()
        torch.stack(losses).mean().backward()
        optimizer.step()
    return dict(policy.named_parameters())


@pytest.mark.parametrize(
    ("parts", "packed"),
    [
        (PARTS, None),
        *(
            pytest.param(parts, packed, marks=pytest.mark.slow)
            for parts, packed in (
                (("language",), None),
                (("projector",), None),
                (("vision",), None),
                (PARTS, False),
            )
        ),
    ],
)
def test_the_weights_are_those_of_a_loop_by_hand(model, simple, tmp_path, parts, packed):  # noqa: F811
    training = dataclasses.replace(FULL, parts=parts, packed=packed)
    path = dpo.train(simple, model, tmp_path, seed=1, training=training)
    found, before = stored(path), stored(model.path)
    expected = by_hand(model, simple, parts, steps=2)
    part = part_names(model.network)
    moved = {name for name, value in found.items() if not torch.equal(value, before[name])}
    assert {part(name) for name in moved} == set(parts)
    update = torch.stack([(found[name] - before[name]).norm() for name in moved]).norm()
    wrong = torch.stack([(found[name] - expected[name]).norm() for name in found]).norm()
    assert wrong < 1e-3 * update

    effect = from_json(TrainingEffect, json.loads((tmp_path / EFFECT).read_text()))
    assert effect.update_norm == pytest.approx(float(update.detach()), rel=1e-4)
    assert effect.after.margin > effect.before.margin
    assert "trimmed" not in (path / "config.json").read_text()


def test_the_whole_model_answers_and_the_model_before_is_as_it_was(model, simple, tmp_path):  # noqa: F811
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    path = dpo.train(simple, model, tmp_path, seed=1, training=FULL)
    assert path == tmp_path / "model"
    assert all(torch.equal(before[name], now) for name, now in model.network.state_dict().items())
    aligned = model.with_adapter(path)
    seen, plain = (dpo.image_ablation(simple, one) for one in (aligned, model))
    effect = from_json(TrainingEffect, json.loads((tmp_path / EFFECT).read_text()))
    assert seen.margin == pytest.approx(effect.after.margin, abs=1e-4)
    assert plain.margin == pytest.approx(effect.before.margin, abs=1e-4)
    kept = Checkpoint(path, "digest", adapter=False, reused=False)
    found = ablation(kept, simple, model, tmp_path)
    assert found.after["margin"] == pytest.approx(seen.margin)
    assert found.before["margin"] == pytest.approx(plain.margin)


@pytest.mark.parametrize("tune", ["full", pytest.param("lora", marks=pytest.mark.slow)])
def test_a_killed_training_continues_and_keeps_no_more_checkpoints_than_asked(
    model, simple, tmp_path, monkeypatch, tune  # noqa: F811
):  # fmt: skip
    knobs = {} if tune == "lora" else {"parts": ("language", "projector")}
    training = dataclasses.replace(
        FULL, tune=tune, learning_rate=3e-3, optimizer="adamw_torch", save_steps=1, save_limit=1,
        epochs=4, lora_rank=4, lora_alpha=8, **knobs,
    )  # fmt: skip
    limit, held = training.save_limit, []
    end = Curves.on_step_end

    def look(self, args, state, control, **known):
        end(self, args, state, control, **known)
        held.append(sorted(path.name for path in tmp_path.rglob("checkpoint-*")))
        if state.global_step == 3 and len(held) == 3:
            raise KilledError

    monkeypatch.setattr(Curves, "on_step_end", look)
    with pytest.raises(KilledError):
        dpo.train(simple, model, tmp_path / "killed", seed=2, training=training)
    killed = dpo.train(simple, model, tmp_path / "killed", seed=2, training=training)
    assert (
        held
        == [[], ["checkpoint-1"], ["checkpoint-2"], ["checkpoint-2"], ["checkpoint-3"]][: len(held)]
    )
    assert max(map(len, held)) == limit
    monkeypatch.setattr(Curves, "on_step_end", end)
    whole = dpo.train(simple, model, tmp_path / "whole", seed=2, training=training)
    names = {path.name for path in whole.glob("*.safetensors")}
    assert names
    for name in names:
        assert (killed / name).read_bytes() == (whole / name).read_bytes()
    assert lines(tmp_path / "killed") == lines(tmp_path / "whole")
    assert not list(tmp_path.rglob("*.pt")) + list(tmp_path.rglob("*.bin"))


def test_the_best_weights_come_back(model, simple, tmp_path):  # noqa: F811
    training = dataclasses.replace(
        FULL, holdout=0.25, eval_steps=1, patience=2, epochs=30, learning_rate=0.1,
        optimizer="adamw_torch", save_limit=1,
    )  # fmt: skip
    dpo.train(simple, model, tmp_path, seed=3, training=training)
    effect = from_json(TrainingEffect, json.loads((tmp_path / EFFECT).read_text()))
    seen = [json.loads(line) for line in (tmp_path / "held_out.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in seen]
    best = losses.index(min(losses))
    assert len(losses) == best + 1 + 2 < 30
    gained = effect.after.margin - effect.before.margin
    assert seen[best]["margin"] == pytest.approx(training.beta * gained, abs=1e-3)


@pytest.mark.parametrize(("rate", "written"), [(2e-6, "float32"), (0.1, "bfloat16")])
def test_a_narrow_format_is_kept_only_where_it_keeps_the_update(
    folder, simple, tmp_path, rate, written  # noqa: F811
):  # fmt: skip
    base = write_llava(folder / f"narrow{written}", dtype="bfloat16")
    narrow = Model.open(base, device="cpu", dtype="bfloat16")
    training = dataclasses.replace(FULL, learning_rate=rate, optimizer="adamw_torch")
    path = dpo.train(simple, narrow, tmp_path, seed=1, training=training)
    assert json.loads((path / "config.json").read_text())["dtype"] == written
    found, before = stored(path), stored(base)
    assert {str(value.dtype)[6:] for value in found.values()} == {written}
    assert not torch.equal(found["lm_head.weight"], before["lm_head.weight"].to(torch.float32))
    effect = from_json(TrainingEffect, json.loads((tmp_path / EFFECT).read_text()))
    # Policy and reference begin as the same float32 model, also over weights of 16 bit.
    assert json.loads((tmp_path / "curves.jsonl").read_text().splitlines()[0])["margin"] == 0
    aligned = narrow.with_adapter(path)
    assert aligned.base.source.dtype == written
    assert effect.moved


def test_adapters_outside_of_the_decoder_load_with_peft_and_merge(model, simple, tmp_path):  # noqa: F811
    from peft import PeftModel
    from transformers import AutoModelForImageTextToText

    training = dataclasses.replace(
        FULL, tune="lora", parts=PARTS, optimizer="adamw_torch", learning_rate=3e-3, lora_rank=4,
        lora_alpha=8,
    )  # fmt: skip
    adapter = dpo.train(simple, model, tmp_path, seed=1, training=training)
    effect = from_json(TrainingEffect, json.loads((tmp_path / EFFECT).read_text()))
    network = AutoModelForImageTextToText.from_pretrained(model.path)
    part = part_names(network)
    worn = PeftModel.from_pretrained(network, adapter).eval()
    names = [
        name.removeprefix("base_model.model.").partition(".lora_B")[0]
        for name, value in worn.named_parameters()
        if "lora_B" in name and bool(value.any())
    ]
    assert {part(name) for name in names} == set(PARTS)
    with torch.no_grad():
        gaps = [float(one - two) for one, two in (log_probs(worn, model, p) for p in simple)]
    assert sum(gaps) / len(gaps) == pytest.approx(effect.after.margin, abs=1e-4)
    seen = dpo.image_ablation(simple, model, adapter)
    assert seen.margin == pytest.approx(effect.after.margin, abs=1e-4)
    made = dpo.merge(model.path, adapter, tmp_path / "merged", pairs=simple)
    assert dpo.image_ablation(simple, Model.open(made, device="cpu")).margin == pytest.approx(
        effect.after.margin, abs=1e-3
    )
    only = dataclasses.replace(training, lora_targets=r".*vision_tower.*\.q_proj", epochs=1)
    one = dpo.train(simple, model, tmp_path / "vision", seed=1, training=only)
    kept = load_file(one / "adapter_model.safetensors")
    assert kept
    assert all(".vision_tower." in name and "q_proj" in name for name in kept)


@pytest.mark.parametrize(
    ("knobs", "told"),
    [
        ({"quantize": "4bit"}, "freezes"),
        ({"train_projector": True}, "parts=language"),
        ({"lora_dropout": 0.1}, "lora_dropout is an option of an adapter"),
        ({"lora_targets": "q_proj"}, "lora_targets is an option of an adapter"),
        ({"parts": ()}, "parts is empty"),
        ({"parts": ("tower",)}, "must be one of language, projector, vision"),
        ({"tune": "lora", "train_projector": True, "parts": PARTS}, "Choose one"),
        ({"tune": "half"}, "must be one of lora, full"),
        ({"tune": "lora", "quantize": "8bit"}, "must be one of 4bit"),
    ],
)
def test_knobs_that_contradict_each_other(knobs, told):
    with pytest.raises(UsageError, match=told):
        dataclasses.replace(FULL, **knobs)
