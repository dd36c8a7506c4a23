"""The judge from outside: the command line on a real run, a local judge, ``transformers serve``."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from harness_tinyworld import MODEL

from harness.cli import app
from harness.errors import ExitCode, HarnessError, UsageError
from harness.judge import last_judging
from harness.judge.server import ServerJudge
from harness.rejudge import like_last, rejudge
from harness.run import run
from harness.runs import open_run
from harness.settings import JudgeSettings, Settings
from tests.support.judge_server import Running, running
from tests.support.serving import serving

SMALL = Settings(
    method="seva",
    benches=("mmvet", "pope", "mmbench"),
    limit=12,
    max_prompts=24,
    options=(("epochs", "1"), ("max_new_tokens", "24")),
)


@pytest.fixture(scope="module")
def server():
    with running() as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return run(dataclasses.replace(SMALL, out=tmp_path_factory.mktemp("runs"))).folder


@pytest.fixture(autouse=True)
def quick(monkeypatch) -> None:
    monkeypatch.setattr(ServerJudge, "pause", 0.001)


def harness(*words: object) -> tuple[ExitCode, str]:
    done = CliRunner().invoke(app, [str(word) for word in words], standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done.return_value, done.output


def numbers(folder: Path) -> dict:
    return json.loads((folder / "comparison.json").read_text())


def test_a_run_is_judged_again_and_again_without_the_model(server: Running, folder: Path):
    plain = numbers(folder)
    with pytest.raises(UsageError, match="Name a judge"):
        like_last(folder, JudgeSettings())
    server.control()
    code, text = harness("judge", folder, "--judge", server.judge)
    assert code == ExitCode.DONE
    assert "Judged by" in text
    assert "(rules-1)" in text
    asked = server.stats()["seen"]
    assert f"{len(asked)} judge calls" in text
    judged = numbers(folder)
    assert judged["run"]["judging"]["models"] == ["rules-1"]
    by_name = {one["name"]: one for one in judged["comparison"]["benchmarks"]}
    assert by_name["mmvet"]["judges_before"] == by_name["mmvet"]["judges_after"] == ["rules-1"]
    assert by_name["pope"]["judges_before"] == ["rule"]
    pope = [one for one in plain["comparison"]["benchmarks"] if one["name"] == "pope"]
    assert by_name["pope"] == pope[0], "what no judge sees stays as it was"
    assert "rules-1" in (folder / "report.md").read_text()

    code, text = harness("judge", folder, "--quiet")
    assert (code, "\n0 judge calls" in text) == (ExitCode.DONE, True)
    assert server.stats()["seen"] == asked
    assert numbers(folder) == judged

    read = open_run(folder)
    assert {sample.judge for sample in read.before["mmvet"]} == {"rules-1"}
    assert {sample.judge for sample in read.before["pope"]} == {"rule"}
    code, _ = harness("judge", folder, "--judge", "builtin", "--quiet")
    assert code == ExitCode.DONE
    assert numbers(folder)["comparison"] == plain["comparison"], "and back again"


def test_run_with_a_judge_uses_what_is_there(server: Running, folder: Path):
    server.control()
    judging = JudgeSettings(judge=server.judge, judgings=2)
    outcome = run(dataclasses.replace(SMALL, out=folder.parent, judging=judging))
    assert outcome.folder == folder
    assert outcome.calls == 0, "the judge is another stage; no answer was generated again"
    assert outcome.report.judging.judgings == 2
    assert [error.benchmark for error in outcome.report.judging.errors] == ["mmvet", "mmbench"]
    assert any("Standard error" in note for note in outcome.report.sentences)
    assert run(dataclasses.replace(SMALL, out=folder.parent, judging=judging)).reused
    again = like_last(folder, JudgeSettings())
    assert (again.judge, again.judgings) == (server.judge, 2)


def test_the_judge_of_last_time_has_its_prompt(server: Running, folder: Path, tmp_path: Path):
    server.control()
    own = tmp_path / "own.txt"
    own.write_text("Question: {question}\nReference: {reference}\nAnswer: {answer}\nScore:")
    harness("judge", folder, "--judge", server.judge, "--judge-prompt", f"mmvet={own}", "--quiet")
    with pytest.raises(UsageError, match="with prompts that the run does not name"):
        like_last(folder, JudgeSettings())  # it was named when the run was judged again
    text = (folder / "settings.json").read_text()
    record = json.loads(text)
    record["asked"]["judging"]["prompts"] = [f"mmvet={own}"]
    (folder / "settings.json").write_text(json.dumps(record))
    assert like_last(folder, JudgeSettings()).prompts == (f"mmvet={own}",)
    with pytest.raises(HarnessError, match=r"settings\.json has changed"):
        rejudge(folder, JudgeSettings(judge=server.judge))
    (folder / "settings.json").write_text(text)


@pytest.mark.parametrize(
    ("fault", "message"), [("401", "OPENAI_API_KEY"), ("prose", "did not reply with one number")]
)
def test_a_judge_that_fails_ends_with_exit_code_3(server: Running, folder: Path, fault, message):
    server.control(fault=fault)
    judge = f"openai:{fault}@{server.base}/v1"  # a judge of its own: nothing is stored for it
    code, text = harness("judge", folder, "--judge", judge, "--quiet")
    assert code == ExitCode.UNSCORED
    assert message in " ".join(text.split())
    server.control()
    code, text = harness("judge", folder, "--quiet")
    assert code == ExitCode.DONE
    assert last_judging(folder)[1].judge == judge


def test_one_model_alone_is_judged_at_once_or_later(server: Running, tmp_path: Path):
    server.control()
    measured = ("--bench", "mmvet,pope", "--limit", "12", "--quiet", "--out")
    code, text = harness("eval", *measured, tmp_path / "plain")
    assert code == ExitCode.DONE
    (plain,) = (tmp_path / "plain").glob("eval-*")
    code, text = harness("eval", *measured, tmp_path / "judged", "--judge", server.judge)
    assert code == ExitCode.DONE
    assert "Judged by" in text
    (judged,) = (tmp_path / "judged").glob("eval-*")
    rows = [json.loads(line) for line in (judged / "judged/after/mmvet.jsonl").open()][1:-1]
    assert {row["judge"] for row in rows} == {"rules-1"}
    mean = sum(100 * row["scores"]["score"] for row in rows) / len(rows)
    assert f"mmvet score {mean:.1f}" in " ".join(text.split())
    assert len(server.stats()["seen"]) == 2 * 5 + len(
        {row["prompt"] + row["answer"] + row["target"] for row in rows}
    )

    later, text = harness("judge", plain, "--judge", server.judge, "--quiet")
    assert later == ExitCode.DONE
    assert f"mmvet score {mean:.1f}" in " ".join(text.split())
    assert numbers(plain) == numbers(judged)
    code, text = harness("judge", plain, "--quiet", "--json")
    assert (code, json.loads(text)["judge_calls"]) == (ExitCode.DONE, 0)
    code, _ = harness("judge", plain, "--quiet", "--report", "html")
    assert (code, "rules-1" in (plain / "report.html").read_text()) == (ExitCode.DONE, True)
    server.control(fault="prose")
    strange = f"openai:strange@{server.base}/v1"
    code, text = harness("judge", plain, "--judge", strange, "--quiet")
    assert code == ExitCode.UNSCORED
    assert "did not reply with one number" in text
    code, _ = harness("judge", plain, "--judge", "builtin", "--quiet")
    assert (code, numbers(plain)["run"]["judging"]) == (ExitCode.DONE, None)


def test_settings_of_the_judge_are_checked_before_anything_is_spent(tmp_path):
    judging = JudgeSettings(judge="gpt-4o")
    with pytest.raises(UsageError, match="Unknown judge"):
        run(dataclasses.replace(SMALL, out=tmp_path / "out", judging=judging))
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match="--judge-price cheap is not a price"):
        harness("judge", tmp_path, "--judge", "openai:m", "--judge-price", "cheap")


@pytest.mark.slow
def test_a_local_judge_judges_in_process(folder: Path):
    """The embedded model knows no such form, so its verdicts are missing - and nothing else is."""
    done = rejudge(folder, JudgeSettings(judge="hf:tinyworld"), device="cpu")
    judging = done.report.judging
    assert judging.verdicts + judging.missing == 48
    assert done.calls == 5, "it could mark none of MM-Vet's anchors, so nothing else was asked"
    assert {sample.judge for sample in done.report.before["mmbench"]} == {"rule"}
    assert "scored as expected: mmvet " in " ".join(done.report.sentences)
    for sample in (*done.report.before["mmvet"], *done.report.after["mmvet"]):
        assert (sample.scores["score"] is None) == (sample.error is not None)


@pytest.mark.slow
def test_many_verdicts_take_little_longer_than_few():
    """Against one at a time in the same process: 32 under way give well over ten times the pace."""
    code = "import judge, json; print(json.dumps(judge.measure(160, 0.1, 8)))"
    perf = Path(__file__).parents[2] / "perf"
    done = subprocess.run([sys.executable, "-c", code], cwd=perf, capture_output=True, check=True)
    found = json.loads(done.stdout)
    assert found["under_way_at_most"] > 16
    assert found["times_faster"] > 8


@pytest.mark.slow
def test_transformers_serve_as_a_judge(folder: Path, tmp_path: Path):
    """A real server of the field: every reply is read strictly or missing, with its name told."""
    with serving(MODEL, tmp_path / "serve.log") as address:
        done = rejudge(folder, JudgeSettings(judge=f"openai:{MODEL}@{address}"))
    judging = done.report.judging
    assert judging.verdicts + judging.missing == 48
    assert done.calls >= 5
    reasons = " ".join(judging.reasons)
    assert "did not reply with one number" in reasons or "the reply was cut" in reasons
    assert "failed" not in reasons, reasons
