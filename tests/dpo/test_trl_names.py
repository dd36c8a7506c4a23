"""Options and losses under the names of TRL, transformers and PEFT: what they are called here."""

from __future__ import annotations

import dataclasses
import re

import pytest

from harness import api
from harness.dpo import LOSSES, Training, terms_of
from harness.dpo.trl_names import LOSSES as ELSEWHERE
from harness.dpo.trl_names import OPTIONS, WITHOUT
from harness.errors import UsageError
from harness.plugins import filled, load_method
from tests.support.command import harness

OWN = {field.name for field in dataclasses.fields(Training)}


def said(key: str, value: str) -> str:
    with pytest.raises(UsageError) as refused:
        load_method("seva").options(None, {key: value})
    return str(refused.value)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("rpo_alpha", "1", "loss=dpo+1*sft"),
        ("loss", "sigmoid", "It is dpo here"),
        ("loss_type", "sigmoid", "loss=dpo."),
        ("loss_type", "['sigmoid', 'bco_pair', 'sft']", "loss=dpo+bco_pair+sft."),
        ("label_smoothing", "0.1", "loss=cdpo:label_smoothing=0.1"),
        ("per_device_train_batch_size", "2", "batch_size=2"),
        ("num_train_epochs", "3", "epochs=3"),
        ("precompute_ref_log_probs", "true", "precompute_reference"),
        ("reference_free", "true", "loss=simpo"),
        ("f_divergence_type", "js_divergence", "There is none"),
        ("lora_r", "64", "lora_rank=64"),
        ("gradient_accumulation_steps", "8", "accumulation=8"),
        ("logging_steps", "10", "Nothing here does what it does"),
    ],
)
def test_a_name_of_trl_is_told_what_it_is_here(key, value, told):
    message = said(key, value)
    assert told in message
    assert "Did you mean" not in message


def test_every_field_of_trls_config_is_an_option_or_is_told():
    from trl import DPOConfig

    theirs = {field.name for field in dataclasses.fields(DPOConfig) if field.init}
    assert theirs - OWN - OPTIONS.keys() - WITHOUT == set()
    assert not WITHOUT & OPTIONS.keys()


def test_no_name_that_is_told_is_an_option_or_a_loss_here():
    assert not OWN & (OPTIONS.keys() | WITHOUT)
    assert not ELSEWHERE.keys() & set(LOSSES)


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_what_is_told_of_a_name_can_be_typed(name):
    """Each KEY=VALUE of a sentence that is not the command's is taken by the training."""
    values = {"optim": "sgd", "lr_scheduler_type": "linear", "activation_checkpointing": "true"}
    values["loss_type"] = "sigmoid"
    told = Training.called_here(name, values.get(name, "0.1" if "smooth" in name else "1"))
    for key, value in re.findall(r"(?<![-\w])(\w+)=([^\s;]+?)[.,;]?(?=\s|$)", told):
        filled("training", Training(holdout=0.05, eval_steps=5), {key: value})
    for word in re.findall(r"It is (\w+) here", told):
        assert word in OWN


@pytest.mark.parametrize("name", sorted(ELSEWHERE))
def test_losses_are_told_by_names_that_are_there(name):
    assert terms_of(ELSEWHERE[name])


def test_every_loss_of_trl_is_here_or_is_told():
    from trl import DPOConfig

    listed = DPOConfig.__doc__.split("loss_type (`list[str]`")[1].split("If multiple")[0]
    theirs = re.findall(r"'(\w+)'", listed)
    assert len(theirs) > 10
    assert set(theirs) - set(LOSSES) - ELSEWHERE.keys() == set()


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--learning-rate", "--set learning_rate=VALUE"),
        ("--beta", "--set beta=VALUE"),
        ("--num-train-epochs", "epochs=VALUE"),
    ],
)
def test_an_option_of_the_training_typed_as_the_commands_says_where_it_goes(option, told):
    done = harness("run", "--method", "seva", "--bench", "pope", option, "1")
    assert done.returncode == 2
    assert told in done.stderr
    assert "Did you mean" not in done.stderr


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("set: {num_train_epochs: 3}", "epochs=3"),
        ("learning_rate: 1e-5", "set: {learning_rate: VALUE}"),
    ],
)
def test_a_recipe_tells_the_same(tmp_path, line, told):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"method: seva\nbench: pope\n{line}\n")
    done = harness("run", "--config", recipe)
    assert done.returncode == 2
    assert told in done.stderr


def test_python_tells_the_same(tmp_path):
    with pytest.raises(UsageError, match="epochs=3"):
        api.run("seva", "pope", options={"num_train_epochs": 3}, out=tmp_path)
