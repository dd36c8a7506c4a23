"""Rounds of pairs and training: what each begins with, is made of, and leaves."""

from __future__ import annotations

import dataclasses
import json
import shutil
from types import ModuleType

import pluggy
import pytest
from harness_tinyworld import DEMO

from harness import dpo, hookimpl, hookspecs
from harness.cli.run import run as run_command
from harness.dpo import read_effect
from harness.errors import HarnessError, UsageError
from harness.model import Model
from harness.pairs import read_prompts
from harness.plugins import Method
from harness.records import Pair, Request, to_json
from harness.settings import BASE, FRESH, RoundSettings, round_settings
from harness.stages import Checkpoint, align, check_rounds, round_folder
from harness.stages.rounds import _drawn, _Rounds
from tests.support.checkpoints import write_llava
from tests.support.contexts import run_context

PROMPTS = read_prompts(DEMO.prompts, 6)
OPTIONS = dpo.Training(lora_rank=4, lora_alpha=8, learning_rate=5e-3, batch_size=6, accumulation=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return Model.open(write_llava(tmp_path_factory.mktemp("m") / "llava"))


def method_of(seen=None, *, made=True):
    """A method whose pairs are the same in every round, or answers of the model it is given."""
    module = ModuleType("guest")

    def make_pairs(prompts, model, options):
        for prompt in prompts:
            chosen = f"{prompt.reference} indeed"
            if seen is not None:
                request = Request(prompt.question, (prompt.open_image(),), 8)
                chosen = next(iter(model.answer([request]))).text or "nothing"
                seen.append((prompt.id, chosen))
            if made:
                yield Pair(prompt, chosen, ("wrong words here",))

    def train(pairs, model, options, out, seed):
        return dpo.train(pairs, model, out, seed=seed, training=options)

    module.make_pairs, module.train = hookimpl(make_pairs), hookimpl(train)
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(module)
    return Method("guest", "guest-dist", module, manager.hook)


def rounds(folder, model, method=None, options=OPTIONS, **asked):
    asked = RoundSettings(**{"count": 2, **asked})
    context = run_context(
        folder, method or method_of(), options, prompts=PROMPTS, rounds=asked, seed=1
    )
    return align(context, model)


def weights(path):
    from safetensors.torch import load_file

    return load_file(path / "adapter_model.safetensors")


def margins(folder, number):
    found = read_effect(round_folder(folder, number))
    return found.before.margin, found.after.margin


def test_the_reference_is_the_model_of_the_round_before(tmp_path, model):
    made = rounds(tmp_path, model)
    one, two = (margins(tmp_path, number) for number in (1, 2))
    assert one[1] > one[0] + 0.1
    assert two[0] == pytest.approx(one[1], abs=1e-3)
    # The adapter of the run is that of all rounds, on the base: it scores as the last round did.
    assert made.checkpoint.path == tmp_path / "checkpoint" / "adapter"
    whole = dpo.image_ablation(pairs_of(tmp_path), model, made.checkpoint.path)
    assert whole.margin == pytest.approx(two[1], abs=1e-3)
    assert not list(tmp_path.rglob("merged"))
    assert [each.number for each in made.rounds.each] == [1, 2]
    assert set(made.models) == {1}


def pairs_of(folder):
    from harness.pairs.diagnostics import read_pairs

    return read_pairs(folder)[0]


def test_the_reference_may_stay_the_base(tmp_path, model):
    made = rounds(tmp_path, model, reference=BASE)
    one, two = (margins(tmp_path, number) for number in (1, 2))
    assert two[0] == pytest.approx(one[1], abs=1e-3)  # what a round did, and not all together
    assert two[1] > one[1]
    config = json.loads((made.checkpoint.path / "adapter_config.json").read_text())
    assert config["r"] == OPTIONS.lora_rank
    assert made.rounds.each[1].training.before.margin == two[0]


def test_a_round_asks_the_model_of_the_round_before(tmp_path, model):
    """The second round's answers are those of base and first adapter, merged by hand."""
    seen: list = []
    options = dataclasses.replace(OPTIONS, epochs=20.0, cut="keep")
    rounds(tmp_path, model, method_of(seen), options)
    first, second = seen[: len(PROMPTS)], seen[len(PROMPTS) :]
    assert [id_ for id_, _ in first] == [id_ for id_, _ in second]
    assert first != second
    adapter = round_folder(tmp_path, 1) / "checkpoint" / "adapter"
    merged = model.with_adapter(dpo.merge(model.path, adapter, tmp_path / "by-hand"))
    asked = [Request(prompt.question, (prompt.open_image(),), 8) for prompt in PROMPTS]
    assert [answer.text for answer in merged.answer(asked)] == [text for _, text in second]


@pytest.mark.slow
def test_a_run_goes_on_from_any_round(tmp_path, model):
    made = rounds(tmp_path / "a", model)
    for lost in ("2/training.json", "1/checkpoint/joined", "2"):
        shutil.copytree(tmp_path / "a", tmp_path / "b")
        place = tmp_path / "b" / "rounds" / lost
        if place.is_dir():
            shutil.rmtree(place)
        elif place.exists():
            place.unlink()
        again = rounds(tmp_path / "b", model)
        for name, value in weights(made.checkpoint.path).items():
            assert (weights(again.checkpoint.path)[name] == value).all()
        shutil.rmtree(tmp_path / "b")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*.safetensors")}
    assert rounds(tmp_path / "a", model).pairs.reused
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_prompts_may_be_parted_and_earlier_pairs_replayed(tmp_path, model):
    made = rounds(tmp_path, model, prompts=FRESH, replay=0.5)
    asked = [{pair.prompt.id for pair in pairs_of(round_folder(tmp_path, n))} for n in (1, 2)]
    assert [len(ids) for ids in asked] == [3, 3]
    assert set.union(*asked) == {prompt.id for prompt in PROMPTS}
    assert [each.replayed for each in made.rounds.each] == [0, 2]
    trained = [each.training.pairs for each in made.rounds.each]
    assert trained == [3, 5]


def test_a_share_is_drawn_by_seed_and_kept_in_order():
    pairs = [Pair(prompt, "a", ("b",)) for prompt in PROMPTS]
    assert _drawn(pairs, 1.0, 1) == tuple(pairs)
    assert _drawn(pairs, 0.0, 1) == ()
    three = _drawn(pairs, 0.5, 1)
    assert len(three) == 3
    assert list(three) == sorted(three, key=pairs.index)
    assert three == _drawn(pairs, 0.5, 1)
    assert any(_drawn(pairs, 0.5, seed) != three for seed in range(2, 9))


def test_an_error_says_in_which_round_it_came(tmp_path, model):
    with pytest.raises(HarnessError, match=r"^Round 1 of 2: No pairs are left of 6 prompts"):
        rounds(tmp_path, model, method_of(made=False))


def test_a_round_that_moves_nothing_is_an_error(tmp_path, model):
    """Later rounds may start from an adapter, so that an update above zero proves nothing."""
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    same = Checkpoint(adapter, "d", adapter=True, reused=False)
    context = run_context(tmp_path, method_of(), OPTIONS)
    made = _Rounds(context, model, RoundSettings(2, reference=BASE))
    made._refuse_same(same, [])
    with pytest.raises(HarnessError, match="changed no weight of the round before"):
        made._refuse_same(same, [same])


def test_what_cannot_be_asked_of_rounds_is_refused(tmp_path):
    assert round_settings(1) is None
    assert round_settings(3, replay=0.5) == RoundSettings(3, replay=0.5)
    with pytest.raises(UsageError, match="Give --rounds 2 or more"):
        round_settings(1, replay=0.5)

    def plan(options=OPTIONS, **asked):
        more = {"prompts": PROMPTS, "rounds": RoundSettings(**asked) if asked else None}
        return run_context(tmp_path, method_of(), options, **more).plan

    check_rounds(plan(count=6, prompts=FRESH))
    with pytest.raises(UsageError, match="parts 6 prompts among 7 rounds"):
        check_rounds(plan(count=7, prompts=FRESH))
    with pytest.raises(UsageError, match="trains in its own way"):
        check_rounds(plan(options=None, count=2, reference=BASE))
    alone = plan()
    settings = dataclasses.replace(alone.settings, eval_rounds=True)
    with pytest.raises(UsageError, match="--eval-rounds"):
        check_rounds(dataclasses.replace(alone, settings=settings))


def test_one_round_lies_where_it_lay_and_more_lie_elsewhere(tmp_path):
    plan = run_context(tmp_path, method_of(), OPTIONS, prompts=PROMPTS).plan

    def place(**change):
        settings = dataclasses.replace(plan.settings, **change)
        return dataclasses.replace(plan, settings=settings).folder("model")

    two = place(rounds=RoundSettings(2))
    assert place() == place(rounds=None, eval_rounds=True)
    assert two != place()
    assert two == place(rounds=RoundSettings(2), eval_rounds=True)
    assert two != place(rounds=RoundSettings(2, replay=0.5))
    # What decided pairs and training before there were rounds, and nothing else.
    assert plan.determined == ("m", "p", to_json(OPTIONS), 0)


def test_the_options_of_the_command_are_the_settings():
    names = {option.name for option in run_command.params}
    assert {"rounds", "round_prompts", "replay", "round_reference", "eval_rounds"} <= names
