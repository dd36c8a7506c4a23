"""A sweep whose job and driver are killed ends as plain runs do; nothing finished is done again."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import yaml
from click.testing import CliRunner

from harness.cli import app
from harness.jobs import status_of
from harness.jobs.driver import records_in
from tests.support.kills import PATIENCE, assert_close

BENCHES = ["pope", "mmvet", "chair"]
OPTIONS = {"limit": 6, "max-prompts": 12, "set": {"epochs": 1, "max_new_tokens": 8}}
RECIPE = {"methods": ["seva", "sima"], "seeds": 2, "benches": BENCHES, "options": OPTIONS}


def plain(method: str, out: Path) -> None:
    words = ["run", "--method", method, "--bench", ",".join(BENCHES), "--seeds", "2"]
    words += ["--limit", "6", "--max-prompts", "12", "--out", str(out)]
    words += ["--set", "epochs=1", "--set", "max_new_tokens=8"]
    done = CliRunner().invoke(app, [*words, "--quiet"], catch_exceptions=False)
    assert done.exit_code == 0, done.output


def begun(recipe: Path, out: Path, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "harness", "sweep", str(recipe), "--out", str(out)]
    with log.open("ab") as file:
        return subprocess.Popen([*command, "--jobs", "2"], stdout=file, stderr=file)


def found(what: Callable[[], psutil.Process | None], driver: subprocess.Popen[bytes]):
    """Wait for a job of a driver that is at work."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        assert driver.poll() is None, "the driver has ended too early"
        if (process := what()) is not None:
            return process
        time.sleep(0.05)
    raise AssertionError("no such job was started")


def job_of(driver: subprocess.Popen[bytes], stages: str) -> Callable[[], psutil.Process | None]:
    def look() -> psutil.Process | None:
        for each in psutil.Process(driver.pid).children():
            try:
                spent = sum(each.cpu_times()[:2])
                if stages in each.cmdline() and spent > 3:
                    return each
            except psutil.Error:
                continue
        return None

    return look


@pytest.mark.slow
def test_a_sweep_with_a_killed_job_and_a_killed_driver_ends_as_plain_runs_do(tmp_path):
    recipe, out, log = tmp_path / "recipe.yaml", tmp_path / "sweep", tmp_path / "log"
    recipe.write_text(yaml.safe_dump(RECIPE))
    first = begun(recipe, out, log)
    job = found(job_of(first, "train"), first)
    job.kill()
    found(job_of(first, "before,after"), first)
    jobs = psutil.Process(first.pid).children(recursive=True)
    first.kill()
    first.wait()
    assert psutil.wait_procs(jobs, timeout=60)[1] == [], "no job outlives its driver"
    ended = {each.name: each.code for each in records_in(out)}
    assert 137 in ended.values()
    half = status_of(out)
    done = {name for name, state in half.jobs.items() if state == "done"}
    assert {name for name, code in ended.items() if code == 0} <= done

    second = begun(recipe, out, log)
    assert second.wait(PATIENCE) == 0, log.read_text()[-3000:]
    again = [each.name for each in records_in(out)][len(ended) :]
    assert not done.intersection(again), "nothing that was finished is done again"
    assert set(status_of(out).jobs.values()) == {"done"}
    speeds = [json.loads(path.read_text()) for path in sorted(out.glob("*/pace.json"))]
    before = [each for speed in speeds for each in speed if each["arm"] == "before"]
    assert sorted(each["benchmark"] for each in before) == sorted(BENCHES), "once for the model"
    third = begun(recipe, out, log)
    assert third.wait(PATIENCE) == 0
    assert "0 of 15 jobs to do" in log.read_text()

    for method in RECIPE["methods"]:
        plain(method, tmp_path / "plain")
        (expected,) = (tmp_path / "plain").glob(f"{method}-*-seeds2/comparison.json")
        made = out / expected.parent.name / "comparison.json"
        one, two = (json.loads(path.read_text())["comparison"] for path in (expected, made))
        assert_close(one, two)
    board = json.loads((out / "leaderboard.json").read_text())
    assert {each["run"] for each in board["rankings"][0]["runs"]} == {"before", "seva", "sima"}
