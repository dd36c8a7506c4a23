"""Options from a file: the same call as typed, near misses named, what is typed wins."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from harness.cli import app
from harness.records import to_json
from harness.settings import Settings

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
SWEEPS = [path for path in RECIPES if "methods:" in path.read_text()]


def printed(*words):
    done = CliRunner().invoke(app, [*words, "--print-config"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return yaml.safe_load(done.stdout)


def refused(path):
    done = CliRunner().invoke(app, ["run", "--config", str(path)])
    assert done.exit_code != 0
    assert getattr(done.exception, "code", None) == 2, done.exception
    return f"{done.output} {done.exception}"


def recipe(tmp_path, **asked):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(asked))
    return str(path)


def test_a_recipe_is_the_call_that_it_was_printed_from(tmp_path):
    words = ["run", "--method", "seva", "--bench", "mmvet,pope", "--limit", "12", "--merge"]
    words += ["--set", "noise_step=800", "--out", str(tmp_path), "--margin", "2"]
    first = printed(*words)
    assert first["bench"] == ["mmvet", "pope"]
    assert (first["limit"], first["merge"]) == (12, True)
    assert first["set"] == {"noise_step": "800"}
    assert "seeds" not in first, "what was not typed keeps its default"
    assert printed("run", "--config", recipe(tmp_path, **first)) == first


def test_what_is_typed_wins_and_options_of_the_method_are_joined(tmp_path):
    path = recipe(
        tmp_path, method="seva", bench="pope", limit=5, set={"noise_step": 800, "beta": 0.2}
    )
    found = printed("run", "--config", path, "--limit", "7", "--set", "beta=0.3")
    assert found["limit"] == 7
    assert found["set"] == {"noise_step": "800", "beta": "0.3"}
    assert printed("plan", "--config", recipe(tmp_path, bench=["pope"], seeds=3))["seeds"] == 3


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"methd": "seva"}, "'methd', which is no option of harness run. Did you mean 'method'?"),
        ({"method": "seva", "merge": "perhaps"}, "merge is yes or no"),
        ({"method": {"a": 1}}, "method takes a text or a number"),
        ({"method": "seva", "bench": "pope", "limit": "many"}, "limit"),
        ({"method": "seva"}, "--bench"),
        (["method"], "holds no options"),
    ],
)
def test_a_recipe_that_cannot_be_meant_is_refused_in_words(tmp_path, asked, message):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(asked))
    assert message in refused(path)


def test_hostile_yaml_and_absent_files_are_one_sentence(tmp_path):
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n"
    bomb += "".join(
        f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n"
        for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    for text in (bomb, "a: !!python/object/apply:os.system [ls]", "{", "\x00"):
        (tmp_path / "bad.yaml").write_text(text)
        assert "bad.yaml cannot be read" in refused(tmp_path / "bad.yaml")
    absent = refused(tmp_path / "absent.yaml")
    assert "absent.yaml cannot be read: No such file or directory. docs/recipes.md" in absent
    assert "does not say what was asked" in refused(tmp_path)


def test_a_run_folder_repeats_itself():
    run = Path(__file__).parents[1] / "fixtures" / "flat_layout" / "run"
    (folder,) = [run] if (run / "settings.json").is_file() else run.iterdir()
    found = printed("run", "--config", str(folder))
    assert (found["method"], found["bench"], found["limit"]) == ("seva", ["mmvet", "pope"], 12)


@pytest.mark.parametrize(
    "path", [path for path in RECIPES if path not in SWEEPS], ids=lambda path: path.name
)
def test_every_recipe_of_the_repository_is_one(path):
    from harness.benchmark import expand
    from harness.plugins import load_method

    found = printed("run", "--config", str(path))
    assert expand(found["bench"])
    load_method(found["method"]).options(found.get("preset"), {})


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.name)
def test_every_sweep_of_the_repository_is_one(path, tmp_path):
    """Its methods, presets and options are looked up; the demo stands for what is not here."""
    asked = yaml.safe_load(path.read_text()) | {"models": ["tinyworld"]}
    for name in ("data", "prompts", "protocol"):
        asked["options"].pop(name, None)
    own = recipe(tmp_path, **asked)
    done = CliRunner().invoke(app, ["sweep", own, "--print-jobs"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "to do." in done.stdout.splitlines()[-1]


EVERY_OPTION = {
    "--method": "given",
    "--bench": "mmvet,pope",
    "--model": "a/model",
    "--data": "hub",
    "--prompts": "mine.jsonl",
    "--pairs": "pairs.jsonl",
    "--images": "pictures",
    "--allow-urls": None,
    "--preset": "paper",
    "--set": "beta=0.2",
    "--seed": "4",
    "--limit": "12",
    "--max-new-tokens": "33",
    "--max-prompts": "9",
    "--report": "markdown",
    "--device": "cpu",
    "--dtype": "bfloat16",
    "--out": "elsewhere",
    "--protocol": "llava-1.5",
    "--engine": "vllm",
    "--engine-set": "tensor_parallel=2",
    "--baseline": "base.zip",
    "--pair-timeout": "5",
    "--rounds": "3",
    "--round-prompts": "fresh",
    "--replay": "0.25",
    "--round-reference": "base",
    "--eval-rounds": None,
    "--image-ablation": None,
    "--attribution": "7",
    "--merge": None,
    "--merge-dtype": "float32",
    "--margin": "0.5,mmvet=2",
    "--alpha": "0.01",
    "--accept-missing": "mmvet",
    "--judge": "openai:gpt",
    "--judge-repeats": "3",
    "--judge-rpm": "60",
    "--judge-price": "2.5/10",
    "--judge-cap": "20",
    "--judge-thinking": "0",
    "--judge-prompt": "mmvet=prompt.txt",
    "--accept-judge": "openai:gpt",
    "--accept-drift": None,
}
NO_SETTING = {"--seeds", "--nproc", "--only", "--json", "--quiet", "--config", "--print-config"}
NO_SETTING |= {"--part", "--holdout", "--track"}  # which are options of the method, and reports


def settings_as_typed(*words):
    from harness.cli.run import settings_of

    asked = app.commands["run"].make_context("run", list(words)).params
    for name in ("seeds", "nproc", "only", "part", "events", "quiet"):
        asked.pop(name)
    return settings_of(**asked)


def test_the_recipe_of_a_run_means_every_setting_of_it(tmp_path):
    options = {name for each in app.commands["run"].params for name in each.opts}
    assert set(EVERY_OPTION) | NO_SETTING == {name for name in options if name != "--help"}
    words = [word for pair in EVERY_OPTION.items() for word in pair if word is not None]
    settings = settings_as_typed(*words)
    for name in ("judging", "rounds", "options", "margins"):
        assert getattr(settings, name) != getattr(Settings("", ()), name)
    asked = to_json(settings)
    for name in ("options", "engine_options"):  # as `Plan.record` writes them
        asked[name] = dict(asked[name])
    (tmp_path / "settings.json").write_text(json.dumps({"asked": asked}))
    assert settings_as_typed("--config", str(tmp_path)) == settings


def test_values_with_several_parts_are_the_same_typed_and_in_a_recipe(tmp_path):
    given = {"corruptions": ["noise:step=200", "pad"], "ladder": ["a + b", "c"], "merge": True}
    found = printed("run", "--config", recipe(tmp_path, method="seva", bench="pope", set=given))
    assert found["set"]["corruptions"] == "noise:step=200+pad"
    assert json.loads(found["set"]["ladder"]) == given["ladder"]
    assert found["set"]["merge"] == "true"


def test_rounds_of_a_run_are_options_again(tmp_path):
    asked = {"method": "seva", "benches": ["pope"], "eval_rounds": True}
    asked["rounds"] = {"count": 3, "prompts": "fresh", "replay": 0.5, "reference": "previous"}
    (tmp_path / "settings.json").write_text(json.dumps({"asked": asked}))
    found = printed("run", "--config", str(tmp_path))
    assert (found["rounds"], found["round-prompts"], found["replay"]) == (3, "fresh", 0.5)
    assert found["eval-rounds"] is True
