"""K = 2 is TRL's own DPO: losses, log-probabilities and LoRA gradients, whatever the batch."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from harness.dpo import Training, session
from harness.dpo.forward import image_features
from harness.model import Model
from harness.pairs import export_pairs, read_prompts
from harness.plugins import load
from harness.records import Pair, Prompt
from tests.support.checkpoints import BOS_TEMPLATE, Sizes, write_llava

CLOSE = 1e-5
LIKE_TRLS = (
    *("mpo", "nca", "ipo", "dpo_norm", "multi_softmax", "sft"),
    *("hinge", "dpo+0.2*sft", "ld_dpo:alpha=0.3"),
)
TRAINING = Training(learning_rate=1e-3, lora_rank=4, lora_alpha=8, batch_size=3, accumulation=1)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("equal")


@pytest.fixture(
    scope="module", params=[4, pytest.param(2, marks=pytest.mark.slow)], ids=["mha", "gqa"]
)
def model(request, folder):
    sizes = Sizes(kv_heads=request.param)
    path = folder / f"llava-{request.param}"
    return Model.open(write_llava(path, sizes, template=BOS_TEMPLATE))


@pytest.fixture(scope="module")
def pairs(folder):
    random = np.random.default_rng(3)
    answers = [
        ("yes a red circle left of the tree", ("no",)),
        ("blue", ("green water on the street below", )),
        ("a dog", ("two cat in the sky",)),
    ]  # fmt: skip
    questions = ["is there a dog?", "what colour is the car in the image?", "describe please"]
    made = []
    for number, (chosen, rejected) in enumerate(answers):
        image = folder / f"{number}.png"
        Image.fromarray(random.integers(0, 255, (28, 28, 3), dtype=np.uint8)).save(image)
        made.append(Pair(Prompt(f"p{number}", image, questions[number]), chosen, rejected))
    return made


def ours(model, pairs, folder, training):
    trainer = session.build(session.checked(pairs, training), model, folder / "state", 5, training)
    batch = trainer.data_collator([{"row": number} for number in range(len(pairs))])
    return trainer, trainer._prepare_inputs(batch)


def stock(model, pairs, folder, training, network=None, rows=None):
    """TRL's own trainer with the same adapter on the same weights, and its own batch."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    network = session.private_copy(network or model.network)
    config = session.arguments(network, folder / "stock", 5, training, len(pairs)).to_dict()
    wanted = {name: config[name] for name in (
        "output_dir", "beta", "seed", "per_device_train_batch_size", "gradient_accumulation_steps",
        "gradient_checkpointing", "gradient_checkpointing_kwargs", "bf16", "use_cpu",
        "learning_rate", "num_train_epochs", "report_to", "save_strategy", "disable_tqdm",
        "max_grad_norm", "warmup_steps", "lr_scheduler_type", "max_length", "logging_steps",
        "dataloader_pin_memory", "data_seed",
    )}  # fmt: skip
    rows = rows or [
        {
            "prompt": [{"role": "user", "content": pair.prompt.question}],
            "chosen": [{"role": "assistant", "content": pair.chosen}],
            "rejected": [{"role": "assistant", "content": pair.rejected[0]}],
            "image": pair.prompt.open_image(),
        }
        for pair in pairs
    ]
    loss = {"mpo": ["sigmoid", "bco_pair", "sft"], "dpo_norm": ["sigmoid_norm"], "ipo": ["ipo"]}
    loss |= {"hinge": ["hinge"], "dpo+0.2*sft": ["sigmoid", "sft"]}
    wanted["loss_type"] = {"nca": ["nca_pair"], **loss}.get(training.loss, ["sigmoid"])
    if training.loss == "dpo+0.2*sft":
        wanted["loss_weights"] = [1.0, 0.2]
    if training.loss == "ld_dpo:alpha=0.3":
        wanted["ld_alpha"] = 0.3
    if training.loss == "mpo":
        wanted["loss_weights"] = list(training.loss_weights)
    trainer = DPOTrainer(
        model=network,
        args=DPOConfig(**wanted),
        train_dataset=Dataset.from_list(rows),
        processing_class=model.processor,
        peft_config=session.adapter_config(network, training),
    )
    batch = trainer.data_collator([dict(row) for row in rows])
    return trainer, trainer._prepare_inputs(batch)


def wake(trainer, other=None):
    """Give both adapters the same weights, with a second factor that is not zero."""
    with torch.no_grad():
        torch.manual_seed(11)
        for name, weight in trainer.model.named_parameters():
            if "lora_" in name:
                weight.normal_(0.0, 0.1)
                if other is not None:
                    dict(other.model.named_parameters())[name].copy_(weight)


def gradients(trainer, batch):
    trainer.model.zero_grad()
    loss = trainer.compute_loss(trainer.model, batch)
    loss.backward()
    found = {n: p.grad.clone() for n, p in trainer.model.named_parameters() if p.grad is not None}
    return loss.item(), found


