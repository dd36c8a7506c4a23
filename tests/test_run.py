"""The whole story on real parts: the embedded model, stock tasks, TRL, a few rows each."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import harness_tinyworld
import pytest
from click.testing import CliRunner

from harness.cli import app
from harness.compare import summary
from harness.errors import UsageError
from harness.model import Model
from harness.rejudge import rejudge
from harness.run import Outcome, run, run_only
from harness.runs import verify
from harness.settings import JudgeSettings, RoundSettings, Settings
from harness.stages import told
from harness.storage import Store
from tests.support.checkpoints import write_llava
from tests.support.judge_server import running

SMALL = Settings(
    method="seva",
    benches=("mmvet", "pope"),
    limit=36,
    max_prompts=24,
    options=(("epochs", "1"), ("max_new_tokens", "24")),
)


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Settings:
    return dataclasses.replace(SMALL, out=tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def outcome(settings) -> Outcome:
    return run(settings)


def numbers(outcome: Outcome) -> dict:
    return json.loads((outcome.folder / "comparison.json").read_text())


def test_the_main_job_leaves_everything_that_was_promised(outcome):
    found = {path.relative_to(outcome.folder).as_posix() for path in outcome.folder.rglob("*")}
    assert found >= {
        "settings.json",
        "versions.json",
        "pairs.jsonl",
        "dropped.jsonl",
        "training.json",
        "before/pope.jsonl",
        "after/mmvet.jsonl",
        "comparison.json",
        "report.md",
    }
    assert not outcome.reused
    assert outcome.checkpoint.adapter
    assert outcome.pairs.prompts == 24
    assert len(outcome.pairs.pairs) + sum(outcome.pairs.dropped.values()) == 24


def test_every_row_was_asked_and_none_is_a_silent_zero(outcome):
    for arm in ("before", "after"):
        for bench in ("pope", "mmvet"):
            lines = (outcome.folder / arm / f"{bench}.jsonl").read_text().splitlines()
            rows = [json.loads(line) for line in lines[1:-1]]
            assert len(rows) == 36
            assert all(row["answer"] is not None and row["error"] is None for row in rows)


def test_the_same_call_again_asks_nobody(settings, outcome):
    again = run(settings)
    assert again.reused
    assert again.calls == 0
    assert numbers(again) == numbers(outcome)


@pytest.fixture
def copied(settings, outcome, tmp_path) -> tuple[Settings, Path]:
    """The finished run in a folder of its own, with the answers that it got."""
    folder = tmp_path / outcome.folder.name
    shutil.copytree(outcome.folder, folder)
    shutil.copy(settings.out / "store.sqlite", tmp_path)
    return dataclasses.replace(settings, out=tmp_path), folder


def states(found) -> dict[str, str]:
    return {each.stage: each.state for each in found}


def test_a_single_stage_does_its_part_of_the_run_and_no_other(copied, outcome):
    mine, folder = copied
    for name in ("before", "after"):
        shutil.rmtree(folder / name)
    (folder / "comparison.json").unlink()
    place, found = run_only(mine, ["before"])
    assert place == folder
    assert states(found) == {
        "before": "done",
        "pairs": "done",
        "train": "done",
        "after": "missing",
        "report": "missing",
    }
    assert {each.stage: each.done for each in found} | {"train": 0} == {
        "before": 72,
        "pairs": 24,
        "train": 0,
        "after": 0,
        "report": 0,
    }
    text = told(found, folder)
    assert text.endswith("missing: after, report.")
    assert "before (72 answers), pairs (24 prompts)" in text
    _, found = run_only(mine, ["after"])
    assert states(found)["after"] == "done"
    again = run(mine)
    assert again.reused
    assert again.calls == 0
    assert numbers(again) == numbers(outcome)


def test_a_stage_without_what_it_needs_says_what_and_how(copied):
    mine, folder = copied
    shutil.rmtree(folder / "checkpoint")
    (folder / "pairs.jsonl").unlink()
    with pytest.raises(UsageError, match=r"'after' needs pairs, train first.*pairs,train,after"):
        run_only(mine, ["after"])
    assert not (folder / "pairs.jsonl").exists()
    rounds = dataclasses.replace(mine, rounds=RoundSettings(2))
    with pytest.raises(UsageError, match="--only pairs,train"):
        run_only(rounds, ["pairs"])


def test_files_of_other_inputs_and_half_written_ones_are_not_done(copied):
    mine, folder = copied
    lines = (folder / "before" / "pope.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "before" / "pope.jsonl").write_bytes(b"".join(lines[:11]) + lines[11][:30])
    header = json.loads(lines[0]) | {"fingerprint": "0123456789abcdef"}
    after = (folder / "after" / "pope.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "after" / "pope.jsonl").write_bytes(
        json.dumps(header).encode() + b"\n" + b"".join(after[1:])
    )
    _, found = run_only(mine, [])
    arms = {each.stage: {part.name: part for part in each.parts} for each in found}
    assert (arms["before"]["pope"].done, arms["before"]["pope"].complete) == (10, False)
    assert (arms["after"]["pope"].done, arms["after"]["mmvet"].complete) == (0, True)
    assert states(found)["report"] == "begun", "it is older than what it rests on"


def test_a_finished_run_is_judged_and_its_verdicts_hold(copied):
    mine, folder = copied
    with running() as server:
        judging = JudgeSettings(server.judge)
        assert rejudge(folder, judging).calls > 0
        _, found = run_only(dataclasses.replace(mine, judging=judging), [])
    assert states(found)["judge"] == "done"
    assert verify(folder).passed
    place = folder / "before" / "mmvet.jsonl"
    place.write_text(place.read_text().replace("the", "a", 1))
    told = verify(folder)
    assert not told.passed
    assert "judged answers" in {check.part for check in told.checks if check.outcome == "differs"}


def test_two_seeds_are_one_folder_whose_figures_are_the_mean_over_both(settings, outcome):
    words = ["run", "--method", "seva", "--bench", "mmvet,pope", "--limit", "36", "--seeds", "2"]
    words += ["--max-prompts", "24", "--set", "epochs=1", "--set", "max_new_tokens=24", "--json"]
    done = CliRunner().invoke(app, [*words, "--out", str(settings.out)])
    last = json.loads(done.stdout.splitlines()[-1])
    place = Path(last["folder"])
    assert place.name == f"{outcome.folder.name}-seeds2"
    (head, *_) = last["comparison"]["benchmarks"][0]["figures"]
    assert head["difference"] == pytest.approx(sum(head["seeds"]) / 2)
    first = numbers(outcome)["comparison"]["benchmarks"][0]["figures"][0]
    assert head["seeds"][0] == pytest.approx(first["difference"])
    assert verify(place).passed
    again = CliRunner().invoke(app, [*words, "--out", str(settings.out)])
    last = json.loads(again.stdout.splitlines()[-1])
    assert (last["reused"], last["calls"]) == (True, 0)
    stages = CliRunner().invoke(app, [*words[:-1], "--only", "before", "--out", str(settings.out)])
    assert stages.exit_code == 0, stages.output
    assert stages.stdout.count("nothing is missing") == 2


def test_a_merged_model_and_the_images_blanked_are_made_once(copied):
    mine, folder = copied
    more = dataclasses.replace(mine, merge=True, image_ablation=True)
    made = run(more)
    assert made.folder == folder
    assert (folder / "merged" / "config.json").is_file()
    assert numbers(made)["run"]["ablation"]["before"]
    again = run(more)
    assert (again.reused, again.calls) == (True, 0)


def test_the_embedded_numbers_are_named_as_such(outcome):
    text = (outcome.folder / "report.md").read_text()
    assert harness_tinyworld.NOTICE in text


def test_one_changed_byte_of_the_weights_is_another_model(settings, outcome, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(harness_tinyworld.MODEL, folder)
    store = Store(settings.out / "store.sqlite")
    fingerprint = Model.open(folder, store=store).fingerprint
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-3] ^= 1
    weights.write_bytes(data)
    changed = Model.open(folder, store=store)
    assert changed.fingerprint != fingerprint
    copy = dataclasses.replace(settings, model=str(folder), benches=("mmvet",))
    other = run(copy)
    rows = 36 + 36 + 2 * 24
    assert other.calls == rows  # not one answer came from the store
    assert other.folder != outcome.folder


def test_a_checkpoint_of_the_users_own_goes_the_same_way(settings, tmp_path):
    path = write_llava(tmp_path / "llava-1.5-shaped")
    mine = dataclasses.replace(
        settings,
        model=str(path if path is not None else tmp_path / "llava-1.5-shaped"),
        benches=("pope",),
        limit=18,
        max_prompts=6,
        preset="small",
    )
    outcome = run(mine)
    assert outcome.calls == 18 + 18 + 12
    assert Path(outcome.checkpoint.path, "adapter_model.safetensors").is_file()


def test_the_prompt_of_an_unreadable_image_is_a_counted_drop(settings, tmp_path):
    source = harness_tinyworld.PROMPTS
    lines = [json.loads(line) for line in source.read_text().splitlines()[:4]]
    for line in lines:
        shutil.copy(source.parent / line["image"], tmp_path / Path(line["image"]).name)
        line["image"] = Path(line["image"]).name
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    torn = tmp_path / lines[2]["image"]
    torn.write_bytes(torn.read_bytes()[:-60])
    broken = dataclasses.replace(settings, prompts=str(tmp_path / "p.jsonl"), benches=("mmvet",))
    assert run(broken).pairs.dropped["unreadable image"] == 1


@pytest.mark.slow
def test_a_method_that_trains_nothing_changes_exactly_nothing(settings, monkeypatch):
    """A compared with itself, all the way through pairs, checkpoint and a second evaluation."""
    import sys
    import types

    from harness import plugins

    noop = Path(__file__).parent / "support" / "third_party"
    monkeypatch.syspath_prepend(str(noop))
    owner = type("Owner", (), {"name": "harness-noop"})
    point = types.SimpleNamespace(name="noop", dist=owner)
    module = __import__("harness_noop")
    point.module, point.value, point.load = "harness_noop", "harness_noop", lambda: module
    real = plugins.entry_points
    monkeypatch.setattr(
        plugins,
        "entry_points",
        lambda group: [*real(group=group), *([point] if group == "harness.methods" else [])],
    )
    same = run(dataclasses.replace(settings, method="noop", options=()))
    for benchmark in same.comparison.benchmarks:
        assert benchmark.flips == ()
        for figure in benchmark.figures:
            if (figure.before, figure.after) == (None, None):
                continue  # one split alone has no mean over the splits
            assert figure.difference == 0
            # Equal answers are a fact about these rows; of others the interval says what can be.
            assert figure.interval[0] < 0 < figure.interval[1]
            assert figure.verdict in ("cannot tell", "no worse")
    assert summary(same.comparison).same_answers
    sys.modules.pop("harness_noop")
