"""The workflow and the action, step by step, as a runner would take them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml

from tests.support.finished import pope, write_run

ROOT = Path(__file__).parent.parent
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/gate.yml").read_text())
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS = WORKFLOW["jobs"]["gate"]["steps"]

GH = r"""#!/usr/bin/env python3
# The part of GitHub's comments that comment.sh talks to, kept in a file; jq is the real one.
import json, os, pathlib, subprocess, sys
store = pathlib.Path(os.environ["COMMENTS"])
comments = json.loads(store.read_text())
words = sys.argv[1:]
assert words[0] == "api" and os.environ["GH_TOKEN"]
paths = [word for word in words if word.startswith("repos/")]
method = words[words.index("--method") + 1] if "--method" in words else "GET"
if method == "GET":
    query = words[words.index("--jq") + 1]
    done = subprocess.run(["jq", "-r", query], input=json.dumps(comments), text=True, check=True)
else:
    field = words[words.index("-F") + 1]
    assert field.startswith("body=@")
    body = pathlib.Path(field.removeprefix("body=@")).read_text()
    if method == "POST":
        assert paths == ["repos/o/r/issues/7/comments"]
        comments.append({"id": 100 + len(comments), "user": {"type": "Bot"}, "body": body})
    else:
        number = int(paths[0].removeprefix("repos/o/r/issues/comments/"))
        (known,) = [one for one in comments if one["id"] == number]
        known["body"] = body
    store.write_text(json.dumps(comments))
"""


class Runner:
    """A job: its files, its outputs by step, and the contexts that expressions see."""

    def __init__(self, folder, fork=False, **settings):
        self.folder, self.settings, self.outputs = folder, settings, {}
        (folder / "bin").mkdir(parents=True)
        (folder / "bin" / "gh").write_text(GH)
        (folder / "bin" / "gh").chmod(0o755)
        self.comments = folder / "comments.json"
        self.comments.write_text(
            json.dumps(
                [{"id": 1, "user": {"type": "User"}, "body": "<!-- harness gate: gate --> me too"}]
            )
        )
        self.summary = folder / "summary.md"
        self.github = {
            "github.token": "read-only" if fork else "may-write",
            "github.event_name": "pull_request",
            "github.event.pull_request.number": "7",
            "github.event.pull_request.head.repo.full_name": "fork/r" if fork else "o/r",
            "github.repository": "o/r",
            "github.action_path": str(ROOT),
            "github.ref": "refs/pull/7/merge",
        }

    def resolved(self, text, inputs):
        def value(match):
            name = match[1].strip()
            if name.startswith("inputs."):
                return inputs[name.removeprefix("inputs.")]
            if name.startswith("steps."):
                _, step, _, key = name.split(".")
                return self.outputs[step][key]
            return self.github[name]

        return re.sub(r"\$\{\{(.+?)\}\}", value, str(text))

    def wanted(self, step, inputs):
        for clause in filter(None, step.get("if", "").split(" && ")):
            left, right = (
                part[1:-1] if part[0] == "'" else self.resolved(f"${{{{ {part} }}}}", inputs)
                for part in clause.split(" == ")
            )
            if left != right:
                return False
        return True

    def take(self, step, inputs):
        """Run one ``run:`` step and return its exit code."""
        assert "${{" not in step["run"], "text of a stranger could become part of the script"
        output = self.folder / "output"
        output.write_text("")
        variables = {
            key: self.settings.get(key) or self.resolved(value, inputs)
            for key, value in step.get("env", {}).items()
        }
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=self.folder,
            env={
                **os.environ,
                **variables,
                "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
                "UV_PROJECT": str(ROOT),
                "GITHUB_OUTPUT": str(output),
                "GITHUB_STEP_SUMMARY": str(self.summary),
                "GITHUB_REPOSITORY": "o/r",
                "GITHUB_SERVER_URL": "https://github.com",
                "GITHUB_RUN_ID": "42",
                "COMMENTS": str(self.comments),
            },
            capture_output=True,
            text=True,
        )
        self.said = done.stdout + done.stderr
        pairs = (line.partition("=") for line in output.read_text().splitlines())
        self.outputs[step.get("id")] = {key: value for key, _, value in pairs}
        return done.returncode

    def act(self, **inputs):
        """Take the composite action's steps; return the names of those taken and the exit code."""
        given = {key: value.get("default") for key, value in ACTION["inputs"].items()} | inputs
        taken = []
        for step in ACTION["runs"]["steps"]:
            if not self.wanted(step, given):
                continue
            taken.append(step["name"])
            if "uses" in step:
                path = self.folder / self.resolved(step["with"]["path"], given)
                assert (path / "report.html").is_file()
                continue
            code = self.take(step, given)
            if code:
                return taken, code
        return taken, 0


def test_foreign_actions_are_pinned_and_nothing_runs_with_a_strangers_rights():
    uses = [step["uses"] for step in [*STEPS, *ACTION["runs"]["steps"]] if "uses" in step]
    assert uses
    for one in uses:
        assert one == "./" or re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", one)
    assert "pull_request_target" not in WORKFLOW[True]  # YAML reads "on" as true
    assert WORKFLOW["permissions"] == {"contents": "read", "pull-requests": "write"}
    assert "secrets." not in (ROOT / ".github/workflows/gate.yml").read_text()
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step.get("run", "")
        assert "uses" in step or step["shell"] == "bash"


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """The workflow's own steps up to the action, on fewer rows."""
    runner = Runner(tmp_path_factory.mktemp("job"), LIMIT="36")
    for step in STEPS:
        if "run" in step and step["name"] != "Install":
            assert runner.take(step, {}) == 0, runner.said
    return runner