def assert_close(mine, theirs):
    assert mine[0] == pytest.approx(theirs[0], rel=CLOSE)
    assert mine[1].keys() == theirs[1].keys()
    for name, value in theirs[1].items():
        distance = torch.linalg.vector_norm(mine[1][name] - value)
        assert distance <= CLOSE * torch.linalg.vector_norm(value), name


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_loss_and_gradients_are_trls(model, pairs, tmp_path, side, checkpointing):
    training = dataclasses.replace(TRAINING, gradient_checkpointing=checkpointing)
    model.processor.tokenizer.padding_side = side
    mine, batch = ours(model, pairs, tmp_path, training)
    theirs, reference = stock(model, pairs, tmp_path, training)
    wake(mine, theirs)
    assert_close(gradients(mine, batch), gradients(theirs, reference))


@pytest.mark.parametrize("loss", LIKE_TRLS)
def test_the_other_pairwise_losses_are_trls(model, pairs, tmp_path, loss):
    weights = (0.0, 0.0, 1.0) if loss == "sft" else (0.8, 0.2, 1.0)
    training = dataclasses.replace(TRAINING, loss=loss, loss_weights=weights)
    mine, batch = ours(model, pairs, tmp_path, training)
    like = dataclasses.replace(training, loss="mpo") if loss == "sft" else training
    theirs, reference = stock(model, pairs, tmp_path, like)
    wake(mine, theirs)
    assert_close(gradients(mine, batch), gradients(theirs, reference))


def test_each_answers_log_probability_is_trls(model, pairs, tmp_path):
    mine, batch = ours(model, pairs, tmp_path, TRAINING)
    theirs, reference = stock(model, pairs, tmp_path, TRAINING)
    wake(mine, theirs)
    base = mine.model.get_base_model()
    with torch.no_grad():
        features = image_features(base, batch["vision"], grad=False)
        values = mine._answers(mine.model, base, batch, features).reshape(-1, 2)
        labels = reference["input_ids"].masked_fill(reference["completion_mask"] == 0, -100)
        inputs = {k: v for k, v in reference.items() if k != "completion_mask"}
        tokens = theirs.model(**inputs, labels=labels, fused_lm_head=True).log_probs
    torch.testing.assert_close(values.T.flatten(), tokens.sum(1), rtol=CLOSE, atol=0)
    off = theirs.compute_ref_log_probs(theirs.model, reference)
    kept = mine._reference(mine.model, batch, features).reshape(-1, 2)
    torch.testing.assert_close(kept.T, torch.stack(off), rtol=CLOSE, atol=0)


def test_a_whole_training_with_accumulation_is_trls(model, pairs, tmp_path):
    """Same seed, same adapter at the start, same order: the same losses at every step."""
    training = dataclasses.replace(
        TRAINING, batch_size=2, accumulation=2, epochs=3, scheduler="constant"
    )  # TRL's other schedules begin at a rate of zero
    many = pairs * 3
    mine, _ = ours(model, many, tmp_path, training)
    theirs, _ = stock(model, many, tmp_path, training)
    losses = []
    for trainer in (mine, theirs):
        trainer.args.logging_steps = 1
        trainer.train()
        losses.append([line["loss"] for line in trainer.state.log_history if "loss" in line])
    assert len(losses[0]) == 9
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    weights = dict(theirs.model.named_parameters())
    for name, weight in mine.model.named_parameters():
        if "lora_" in name:
            torch.testing.assert_close(weight, weights[name], rtol=1e-3, atol=2e-5)


def test_many_negatives_are_trls_expanded_pairs(model, pairs, tmp_path):
    """``multi_mean`` of one row with three negatives is TRL's mean over its three pairs."""
    rejected = ("no", "a cat", "two tree in the water")
    row = dataclasses.replace(pairs[0], rejected=rejected)
    training = dataclasses.replace(TRAINING, loss="multi_mean")
    mine, batch = ours(model, [row], tmp_path, training)
    expanded = [dataclasses.replace(row, rejected=(answer,)) for answer in rejected]
    theirs, reference = stock(model, expanded, tmp_path, training)
    wake(mine, theirs)
    assert_close(gradients(mine, batch), gradients(theirs, reference))


def test_an_exported_set_trains_in_trl_to_the_same_loss_on_the_demo_model(tmp_path):
    from datasets import load_dataset

    demo = load("demos", "tinyworld")
    model = Model.open(demo.model)
    prompts = read_prompts(demo.prompts, 3)
    pairs = [Pair(prompt, prompt.reference, ("There is a cat.",)) for prompt in prompts]
    export_pairs(pairs, "trl", tmp_path / "out")
    rows = load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    wanted = ("prompt", "chosen", "rejected", "images")
    mine, batch = ours(model, pairs, tmp_path, TRAINING)
    theirs, reference = stock(
        model, pairs, tmp_path, TRAINING, rows=[{key: row[key] for key in wanted} for row in rows]
    )
    wake(mine, theirs)
    assert_close(gradients(mine, batch), gradients(theirs, reference))


def test_float64_is_trls_too(model, pairs, tmp_path):
    mine, batch = ours(model, pairs, tmp_path, TRAINING)
    theirs, reference = stock(model, pairs, tmp_path, TRAINING)
    for trainer in (mine, theirs):
        trainer.model.double()
    for vision in batch["vision"]:
        vision["pixel_values"] = vision["pixel_values"].double()
    reference["pixel_values"] = reference["pixel_values"].double()
    wake(mine, theirs)
    first, second = gradients(mine, batch), gradients(theirs, reference)
    # TRL's head returns float32 log-probabilities also for a float64 model.
    assert_close(first, second)
