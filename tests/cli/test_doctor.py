"""What this machine has: every finding is looked up, a key is never shown."""

import json
from importlib.metadata import version

import pytest
from click.testing import CliRunner

from harness import plugins
from harness.cli import app
from harness.errors import UsageError

KEY = "sk-secret-of-the-test-0123456789"


@pytest.fixture
def findings(monkeypatch: pytest.MonkeyPatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("HF_TOKEN", f"hf_{KEY}")

    def ask(*words):
        done = CliRunner().invoke(app, ["doctor", "--json", "--out", str(tmp_path), *words])
        assert KEY not in done.output
        found = json.loads(done.stdout)["findings"]
        return {each["what"]: each for each in found}

    return ask


def test_versions_plugins_and_disk_are_looked_up(findings, tmp_path):
    found = findings()
    assert found["torch"]["told"] == version("torch")
    assert "seva" in found["methods"]["told"]
    assert found["edits"]["told"] == "none"
    assert str(tmp_path) in found["disk"]["told"]
    assert found["OPENAI_API_KEY"]["told"] == "set"
    assert found["hub"]["state"] == "note"  # the tests run without it
    assert not [each for each in found.values() if each["state"] == "PROBLEM"]


def test_what_would_stop_a_run_is_a_problem(findings, tmp_path, monkeypatch: pytest.MonkeyPatch):
    def load(kind, name):
        if name == "seva":
            raise ImportError("no module named 'diffusers'")

    monkeypatch.setattr(plugins, "load", load)
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("HF_HOME", str(file / "cache"))
    found = findings("--out", str(file / "runs"))
    assert found["methods"]["state"] == "PROBLEM"
    assert "diffusers" in found["methods"]["told"]
    assert found["disk"]["state"] == "PROBLEM"
    assert "--out" in found["disk"]["told"]
    assert found["cache"]["state"] == "PROBLEM"
    assert found["cache"]["told"].endswith("cache/datasets cannot be written; export HF_HOME=DIR")


def test_a_method_of_this_project_that_is_not_installed_names_its_package(monkeypatch):
    monkeypatch.setattr(plugins, "entry_points", lambda group: [])
    with pytest.raises(UsageError, match="pip install harness-seva"):
        plugins.find("methods", "seva")


@pytest.mark.parametrize(
    ("has", "tool", "command"),
    [
        (None, False, "uv pip install"),
        (None, True, "uv pip install --python {prefix}"),
        (object(), False, "pip install"),
    ],
)
def test_what_is_to_be_typed_is_the_installer_of_this_environment(
    monkeypatch, tmp_path, has, tool, command
):
    monkeypatch.setattr(plugins, "entry_points", lambda group: [])
    monkeypatch.setattr("harness.errors.find_spec", {"pip": has}.get)
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    if tool:
        (tmp_path / "uv-receipt.toml").touch()
    command = command.format(prefix=tmp_path)
    with pytest.raises(UsageError, match=f"Run: {command} harness-seva"):
        plugins.find("methods", "seva")


def test_version_names_what_it_rests_on():
    done = CliRunner().invoke(app, ["--version"])
    assert done.output.startswith("harness 0.")
    assert f"torch {version('torch')}" in done.output