@pytest.mark.slow
def test_the_workflow_step_by_step(job):
    (action,) = [step for step in STEPS if step.get("uses") == "./"]
    inputs = {key: job.resolved(value, {}) for key, value in action["with"].items()}
    taken, code = job.act(**inputs)
    assert code == 0, job.said
    everything = ["Ask the gate", "Summarise", "Keep the reports", "Comment once", "Decide"]
    assert taken == everything
    assert "Did `seva` make `tinyworld` better?" in job.summary.read_text()
    assert job.act(**inputs) == (everything, 0)
    comments = json.loads(job.comments.read_text())
    assert [one["user"]["type"] for one in comments] == ["User", "Bot"]  # one, not two
    assert comments[0]["body"].endswith("me too")  # a stranger's mark is not ours
    body = comments[1]["body"]
    assert body.startswith("<!-- harness gate: gate -->\n# Did `seva`")
    assert "| passes | `any:loss` |" in body
    assert "actions/runs/42" in body
    assert "## " not in body.replace("\n# ", "")
    junit = job.folder / job.outputs["gate"]["reports"] / "junit.xml"
    assert ET.parse(junit).getroot()[0].get("failures") == "0"


@pytest.mark.slow
def test_a_failed_gate_still_reports_and_then_fails(job):
    folder = job.outputs["run"]["folder"]
    taken, code = job.act(
        run=folder, harness="uv run harness", name="strict", **{"fail-on": "pope<100"}
    )
    assert (taken[-1], code) == ("Decide", 4)
    body = json.loads(job.comments.read_text())[-1]["body"]
    assert "**FAIL: at least one rule failed.**" in body


@pytest.mark.slow
def test_a_wrong_rule_fails_at_once(job):
    folder = job.outputs["run"]["folder"]
    taken, code = job.act(run=folder, harness="uv run harness", **{"fail-on": "pop<1; $(id)"})
    assert (taken, code) == (["Ask the gate"], 2)
    assert "uid=" not in job.said


@pytest.mark.slow
def test_a_fork_gets_the_summary_and_no_comment(job, tmp_path):
    fork = Runner(tmp_path / "fork", fork=True)
    folder = job.folder / job.outputs["run"]["folder"]
    taken, code = fork.act(run=str(folder), harness="uv run harness")
    assert (taken, code) == (["Ask the gate", "Summarise", "Keep the reports", "Decide"], 0)
    assert "Did `seva`" in fork.summary.read_text()
    assert len(json.loads(fork.comments.read_text())) == 1


HARNESS = f"{sys.executable} -m harness"


@pytest.fixture
def small(tmp_path):
    """A runner, and a finished run beside its files."""
    write_run(tmp_path / "work" / "run", {"pope": pope()}, {"pope": pope(right=0.75, seed=9)})
    return Runner(tmp_path / "work" / "job"), tmp_path / "work" / "run"


def test_the_action_gates_what_follows_from_its_rows(small):
    runner, run = small
    taken, code = runner.act(run=str(run), harness=HARNESS, comment="false")
    assert (taken, code) == (["Ask the gate", "Summarise", "Keep the reports", "Decide"], 0)
    assert runner.outputs["gate"] == {"code": "0", "reports": f"{run}/gate"}


def test_the_action_stops_at_a_run_that_does_not(small):
    runner, run = small
    content = json.loads((run / "comparison.json").read_text())
    content["comparison"]["benchmarks"][0]["figures"][0]["after"] = 99.9
    (run / "comparison.json").write_text(json.dumps(content))
    taken, code = runner.act(run=str(run), harness=HARNESS)
    assert (taken, code) == (["Ask the gate"], 1)
    assert runner.outputs["gate"] == {}
    assert "after is recorded as 99.9" in runner.said


@pytest.mark.parametrize("name", ["run", "baseline"])
def test_an_input_cannot_write_an_output(small, name):
    runner, run = small
    inputs = {"run": str(run), name: f"{run}\ncode=0\nreports=/etc"}
    taken, code = runner.act(harness=HARNESS, **inputs)
    assert (taken, code) == (["Ask the gate"], 2)
    assert runner.outputs["gate"] == {}


def test_what_a_run_says_is_no_command_to_the_runner(small):
    """Between stop-commands and its token a runner takes no line for a command."""
    runner, run = small
    content = json.loads((run / "comparison.json").read_text())
    content["comparison"]["notes"].append("::error::evil")
    (run / "comparison.json").write_text(json.dumps(content))
    code = runner.take(
        ACTION["runs"]["steps"][0],
        {"run": str(run), "baseline": "", "harness": HARNESS, "fail-on": "any:loss"},
    )
    assert code == 0
    first, *rest = runner.said.splitlines()
    token = first.removeprefix("::stop-commands::")
    assert re.fullmatch("[0-9a-f]{32}", token)
    assert [line for line in rest if line.startswith("::")] == [f"::{token}::"]
