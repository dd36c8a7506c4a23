"""What a sweep's recipe means, and how one that cannot be meant is refused."""

from __future__ import annotations

import json

import pytest
import yaml
from click.testing import CliRunner

from harness.cli import app
from harness.errors import UsageError
from harness.jobs import read_recipe, wishes_of


def written(tmp_path, **asked):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(asked))
    return str(path)


def printed(path, *words):
    done = CliRunner().invoke(
        app, ["sweep", path, "--print-jobs", "--json", *words], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout.splitlines()[-1])


def refusal(path, *words):
    done = CliRunner().invoke(app, ["sweep", path, "--print-jobs", *words])
    assert isinstance(done.exception, UsageError), done.output
    return str(done.exception)


SMALL = {"limit": 4, "max-prompts": 4}


def test_every_method_meets_every_model_and_their_options_are_joined():
    asked = {
        "methods": ["sima", {"method": "seva", "set": {"beta": 0.2}, "options": {"limit": 9}}],
        "models": ["tinyworld", {"model": "./other", "options": {"dtype": "float32"}}],
        "benches": "pope, mmvet",
        "options": {"limit": 4, "set": {"epochs": 1}},
    }
    found = wishes_of(read_recipe(asked, "recipe.yaml"))
    assert [(wish.label, wish.options["model"]) for wish in found] == [
        ("sima", "tinyworld"),
        ("seva", "tinyworld"),
        ("sima", "./other"),
        ("seva", "./other"),
    ]
    assert found[3].options == {
        "method": "seva",
        "bench": ["pope", "mmvet"],
        "model": "./other",
        "dtype": "float32",
        "limit": 9,
        "set": {"epochs": 1, "beta": 0.2},
    }
    assert read_recipe({**asked, "seeds": 3}, "r").seeds == [0, 1, 2]
    twice = {**asked, "methods": ["seva", {"method": "seva", "preset": "paper"}]}
    assert [wish.label for wish in wishes_of(read_recipe(twice, "r"))][:2] == ["seva", "seva paper"]


def test_stages_of_a_run_follow_each_other_and_before_is_shared(tmp_path):
    path = written(
        tmp_path,
        methods=["seva", {"method": "sima", "set": {"max_new_tokens": 12}}],
        benches=["pope", "mmvet"],
        seeds=[5, 6],
        options=SMALL,
    )
    found = printed(path, "--out", str(tmp_path / "sweep"))
    jobs = {job["name"]: job for job in found["jobs"]}
    assert len(jobs) == 1 + 4 * 3 + 2
    runs = sorted({name.split("/")[0] for name in jobs if name.endswith("/pairs")})
    assert len(runs) == 4
    (before,) = [name for name in jobs if name.endswith("/before")]
    for run in runs:
        assert jobs[f"{run}/pairs"]["needs"] == [before]
        assert jobs[f"{run}/train"]["needs"] == [f"{run}/pairs"]
        assert jobs[f"{run}/after"]["needs"] == [f"{run}/train"]
    for method in ("seva", "sima"):
        (report,) = [name for name in jobs if name.startswith(method) and "report" in name]
        own = {f"{run}/after" for run in runs if run.startswith(method)}
        assert set(jobs[report]["needs"]) == own
        words = jobs[report]["command"]
        assert words[words.index("--seeds") + 1] == "2"
        assert words[words.index("--seed") + 1] == "5"
        assert "--only" not in words
    assert not any(job["done"] for job in jobs.values())
    assert not (tmp_path / "sweep").exists(), "nothing is written"


def test_before_is_of_a_model_and_rounds_make_pairs_as_they_train(tmp_path):
    path = written(
        tmp_path,
        methods=["seva", {"method": "sima", "options": {"limit": 3}}],
        benches=["pope"],
        options={**SMALL, "rounds": 2},
        resources={"train": {"gpus": 4, "minutes": 90}},
    )
    jobs = printed(path)["jobs"]
    assert sum(job["name"].endswith("/before") for job in jobs) == 2, "of other rows"
    assert not any(job["name"].endswith("/pairs") for job in jobs)
    train = next(job for job in jobs if job["name"].endswith("/train"))
    assert (train["gpus"], train["minutes"]) == (4, 90)
    assert train["command"][-2:] == ["--nproc", "4"]
    assert train["command"][train["command"].index("--only") + 1] == "pairs,train"
    assert {job["gpus"] for job in jobs if not job["name"].endswith("/train")} == {0}


