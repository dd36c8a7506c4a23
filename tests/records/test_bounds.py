"""Bounds are declared once and hold wherever an option is set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.dpo import Training
from harness.errors import UsageError
from harness.plugins import load_method
from harness.records import Bounds, check_bounds

BAD = """
lora_dropout=2 lora_dropout=-0.1 lora_dropout=nan warmup_ratio=5 warmup_ratio=-1 warmup_ratio=1
max_length=-5 max_length=0 save_steps=-5 report_to=nonsense report_to=wandb+nonsense
lora_targets=[( lora_targets=* lora_alpha=0.5 lora_alpha=0 lora_rank=0 lora_rank=-8 lora_rank=1e9
epochs=0 epochs=-1 epochs=inf scheduler=cosin optimizer=adam load_in_4bit=true
gradient_accumulation_steps=4 max_grad_norm=-1 max_grad_norm=nan weight_decay=-5 learning_rate=10
learning_rate=0 learning_rate=-1e-5 learning_rate=nan beta=1e8 beta=0 beta=-1 batch_size=100000
batch_size=0 accumulation=0 accumulation=2.5 repeats=0 loss=dppo loss_weights=0+0+0
loss_weights=1+-1+0 reward_temperature=0 packed=perhaps holdout=0.9 holdout=-0.1 eval_steps=5
patience=3 max_steps=0 warmup_steps=-1 save_limit=0 cut=maybe max_new_tokens=0 max_new_tokens=-4
noise_step=1000 noise_step=-1 corruption=fog quota=ocr quota=ocr=-4
"""


@pytest.mark.parametrize("text", BAD.split())
def test_a_bad_knob_is_refused_when_it_is_set_and_by_name(text):
    key, _, value = text.partition("=")
    with pytest.raises(UsageError, match=rf"\b{key}"):
        load_method("seva").options(None, {key: value})


@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("sima", "rounds=0"), ("sima", "temperature=0"), ("sima", "top_p=1.5"),
        ("sima", "order=any"), ("multineg", "keep=-1"), ("multineg", "hard=very"),
        ("swapped", "of_set=lora_dropout=3"),
    ],
)  # fmt: skip
def test_other_methods_have_bounds_too(method, text):
    key, _, value = text.partition("=")
    with pytest.raises(UsageError):
        load_method(method).options(None, {key: value})


@pytest.mark.parametrize("value", [10**400, float("inf"), float("nan")])
def test_a_number_beyond_all_others_is_out_of_bounds(value):
    assert Bounds(least=1).problem(value) == "it must be at least 1"
    assert Bounds().problem(value) == "it must be a finite number"


def test_a_subclass_with_another_default_keeps_the_bounds():
    @dataclass(frozen=True)
    class Mine(Training):
        beta: float = 0.2

    assert Mine().beta == 0.2
    with pytest.raises(UsageError, match=r"beta is -1; it must be above 0 and at most 100"):
        Mine(beta=-1)


def test_none_and_plain_texts_are_read():
    options = load_method("seva").options(None, {"max_length": "none", "lora_targets": "[qv]_proj"})
    assert (options.max_length, options.lora_targets) == (None, "[qv]_proj")


@given(st.floats(), st.floats(-10, 10), st.floats(-10, 10))
def test_a_number_passes_exactly_between_its_limits(value, low, high):
    told = Bounds(least=low, below=high).problem(value)
    assert (told is None) == (low <= value < high)


def test_options_of_others_are_checked_too():
    @dataclass(frozen=True)
    class Theirs:
        share: Annotated[float, Bounds(least=0, most=1)] = 0.5

    check_bounds(Theirs())
    with pytest.raises(UsageError, match="share is 2"):
        check_bounds(Theirs(2))
