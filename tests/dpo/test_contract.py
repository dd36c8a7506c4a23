"""The family contract: training sees the log-probabilities that generation gives, of 12 families.

Generation with each token forced is the oracle; nothing of the training's forward is in it. Printed
with ``-s``, the lines are the table of docs/training.md.
"""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
import torch

from harness import dpo
from harness.dpo import Training
from harness.dpo.config import PARTS
from harness.dpo.effect import EFFECT, TrainingEffect
from harness.dpo.forward import why_plain
from harness.dpo.parts import lora_targets, part_names
from harness.errors import HarnessError
from harness.model import Model
from harness.records import Pair, Prompt, Request, from_json
from tests.engine.test_engine import picture
from tests.engine.test_views import Dark
from tests.support import families
from tests.support.checkpoints import write_llava

torch.set_num_threads(1)
FAMILIES = {
    "LLaVA": write_llava,
    "LLaVA-NeXT": families.llava_next,
    "LLaVA-OneVision": families.onevision,
    "Qwen2-VL": families.qwen2,
    "Qwen2.5-VL": families.qwen,
    "Qwen3-VL": families.qwen3,
    "InternVL": families.intern,
    "Idefics3": families.idefics,
    "SmolVLM": families.smol,
    "Gemma 3": families.gemma3,
    "Mistral 3": families.mistral3,
    "Llama 3.2 Vision": families.mllama,
    "PaliGemma": families.paligemma,
}
SHAPES = ((28, 28), (56, 28), (40, 90), (120, 30))
REJECTED = ("no", "a green circle and a red dog", "water in the street above")


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    path = FAMILIES[request.param](tmp_path_factory.mktemp("family") / "model")
    return request.param, Model.open(path, device="cpu")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("pairs"), []
    for number, shape in enumerate(SHAPES):
        picture(number, shape).save(folder / f"{number}.png")
        prompt = Prompt(f"p{number}", folder / f"{number}.png", "is there a dog" + "?" * number)
        made.append(Pair(prompt, "yes a cat on the left", REJECTED[: 1 + number % 3]))
    return made


def linear_parts(network):
    """The parts in which an adapter finds a linear layer; Gemma 3 has none in its projector."""
    part = part_names(network)
    return tuple(
        one
        for one in PARTS
        if any(
            part(n) == one and isinstance(m, torch.nn.Linear) for n, m in network.named_modules()
        )
    )


def test_training_sees_what_generation_gives(family, pairs, capsys):
    name, model = family
    training = Training(loss="multi_mean", lora_rank=4, lora_alpha=8)
    seen = [dpo.try_step(pair, model, training) for pair in pairs]
    worst = max(each.difference for each in seen)
    assert worst <= 2e-5
    decoder = model.network.get_decoder()
    inside = {id(module) for module in decoder.modules()}
    modules = dict(model.network.named_modules())
    assert all(id(modules[target]) in inside for target in seen[0].targets)
    full = dpo.try_step(pairs[1], model, dataclasses.replace(training, tune="full", parts=PARTS))
    assert full.difference <= 2e-5
    assert full.trained == sum(weight.numel() for weight in model.network.parameters())
    part = part_names(model.network)
    every = {part(name) for name in lora_targets(model.network, None, linear_parts(model.network))}
    assert {"language", "vision"} <= every
    way = "once" if why_plain(model.network) is None else "per answer"
    with capsys.disabled():
        print(f"\n| {name} | {worst:.1e} | {len(seen[0].targets)} | {way} |", end="")  # noqa: T201


@pytest.mark.slow
def test_batches_of_all_pairs_are_the_pairs_alone(family, pairs, tmp_path):
    """Padding, masks and positions of a ragged batch change no answer: one training, one step."""
    _, model = family
    training = Training(
        loss="multi_mean", learning_rate=1e-3, lora_rank=4, lora_alpha=8, save_steps=0,
        batch_size=4, accumulation=1, scheduler="constant",
    )  # fmt: skip
    adapter = dpo.train(pairs, model, tmp_path / "four", seed=0, training=training)
    one = dataclasses.replace(training, batch_size=1, accumulation=4)
    other = dpo.train(pairs, model, tmp_path / "one", seed=0, training=one)
    effects = [
        from_json(TrainingEffect, json.loads((path.parent / EFFECT).read_text()))
        for path in (adapter, other)
    ]
    margins = [(e.before.margin, e.after.margin) for e in effects]
    assert margins[0] == pytest.approx(margins[1], rel=1e-4, abs=1e-4)
    assert effects[0].after.margin > effects[0].before.margin
    request = Request("is there a dog", (pairs[0].prompt.open_image(),), 4)
    (answer,) = model.with_adapter(adapter).answer([request])
    assert answer.tokens, answer.error  # random weights may say no word


def test_noise_reaches_the_image(family, pairs):
    _, model = family
    image = pairs[2].prompt.open_image()
    clean, dark = model.answer(
        [Request("what", (image,), 6, choices=("yes", "no"), view=view) for view in (None, Dark())]
    )
    assert len(clean.choices) == len(dark.choices) == 2, (clean.error, dark.error)
    assert clean.choices != dark.choices


def test_a_family_that_differs_is_refused(pairs, tmp_path, monkeypatch):
    from harness.dpo import forward

    model = Model.open(families.paligemma(tmp_path / "model"), device="cpu")
    monkeypatch.setattr(forward, "ANSWER_TYPES", {})
    with pytest.raises(HarnessError, match="family 'paligemma' cannot be trained") as caught:
        dpo.try_step(pairs[3], model, Training(lora_rank=4, lora_alpha=8))
    assert len(re.findall(r"-\d+\.\d{5}", str(caught.value))) == 2


def test_choices_are_what_generation_gives(family, pairs):
    """Scores of given answers too: PaliGemma's must not see their own future."""
    from harness.engine import forced_through_generation
    from harness.engine.decoding import choice_tokens

    _, model = family
    request = Request("is there", (pairs[1].prompt.open_image(),), 1, choices=(REJECTED[1],))
    (answer,) = model.answer([request])
    loaded, text = model.base.bare(), model.render(request)
    from harness.engine.inputs import prepare

    ids = choice_tokens(loaded.tokenizer, prepare(loaded, request, text).ids, REJECTED[1])
    (truth,) = forced_through_generation(loaded, request, text, [tuple(ids)])
    assert answer.choices[0] == pytest.approx(truth, rel=2e-5)
