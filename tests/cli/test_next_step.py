"""The last line of a command is a call that the command line takes."""

from __future__ import annotations

import json
import shlex

import pytest
from click.testing import CliRunner

from harness.cli import app
from tests.support.finished import mmvet, write_run
from tests.test_docs import parse


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("some runs")
    for name in ("seva", "sima", "other"):
        write_run(made / name, {"mmvet": mmvet(30)}, {"mmvet": mmvet(30, seed=3)}, method=name)
    return made


@pytest.mark.parametrize(
    ("asked", "then"),
    [
        ("report seva --report markdown", "bundle"),
        ("compare seva sima", "gate"),
        ("compare seva sima other", "compare"),
        ("gate seva", "bundle"),
        ("bundle seva --out seva.zip", "verify"),
        ("report seva.zip --report markdown", "verify"),
        ("verify seva", "report"),
        ("list methods", "run"),
        ("list pages", "compare"),
        ("list suites", "plan"),
        ("plan --bench mmvet", "run"),
        ("data describe --bench pope,mmvet", "data"),
        ("reproduce seva", "reproduce"),
    ],
)
def test_the_last_line_can_be_typed(folder, monkeypatch, asked, then):
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(app, shlex.split(asked))
    assert done.exit_code in (0, 3), done.output
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"Next: harness {then} ")
    parse(["1" if word.isupper() else word for word in shlex.split(last)[2:]], True)


def test_a_program_that_reads_json_gets_no_such_line(folder, monkeypatch):
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(app, ["compare", "seva", "sima", "--json"])
    assert json.loads(done.stdout)
    assert "Next:" not in done.output


def test_a_near_miss_of_what_can_be_listed_is_named():
    done = CliRunner().invoke(app, ["list", "method"], standalone_mode=False)
    assert "Did you mean 'methods'? harness list takes: losses, edits," in str(done.exception)


def test_what_the_hub_lacks_is_not_to_be_mirrored():
    done = CliRunner().invoke(app, ["data", "describe", "--bench", "mmhal,pope"])
    assert done.stderr == "Next: harness data mirror --bench pope DIR\n"
    done = CliRunner().invoke(app, ["data", "describe", "--bench", "mmhal"])
    assert "harness data convert mmhal FOLDER --out DIR" in done.stdout
    assert not done.stderr


def test_a_folder_with_a_space_can_be_typed(folder):
    done = CliRunner().invoke(app, ["verify", str(folder / "seva")])
    assert shlex.split(done.stderr.splitlines()[-1])[-1] == str(folder / "seva")
