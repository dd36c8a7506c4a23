from __future__ import annotations

import json
import re
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from tests.support.command import harness


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['harness', '--help']\n"
        "from harness.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'transformers', 'rich', 'pydantic', 'lmms_eval', 'PIL'}\n"
        "print('heavy:', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "harness run --method seva --bench mmvet,pope" in done.stdout
    assert "heavy: []" in done.stdout


def test_a_shell_completes_commands_and_says_nothing_else():
    script = harness(env={"_HARNESS_COMPLETE": "bash_source"})
    assert "complete -o nosort -F _harness_completion harness" in script.stdout
    asked = {"COMP_WORDS": "harness list me", "COMP_CWORD": "2"}
    found = harness(env={"_HARNESS_COMPLETE": "bash_complete", **asked})
    assert found.stdout == "plain,methods\n"
    assert script.stderr + found.stderr == ""
    assert script.returncode == found.returncode == 0


def test_what_is_installed_is_listed():
    assert "seva             harness-seva\n" in harness("list", "methods").stdout
    listed = json.loads(harness("list", "benchmarks", "--json").stdout)
    assert listed["pope"] == ["vlm-harness"]


def test_benchmarks_are_listed_with_what_they_measure():
    lines = harness("list", "benchmarks").stdout.splitlines()
    pope = lines.index("pope             vlm-harness      POPE")
    assert re.fullmatch(r" +accuracy \(\+\d+\); scored by rules", lines[pope + 1])
    mmvet = lines.index("mmvet            vlm-harness      MM-Vet")
    assert lines[mmvet + 1].strip() == "score; scored by built-in grader, or --judge"
    assert "pope3            suite of 3: pope_random, pope_popular, pope_adversarial" in lines


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--method", "sva", "--bench", "pope"], "No method is named 'sva'. Did you mean 'seva'?"),
        (["--method", "seva", "--bench", "popes"], "Did you mean 'pope'?"),
        (["--method", "seva", "--bench", ","], "--bench names nothing"),
        (["--method", "seva", "--bench", "pope", "--set", "noise=3"], "Did you mean 'noise_step'"),
        (["--method", "seva", "--bench", "pope", "--set", "noise_step"], "is not a KEY=VALUE"),
        (["--method", "seva", "--bench", "pope", "--set", "noise_step=x"], "no valid value"),
        (["--method", "seva", "--bench", "pope", "--model", "./no/such"], "no/such"),
        (["--method", "seva", "--bench", "pope", "--prompts", "none.jsonl"], "none.jsonl"),
        (["--method", "seva", "--bench", "pope", "--data", "nowhere"], "no data folder nowhere"),
        (["--method", "seva", "--bench", "pope", "--report", "pdf"], "No report is named 'pdf'"),
        (["--method", "seva"], "Missing option '--bench'"),
    ],
)
def test_a_wrong_wish_is_exit_code_2_in_one_paragraph(tmp_path, words, said):
    done = harness("run", *words, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_broken_prompt_line_is_exit_code_1(tmp_path):
    (tmp_path / "p.jsonl").write_text('{"image": \n')
    done = harness(
        "run", "--method", "seva", "--bench", "pope", "--prompts", "p.jsonl", cwd=tmp_path
    )
    assert done.returncode == 1
    assert "Line 1 of p.jsonl cannot be used" in done.stderr
    assert "Traceback" not in done.stderr


def test_suites_are_listed_and_a_benchmark_with_what_was_published():
    from click.testing import CliRunner

    from harness.cli import app
    from harness.errors import UsageError
    from harness.plugins import KINDS

    def listed(*words):
        return CliRunner().invoke(app, ["list", *words], standalone_mode=False)

    assert "sima14" in listed("suites").output
    assert "suite of 3: pope_random" in listed("suites", "pope3").output
    one = listed("benchmarks", "pope").output
    assert "published llava-1.5-7b" in one
    assert "85.9 F1" in one
    assert "mmvet" not in one
    assert isinstance(listed("benchmarks", "popo").exception, UsageError)
    assert json.loads(listed("suites", "--json").output)["pope3"]
    (kind,) = (each for each in app.commands["list"].params if each.name == "kind")
    assert set(kind.type.choices) == set(KINDS)


def test_a_loss_is_checked_by_name_or_sum():
    from click.testing import CliRunner

    from harness.cli import app

    done = CliRunner().invoke(app, ["check", "--loss", "dpo+0.2*sft"], standalone_mode=False)
    assert done.return_value == 0
    assert done.output.count(" ok ") == 6


@pytest.mark.parametrize("asked", [[], ["run"], ["compare"], ["data"]])
def test_help_fits_a_terminal_of_40_columns(monkeypatch, asked):
    from harness.cli import app

    monkeypatch.setenv("COLUMNS", "40")
    told = CliRunner().invoke(app, [*asked, "--help"]).stdout
    # An example stands on one line, to be copied; a name such as A,B,C is never broken.
    wide = [line for line in told.splitlines() if len(line) > 40 and " " in line.strip()]
    assert [line for line in wide if "harness " not in line and "  --" not in line] == []


def _every_command():
    from harness.cli import app

    commands = [app]
    for command in commands:  # grows while it is read: the commands of a group follow it
        commands += command.commands.values() if isinstance(command, click.Group) else ()
    return commands


def test_help_cuts_no_summary_and_fits_80_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for command in _every_command():
        told = CliRunner().invoke(command, ["--help"], prog_name=command.name).stdout
        assert "..." not in told.replace(",...", "").replace("RUN ...", "").replace("[ARGS]...", "")
        assert [line for line in told.splitlines() if len(line) > 80] == []


def test_every_option_of_a_long_command_stands_in_a_section():
    from harness.cli import app

    for name in ("run", "eval"):
        told = CliRunner().invoke(app, [name, "--help"]).stdout
        assert "\nOptions:\n" not in told
        assert "\nJudge:\n" in told
