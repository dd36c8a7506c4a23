"""What the preflight refuses before anything is paid for, and what it finds out."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from harness.dpo import Training
from harness.dpo.parts import part_names
from harness.errors import HarnessError, UsageError
from harness.model import Model
from harness.plugins import load_method
from harness.records import Prompt
from harness.stages import check_knobs, preflight
from tests.support.checkpoints import BOS_TEMPLATE, write_llava
from tests.support.families import qwen

torch.set_num_threads(1)
SMALL = {"lora_rank": "4", "lora_alpha": "8", "batch_size": "2", "accumulation": "1"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("preflight")


@pytest.fixture(scope="module")
def model(folder):
    return Model.open(write_llava(folder / "llava"), device="cpu")


@pytest.fixture(scope="module")
def prompts(folder):
    made = []
    for number in range(3):
        image = folder / f"{number}.png"
        Image.effect_noise((28, 28), 90).convert("RGB").save(image)
        made.append(Prompt(f"p{number}", image, "what is there?", "a dog"))
    return made


def tried(model, prompts, name="seva", **options):
    method = load_method(name)
    made = method.options(None, {**SMALL, **options})
    return dict(preflight(prompts, model, method, made))


def test_one_pair_goes_through_a_step_and_leaves_the_model_as_it_was(model, prompts):
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    modules = [name for name, _ in model.network.named_modules()]
    state = torch.get_rng_state()
    found = tried(model, prompts)
    assert found["images"] == "3 can be read, by their headers"
    # Four layers of four projections and three of the MLP.
    layers = model.network.config.text_config.num_hidden_layers
    assert f"on {7 * layers} layers (" in found["adapter"]
    assert torch.equal(torch.get_rng_state(), state)
    assert [name for name, _ in model.network.named_modules()] == modules
    assert all(torch.equal(before[k], v) for k, v in model.network.state_dict().items())


def test_the_memory_grows_with_rank_length_and_batch(model, prompts):
    from harness.dpo import try_step
    from harness.records import Pair

    pair = Pair(prompts[0], "yes there is", ("no",))
    small, wide = (
        try_step(pair, model, Training(lora_rank=rank, lora_alpha=rank)) for rank in (4, 64)
    )
    assert wide.trained == 16 * small.trained
    assert small.memory(2, 2, 50) < small.memory(4, 2, 50) < small.memory(4, 2, 99)
    assert wide.memory(2, 2, 50) - small.memory(2, 2, 50) >= 16 * (wide.trained - small.trained)
    checkpointed = try_step(pair, model, Training(gradient_checkpointing=True))
    assert checkpointed.saved < small.saved
    assert small.difference < 2e-5


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"lora_targets": "nothing"}, "names nothing"),
        ({"loss": "conditional"}, "compares the chosen answer under two images"),
        ({"lora_targets": ".*vision.*q_proj"}, "also matches model.vision_tower"),
        ({"max_length": "20"}, "leaves|no answer is left"),
        ({"packed": "true", "lora_dropout": "0.1", "max_length": "3"}, "no answer is left"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(model, prompts, options, told):
    with pytest.raises(HarnessError, match=told):
        tried(model, prompts, **options)


def test_a_loss_for_one_negative_meets_several(model, prompts):
    with pytest.raises(UsageError, match="loss=dpo takes one rejected answer"):
        tried(model, prompts, "multineg", loss="dpo", corruptions="invert:p=1+noise:step=999")


@pytest.mark.parametrize("control", ["one_negative", "expand"])
def test_a_method_that_reshapes_its_pairs_is_tried_on_what_it_trains_on(model, prompts, control):
    options = {control: "true", "corruptions": "invert:p=1+noise:step=999"}
    assert "adapter of rank 4" in tried(model, prompts, "multineg", **options)["adapter"]


def test_noise_meets_a_family_whose_pixels_come_as_patches(folder, prompts):
    family = Model.open(qwen(folder / "qwen"), device="cpu")
    found = tried(family, prompts, noise_step="900")
    assert found["pairs"].endswith("answered")
    assert "adapter of rank 4" in found["adapter"]


@pytest.mark.parametrize(
    ("template", "told"),
    [
        (BOS_TEMPLATE.replace("%}ASSISTANT:{%", "%}ASSISTANT: <think>\n{%"), "behind the prompt"),
        ("{% for m in messages %}{{ m['content'] + 'x' }}{% endfor %}", "chat template"),
    ],
)
def test_a_template_that_cannot_be_trained_with_is_refused(folder, prompts, template, told):
    assert template != BOS_TEMPLATE
    odd = Model.open(write_llava(folder / str(hash(template)), template=template), device="cpu")
    with pytest.raises(HarnessError, match=told):
        tried(odd, prompts)


def test_prompts_of_which_none_can_be_used(model, folder, prompts):
    (folder / "empty.png").write_bytes(b"")
    lost = [dataclasses.replace(prompt, image=folder / "empty.png") for prompt in prompts]
    with pytest.raises(HarnessError, match="No image of the training prompts can be read"):
        tried(model, lost)
    odd = [dataclasses.replace(prompt, question="is </s> there?") for prompt in prompts]
    with pytest.raises(HarnessError, match=r"None of the 3 prompts can be used.*control token"):
        tried(model, odd)


@pytest.mark.parametrize(
    ("tracker", "environment", "told"),
    [
        ("wandb", {}, "not installed|wandb login"),
    ],
)
def test_a_tracker_that_could_not_be_used(monkeypatch, tmp_path, tracker, environment, told):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("WANDB_API_KEY", "WANDB_MODE", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    method = load_method("seva")
    with pytest.raises(UsageError, match=told):
        check_knobs(method, method.options(None, {"report_to": tracker}))


def test_processes_that_cannot_share_a_step(monkeypatch):
    from harness.stages import checks as module

    monkeypatch.setattr(module, "processes", lambda: 3)
    method = load_method("seva")
    with pytest.raises(UsageError, match="shared evenly by 3 processes"):
        check_knobs(method, method.options("paper", {}))


@pytest.mark.parametrize("variable", ["ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED"])
def test_a_launcher_that_would_share_the_weights_is_refused(monkeypatch, variable):
    monkeypatch.setenv(variable, "true")
    method = load_method("seva")
    with pytest.raises(UsageError, match="every process holds the whole model"):
        check_knobs(method, method.options(None, SMALL))


def test_a_library_that_is_missing_is_named_before_anything_is_loaded(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else found(name)
    )
    method = load_method("seva")
    with pytest.raises(UsageError, match=r"pip install 'vlm-harness\[qlora\]'"):
        check_knobs(method, method.options(None, {**SMALL, "quantize": "4bit"}))


def test_weights_of_parts_are_named_with_their_number(model, prompts):
    found = tried(model, prompts, tune="full", parts="projector+vision")
    part = part_names(model.network)
    count = sum(
        weight.numel()
        for name, weight in model.network.named_parameters()
        if part(name) != "language"
    )
    assert found["weights"] == f"full training of projector, vision: {count / 1e6:.2f} M weights"
    assert "adapter" not in found
    found = tried(model, prompts, parts="vision", lora_targets=".*vision_tower.*q_proj")
    # The tower has three layers; the last is not read, but is there.
    assert "adapter of rank 4 on 3 layers (q_proj)" in found["adapter"]


def test_a_bad_knob_ends_a_run_in_seconds_without_torch(tmp_path):
    words = ["run", "--method", "seva", "--bench", "pope", "--out", str(tmp_path)]
    began = time.process_time()
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "harness", *words, "--set", "lora_dropout=2"],
        capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == 2
    assert "lora_dropout is 2.0; it must be at least 0 and below 1" in done.stderr
    assert "import time" in done.stderr
    assert "| torch\n" not in done.stderr
    assert time.process_time() - began < 3
    assert not list(Path(tmp_path).glob("seva-*"))
