"""The commands as Python functions: the same runs, typed results, frames."""

import json
import math
import re
import runpy
from pathlib import Path

import pandas as pd
import pytest

from harness import HarnessError, UsageError, api

SMALL = {"limit": 8, "max_prompts": 8}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    out = tmp_path_factory.mktemp("api")
    return api.run("seva", ["pope"], out=str(out), options={"noise_step": 500}, **SMALL)


def test_a_run_has_a_folder_a_verdict_and_a_frame_of_its_figures(found):
    written = json.loads((found.folder / "comparison.json").read_text())["comparison"]
    (bench,) = written["benchmarks"]
    frame = found.to_frame()
    assert list(frame["benchmark"].unique()) == ["pope"]
    assert list(frame["column"]) == [figure["column"] for figure in bench["figures"]]
    known = [figure["before"] for figure in bench["figures"]]
    assert [None if math.isnan(value) else value for value in frame["before"]] == known
    assert found.verdict == written["verdict"]
    assert found.calls > 0
    assert "<table" in found._repr_html_()
    assert "difference" in found._repr_html_()
    assert len(repr(found).splitlines()) == 1 + frame["primary"].sum(), "not every sample"


def test_it_is_the_run_of_the_command(found):
    settings = json.loads((found.folder / "settings.json").read_text())
    assert settings["asked"]["options"]["noise_step"] == "500"
    again = api.run("seva", "pope", out=found.folder.parent, options={"noise_step": 500}, **SMALL)
    assert (again.folder, again.calls) == (found.folder, 0)


def test_samples_and_flips_show_what_was_said(found):
    samples = found.samples("pope")
    assert len(samples) == 8
    assert {"question", "before", "after", "before_state", "after_state"} <= set(samples)
    assert all(path.is_file() for path in samples["image"])
    flips = found.flips()
    flipped = {flip.id for flip in found.comparison.benchmarks[0].flips}
    assert set(flips.get("id", [])) == flipped
    with pytest.raises(UsageError, match=r"nothing named 'popes' here\. Did you mean 'pope'"):
        found.flips("popes")
    with pytest.raises(UsageError, match="Did you mean 'pope'"):
        found.samples("popes")


def test_one_model_by_itself_has_figures_and_nothing_to_compare(tmp_path):
    alone = api.evaluate("pope", limit=8, out=tmp_path)
    frame = alone.to_frame()
    assert frame.loc[frame["primary"], "figure"].notna().all()
    assert len(alone.samples("pope")) == 8
    with pytest.raises(UsageError, match="nothing to compare"):
        _ = alone.verdict
    same = api.compare(alone.folder, alone.folder)
    assert same.comparison.verdict == "no change"
    assert isinstance(same.to_frame(), pd.DataFrame)
    with pytest.raises(UsageError, match="Did you mean 'margin'"):
        api.compare(alone.folder, alone.folder, margn=2)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"bench": "popes"}, "pope"),
        ({"bench": "pope", "limits": 3}, "Did you mean 'limit'"),
        ({"bench": "pope", "options": {"noise": 3}}, "noise_step"),
        ({"bench": "pope", "judge": {"judg": "builtin"}}, "Did you mean 'judge'"),
        ({"bench": "pope", "judge": "gpt4"}, "gpt4"),
        ({"bench": None}, "names is None"),
        ({"bench": "pope", "seeds": 0}, "seeds"),
        ({"bench": "pope", "seeds": True}, "seeds is True: it takes neither True nor False"),
        ({"bench": "pope", "limit": True}, "limit is True: it takes neither True nor False"),
        ({"bench": "pope", "rounds": 0}, "count"),
        ({"bench": "pope", "rounds": {"cont": 2}}, "Did you mean 'count'"),
        ({"bench": "pope", "options": "beta=1"}, "options is 'beta=1'"),
    ],
)
def test_a_wrong_name_is_an_error_with_the_closest_one(tmp_path, asked, message):
    with pytest.raises(UsageError, match=message):
        api.run("seva", out=tmp_path, **asked)
    assert not list(tmp_path.glob("seva-*"))


def test_power_from_a_run_says_how_long_it_takes(found):
    assert api.power("pope", source=found.folder, limit=8).estimate.seconds > 0


def test_power_is_a_frame_too():
    planned = api.power("pope,mmvet", seeds=3)
    assert list(planned.to_frame()["benchmark"]) == ["pope", "mmvet"]
    assert planned.estimate.seeds == 3
    with pytest.raises(UsageError, match="Did you mean 'seeds'"):
        api.power("pope", seed=3)


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(UsageError):
        api.open_result(tmp_path / "nothing")
    (tmp_path / "bad.zip").write_bytes(b"PK")
    with pytest.raises(HarnessError):
        api.open_result(tmp_path / "bad.zip")


@pytest.mark.slow
def test_the_page_about_python_runs_as_it_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parent.parent / "docs" / "python.md").read_text()
    (tmp_path / "page.py").write_text("".join(re.findall(r"```python\n(.*?)```", page, flags=re.S)))
    space = runpy.run_path(str(tmp_path / "page.py"))
    told = capsys.readouterr().out
    assert str(space["found"].folder) in told
    assert len(space["found"].to_frame()) > 2
