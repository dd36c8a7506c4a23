"""Did it train? Schedules, held-out pairs and what is said of a training, by hand."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math

import pytest
import torch
from safetensors.torch import load_file

from harness import dpo
from harness.dpo import Training, session
from harness.dpo.config import SCHEDULERS
from harness.dpo.effect import EFFECT, TrainingEffect, checkpoint_moved
from harness.errors import HarnessError, UsageError
from harness.model import Model
from harness.plugins import load_method
from harness.records import from_json
from tests.dpo.test_training import curves, folder, model, one_thread, pairs  # noqa: F401

ONE = Training(
    learning_rate=3e-3, lora_rank=4, lora_alpha=8, batch_size=2, accumulation=2, save_steps=0
)


@pytest.fixture(scope="module")
def simple(pairs):  # noqa: F811
    return [dataclasses.replace(pair, rejected=pair.rejected[-1:]) for pair in pairs]


def rates(schedule, steps, *, warm=0, peak=1.0):
    """The learning rates of a training of so many steps, without any model."""
    from types import SimpleNamespace

    from harness.dpo.trainer import PackedTrainer

    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=peak)
    fake = object.__new__(PackedTrainer)
    fake.lr_scheduler, fake.optimizer = None, optimizer
    fake.args = SimpleNamespace(
        lr_scheduler_type=schedule, get_warmup_steps=lambda _: warm, lr_scheduler_kwargs={}
    )
    made = fake.create_scheduler(steps)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        made.step()
    return found


@pytest.mark.parametrize("schedule", SCHEDULERS)
@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize("warm", [0, 1, 2])
def test_no_step_of_any_schedule_has_a_rate_of_zero(schedule, steps, warm):
    found = rates(schedule, steps, warm=min(warm, steps))
    assert min(found) > 0
    assert max(found) <= 1 + 1e-12


def test_the_rates_of_two_schedules_by_hand():
    # Linear, warm-up of 2 of 4 steps: 1/2, 1, then down to zero at step 5: 2/3, 1/3.
    assert rates("linear", 4, warm=2) == pytest.approx([1 / 2, 1, 2 / 3, 1 / 3])
    # Cosine without warm-up over 3 steps: (1 + cos(pi k / 4)) / 2 for k = 1, 2, 3.
    expected = [(1 + math.cos(math.pi * k / 4)) / 2 for k in (1, 2, 3)]
    assert rates("cosine", 3) == pytest.approx(expected)
    assert rates("cosine", 1, warm=1) == [1.0]


def test_one_step_moves_the_weights_and_says_so(model, simple, tmp_path):  # noqa: F811
    """Fewer pairs than one step takes: the case that trained nothing at a rate of zero."""
    training = dataclasses.replace(ONE, batch_size=16, accumulation=8)
    adapter = dpo.train(simple, model, tmp_path, seed=1, training=training)
    effect = from_json(TrainingEffect, json.loads((tmp_path / EFFECT).read_text()))
    assert (effect.steps, effect.moving_steps, effect.held_out) == (1, 1, 0)
    assert effect.rates == (3e-3, 3e-3, 3e-3)
    assert effect.moved
    weights = load_file(adapter / "adapter_model.safetensors")
    downs = {name: value for name, value in weights.items() if "lora_A" in name}
    squares = [
        (8 / 4 * weights[name.replace("lora_A", "lora_B")].double() @ down.double()).square().sum()
        for name, down in downs.items()
    ]
    assert effect.update_norm == pytest.approx(math.sqrt(sum(squares)), rel=1e-6)
    assert effect.after.margin > effect.before.margin
    assert "1 of 1 steps at a learning rate above zero" in effect.note
    assert checkpoint_moved(adapter, model.path)


def test_held_out_pairs_are_whole_images_and_are_not_trained_on(model, simple, tmp_path):  # noqa: F811
    twice = [*simple, *(dataclasses.replace(pair, chosen="two red") for pair in simple)]
    kept, held = session.split(twice, 0.25, 3)
    images = [{pair.prompt.image for pair in part} for part in (kept, held)]
    assert not images[0] & images[1]
    assert len(held) == 4
    assert session.split(twice, 0.25, 3) == (kept, held)
    with pytest.raises(UsageError, match="all 1 pairs show one image"):
        session.split(simple[:1], 0.1, 3)

    seen = []
    encode = session.encoder_for

    def spy(*how):
        made = encode(*how)
        inner = made.encode
        made.encode = lambda number, pair, image=None: (
            seen.append((number, pair.prompt.id, torch.is_grad_enabled())),
            inner(number, pair, image),
        )[1]
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "encoder_for", spy)
        training = dataclasses.replace(ONE, holdout=0.25, epochs=4)
        adapter = dpo.train(simple, model, tmp_path, seed=3, training=training)
    effect = from_json(TrainingEffect, json.loads((tmp_path / EFFECT).read_text()))
    held = session.split(simple, 0.25, 3)[1]
    assert (effect.pairs, effect.held_out, effect.measured) == (6, 2, 2)
    trained = {name for _, name, grad in seen if grad}
    assert not trained & {pair.prompt.id for pair in held}
    plain, after = (dpo.image_ablation(held, model, one) for one in (None, adapter))
    assert effect.before.margin == pytest.approx(plain.margin, abs=1e-4)
    assert effect.after.margin == pytest.approx(after.margin, abs=1e-4)


def test_the_best_checkpoint_by_held_out_loss_comes_back(model, simple, tmp_path):  # noqa: F811
    """At a rate that spoils the model, training ends early and the best measurement counts."""
    training = dataclasses.replace(
        ONE, holdout=0.25, eval_steps=1, patience=2, epochs=30, learning_rate=0.3,
        scheduler="constant", max_grad_norm=0.0,
    )  # fmt: skip
    dpo.train(simple, model, tmp_path, seed=3, training=training)
    effect = from_json(TrainingEffect, json.loads((tmp_path / EFFECT).read_text()))
    lines = [json.loads(line) for line in (tmp_path / "held_out.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines]
    best = losses.index(min(losses))
    assert len(losses) == effect.steps == best + 1 + 2 < 45
    gained = effect.after.margin - effect.before.margin
    assert lines[best]["margin"] == pytest.approx(training.beta * gained, abs=1e-4)


@pytest.mark.parametrize("optimizer", ["adafactor", "sgd", "adamw_torch"])
def test_other_optimisers_and_a_number_of_steps(model, simple, tmp_path, optimizer):  # noqa: F811
    training = dataclasses.replace(
        ONE, optimizer=optimizer, max_steps=3, warmup_steps=2, scheduler="linear"
    )
    dpo.train(simple, model, tmp_path, seed=3, training=training)
    lines = curves(tmp_path)
    assert [line["learning_rate"] / 3e-3 for line in lines] == pytest.approx([1 / 2, 1, 1 / 2])
    assert from_json(TrainingEffect, json.loads((tmp_path / EFFECT).read_text())).moved


@pytest.mark.parametrize(
    ("update", "moved"),
    [(0.0, False), (6.7e-27, False), (5e-6, False), (7e-6, True), (math.nan, False)],
)
def test_an_update_that_float32_cannot_hold_is_none(update, moved):
    effect = TrainingEffect(1, 1, 3, (1e-30,) * 3, update, 100.0, 0.0, 0, 0, None, None)
    assert effect.moved is moved  # 100 / 2**24 = 5.96e-6


def test_a_training_that_moved_nothing_is_an_error_unless_it_says_so(model, tmp_path):  # noqa: F811
    import shutil
    from types import SimpleNamespace

    from harness.stages.training import _refuse_idle

    path = shutil.copytree(model.path, tmp_path / "same")
    method = SimpleNamespace(name="lazy", module=SimpleNamespace())
    with pytest.raises(HarnessError, match="training of 'lazy' changed no weight"):
        _refuse_idle(method, path, model, None)
    _refuse_idle(SimpleNamespace(name="n", module=SimpleNamespace(TRAINS=False)), path, model, None)
    idle = TrainingEffect(66, 1, 0, (0.0, 0.0, 0.0), 0.0, 9.0, 0.0, 0, 0, None, None)
    with pytest.raises(HarnessError, match="0 of 1 steps had a learning rate above zero"):
        _refuse_idle(method, path, model, idle)
    assert Model.open(path).path == path


@pytest.mark.slow
def test_66_pairs_at_the_papers_batch_move_the_weights(model, simple, tmp_path):  # noqa: F811
    """SeVa's 16 x 8 pairs are more than there are: one incomplete step, at the paper's own rate."""
    many = [
        dataclasses.replace(pair, prompt=dataclasses.replace(pair.prompt, id=f"q{number}"))
        for number, pair in zip(range(66), itertools.cycle(simple))
    ]
    options = load_method("seva").options("paper", {})
    paper = {field.name: getattr(options, field.name) for field in dataclasses.fields(Training)}
    training = Training(**paper)
    assert training.batch_size * training.accumulation == 128
    adapter = dpo.train(many, model, tmp_path, seed=3, training=training)
    effect = from_json(TrainingEffect, json.loads((tmp_path / EFFECT).read_text()))
    assert (effect.pairs, effect.steps, effect.moving_steps) == (66, 1, 1)
    assert effect.moved
    assert checkpoint_moved(adapter, model.path)
    factors = load_file(adapter / "adapter_model.safetensors")
    assert max(float(value.abs().max()) for key, value in factors.items() if "lora_B" in key) > 0