def test_parts_of_the_pairs_are_jobs_between_before_and_pairs(tmp_path):
    resources = {"pairs": {"parts": 3, "gpus": 2, "minutes": 45}}
    path = written(
        tmp_path, methods="sima", benches="pope", seeds=2, options=SMALL, resources=resources
    )
    jobs = {job["name"]: job for job in printed(path, "--out", str(tmp_path / "sweep"))["jobs"]}
    assert len(jobs) == 1 + 2 * (3 + 3) + 1
    (before,) = [name for name in jobs if name.endswith("/before")]
    for name in [name for name in jobs if name.endswith("/pairs")]:
        parts = [f"{name}-{number}-of-3" for number in (1, 2, 3)]
        assert jobs[name]["needs"] == parts
        assert "--part" not in jobs[name]["command"]
        for number, part in enumerate(parts, start=1):
            words = jobs[part]["command"]
            assert words[words.index("--part") + 1] == f"{number}/3"
            assert words[words.index("--only") + 1] == "pairs"
            assert jobs[part]["needs"] == [before]
            assert (jobs[part]["gpus"], jobs[part]["minutes"]) == (2, 45)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"resources": {"train": {"parts": 2}}}, "resources.train has parts, and only the prompts"),
        ({"resources": {"pairs": {"parts": 0}}}, "resources.pairs.parts does not fit"),
        ({"resources": {"pairs": {"parts": 5}}}, "4 prompts cannot be divided into 5 parts"),
        (
            {"resources": {"pairs": {"parts": 2}}, "options": {**SMALL, "rounds": 2}},
            "In rounds, pairs are made with the model that the round before trained",
        ),
        ({"options": {"part": "1/2"}}, "a sweep sets that itself"),
        ({"seedz": 3}, "'seedz', which there is not. Did you mean 'seeds'?"),
        ({"methods": [{"method": "seva", "presett": "a"}]}, "Did you mean 'preset'?"),
        ({"methods": []}, "methods does not fit"),
        ({"methods": None}, "methods does not fit"),
        ({"benches": ["poope"]}, "Did you mean 'pope'?"),
        ({"models": ["./no-such-model"]}, "There is no model folder ./no-such-model"),
        ({"options": {"limmit": 3}}, "Did you mean 'limit'?"),
        ({"options": {"limit": "many"}}, "recipe.yaml: Invalid value for '--limit'"),
        ({"options": {"seed": 3}}, "a sweep sets that itself"),
        ({"options": {"set": [1]}}, "set holds options of the method"),
        ({"seeds": [0, 7]}, "write seeds: [0, 1]"),
        ({"seeds": [True]}, "seeds.0 does not fit"),
        ({"seeds": -1}, "seeds does not fit"),
        ({"methods": ["seva", "seva"]}, "Give each its own name"),
        ({"models": ["tinyworld", "tinyworld"]}, "have the same name"),
        (
            {"methods": ["seva", {"method": "seva", "name": "b"}]},
            "more than once: two of its methods or models mean the same run",
        ),
        ({"resources": {"trian": {}}}, "the stage 'trian', which there is not. Did you mean 'tr"),
        ({"resources": {"train": {"gpu": 1}}}, "'gpu', which there is not. Did you mean 'gpus'?"),
        ({"methods": [{"method": "seva", "set": {"noise_stp": 3}}]}, "Did you mean 'noise_step'?"),
    ],
)
def test_a_recipe_that_cannot_be_meant_is_one_sentence(tmp_path, asked, message):
    usual = {"methods": ["seva"], "benches": ["pope"], "options": SMALL}
    text = refusal(written(tmp_path, **{**usual, **asked}))
    assert message in text
    assert "\n" not in text


def test_what_is_no_recipe_is_one_sentence(tmp_path):
    assert "lacks 'methods'" in refusal(written(tmp_path, benches=["pope"]))
    path = tmp_path / "torn.yaml"
    path.write_text("methods: [seva\nbenches")
    assert "torn.yaml cannot be read" in refusal(str(path))
    path.write_text("")
    assert "holds no options" in refusal(str(path))
    assert "cannot be read" in refusal(str(tmp_path / "absent.yaml"))


@pytest.mark.parametrize(
    ("executor", "told"), [("locl", "Did you mean 'local'"), ("local:at_onc=2", "at_once")]
)
def test_an_executor_that_is_not_there_is_refused_before_anything_is_looked_at(
    tmp_path, executor, told
):
    path = written(tmp_path, methods="seva", benches="pope", executor=executor, models="./none")
    done = CliRunner().invoke(app, ["sweep", path])
    assert isinstance(done.exception, UsageError)
    assert told in str(done.exception)
    assert not (tmp_path / "runs").exists()
