"""Options from a file: the same call as typed, near misses named, what is typed wins."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from harness.cli import app

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


def test_rounds_of_a_run_are_options_again(tmp_path):
    asked = {"method": "seva", "benches": ["pope"], "eval_rounds": True}
    asked["rounds"] = {"count": 3, "prompts": "fresh", "replay": 0.5, "reference": "previous"}
    (tmp_path / "settings.json").write_text(json.dumps({"asked": asked}))
    found = printed("run", "--config", str(tmp_path))
    assert (found["rounds"], found["round-prompts"], found["replay"]) == (3, "fresh", 0.5)
    assert found["eval-rounds"] is True
