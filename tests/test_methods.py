"""Every method that ships keeps the contract and runs on the built-in demo."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from harness.model import Model
from harness.pairs import read_prompts
from harness.plugins import load, load_method, names
from harness.records import Pair
from harness.run import run
from harness.settings import Settings
from harness.testing import assert_method

SHIPPED = ("gt_dpo", "multineg", "random_pairs", "seva", "sft", "sima", "swapped")
TOKENS = {name: ("max_new_tokens", "16") for name in ("multineg", "seva", "sima")}
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
    assert (outcome.folder / "comparison.json").is_file()


@pytest.mark.slow
def test_simas_rounds_end_in_a_whole_model_and_resume(tmp_path):
    method = load_method("sima")
    world = load("demos", "tinyworld")
    model = Model.open(world.model)
    options = method.options(
        "small", {"rounds": "2", "epochs": "1", "max_new_tokens": "16", "critic_tokens": "32"}
    )
    prompts = read_prompts(world.prompts, 12)
    pairs = [one for one in method.make_pairs(prompts, model, options, 0) if isinstance(one, Pair)]
    path = method.train(pairs, model, options, tmp_path, 0)
    assert path == tmp_path / "round-2" / "model"
    assert (path / "config.json").is_file()
    assert not (tmp_path / "round-1" / "model").exists()
    assert (tmp_path / "round-2" / "pairs.jsonl").is_file()
    changed = model.with_adapter(path)
    assert changed.fingerprint != model.fingerprint
    before = Path(path / "model.safetensors").stat().st_mtime_ns
    assert method.train(pairs, model, options, tmp_path, 0) == path
    assert Path(path / "model.safetensors").stat().st_mtime_ns == before
