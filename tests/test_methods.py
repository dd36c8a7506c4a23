"""Every method that ships keeps the contract and runs on the built-in demo."""

from __future__ import annotations

import dataclasses

import pytest

from harness.plugins import load, load_method, names
from harness.run import run
from harness.settings import Settings
from harness.testing import assert_method

SHIPPED = ("csr", "gt_dpo", "multineg", "random_pairs", "seva", "sft", "sima", "swapped")
TOKENS = {name: ("max_new_tokens", "16") for name in ("csr", "multineg", "seva", "sima")}
BASELINE = ("of_set", "max_new_tokens=16")


def test_all_are_installed():
    assert set(SHIPPED) <= set(names("methods"))


@pytest.mark.parametrize("name", SHIPPED)
def test_every_preset_is_an_options_and_small_fits_the_world(name):
    method = load_method(name)
    presets = method.module.PRESETS
    assert {"paper", load("demos", "tinyworld").preset} <= set(presets)
    for preset in presets:
        options = method.options(preset, {})
        assert isinstance(options, method.module.Options)
        assert dataclasses.replace(options) == options


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_the_contract_is_kept(name):
    assert_method(name, values=None if name in TOKENS else dict([BASELINE]))


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_a_run_on_the_embedded_world(name, tmp_path_factory):
    out = tmp_path_factory.getbasetemp() / "methods"  # one store for all: they share most answers
    settings = Settings(
        method=name,
        benches=("mmvet", "pope"),
        limit=18,
        max_prompts=12,
        options=(TOKENS.get(name, BASELINE),),
        out=out,
    )
    outcome = run(settings)
    assert outcome.pairs.pairs
    assert {"learning_rate", "epochs", "beta"} <= set(outcome.report.options)
    assert (outcome.folder / "comparison.json").is_file()
