"""A sweep whose job and driver are killed, on any executor, and plain runs of the same."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml
from harness_tinyworld import DEMO

from harness.jobs import status_of
from harness.jobs.driver import records_in
from tests.support.kills import PATIENCE

OPTIONS = {"limit": 6, "max-prompts": 12, "set": {"epochs": 1, "max_new_tokens": 8}}
SMALL = {"methods": ["seva"], "seeds": 2, "benches": ["pope", "mmvet"], "options": OPTIONS}
"""Few jobs, for tests: a killed job, a killed driver, and a report over two seeds."""
_AT_WORK = 2.0  # seconds of processor time after which a job has done more than import libraries


@dataclass(frozen=True)
class Story:
    """What happened to a sweep.

    Attributes:
        jobs: how many it has.
        ended: how each job ended, in order, over all drivers.
        kept: those that were done when the first driver was killed.
        comparisons: by method, the result over all seeds.
    """

    jobs: int
    ended: tuple[tuple[str, int | None], ...]
    kept: frozenset[str]
    comparisons: Mapping[str, Any]


def plain(recipe: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """Return what ``harness run`` compares for each method, by itself and with all seeds."""
    found = {}
    for method in recipe["methods"]:
        words = ["run", "--method", method, "--bench", ",".join(recipe["benches"])]
        words += ["--seeds", str(recipe["seeds"]), "--out", str(out), "--quiet"]
        for key, value in recipe["options"].items():
            given = [f"{k}={v}" for k, v in value.items()] if key == "set" else [str(value)]
            words += [word for each in given for word in (f"--{key}", each)]
        subprocess.run([sys.executable, "-m", "harness", *words], check=True, capture_output=True)
        found[method] = _comparison(out, method)
    return found


def killed_twice(
    recipe: Mapping[str, Any],
    executor: str,
    folder: Path,
    *,
    outlives: bool = False,
    lose: Callable[[], None] = lambda: None,
) -> Story:
    """Run a sweep; kill a job that trains, then the driver at "after"; run it again to its end.

    Args:
        recipe: of the sweep.
        executor: as ``--executor`` has it.
        folder: of the recipe, the sweep and the log of its drivers.
        outlives: whether jobs go on when their driver is killed, as they do on SLURM.
        lose: called when the driver is killed; it may kill a node.
    """
    file, out = folder / "recipe.yaml", folder / "sweep"
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(dict(recipe)))
    with _driver(file, out, executor) as first:
        _at_work(out, "train", first).kill()
        _at_work(out, "before,after", first)
        under_way = _jobs(out)
        first.kill()
        first.wait()
    lose()
    if not outlives:
        assert psutil.wait_procs(under_way, timeout=60)[1] == [], "no job outlives its driver"
    early = records_in(out)
    assert 137 in {each.code for each in early}, "the killed job is told"
    states = status_of(out).jobs
    kept = frozenset(name for name, state in states.items() if state == "done")
    assert {each.name for each in early if each.code == 0} <= kept
    for told in ("", f"0 of {len(states)} jobs to do"):
        with _driver(file, out, executor) as again:
            assert again.wait(PATIENCE) == 0, _log(out)[-3000:]
        assert told in _log(out)
    assert set(status_of(out).jobs.values()) == {"done"}
    ended = [(each.name, each.code) for each in records_in(out)]
    assert not kept.intersection(name for name, _ in ended[len(early) :]), "done again"
    paces = [json.loads(file.read_text()) for file in out.glob("*/pace.json")]
    arms = [each["arm"] for pace in paces for each in pace]
    assert arms.count("before") == len(recipe["benches"]), "the answers before are made once"
    board = json.loads((out / "leaderboard.json").read_text())
    ranked = {each["run"] for each in board["rankings"][0]["runs"]}
    assert ranked == {"before", *recipe["methods"]}
    found = {method: _comparison(out, method) for method in recipe["methods"]}
    return Story(len(states), tuple(ended), kept, found)


def part_killed(executor: str, folder: Path) -> None:
    """Kill one of two parts of a run's pairs; the same command answers it and makes the same pairs.

    Args:
        executor: as ``--executor`` has it.
        folder: of the recipe, the sweep, the log of its drivers, and the pairs made by one job.
    """
    file, out, log = folder / "recipe.yaml", folder / "sweep", folder / "one.log"
    recipe = {"methods": ["sima"], "benches": ["pope"], "resources": {"pairs": {"parts": 2}}}
    options = {"limit": 2, "max-prompts": 40, "set": {"epochs": 1, "max_new_tokens": 8}}
    options["prompts"] = str(DEMO.prompts)  # under uv, Ray's workers have a copy of this folder
    file.write_text(yaml.safe_dump({**recipe, "options": options}))
    with _driver(file, out, executor) as first:
        part = _at_work(out, "2/2", first, seconds=0)
        while not list(out.glob("*/.parts/2-of-2/.lock")):  # it is at work from then on
            time.sleep(0.05)
        part.kill()
        assert first.wait(PATIENCE) == 1, _log(out)[-3000:]
    early = {each.name.partition("/")[2]: each.code for each in records_in(out)}
    assert (early["before"], early["pairs-1-of-2"], early["pairs-2-of-2"]) == (0, 0, 137)
    assert early["pairs"] is early["train"] is None
    states = {name.partition("/")[2]: state for name, state in status_of(out).jobs.items()}
    assert [states[f"pairs-{part}-of-2"] for part in (1, 2)] == ["done", "failed"]
    with _driver(file, out, executor) as again:
        assert again.wait(PATIENCE) == 0, _log(out)[-3000:]
    late = [each.name.partition("/")[2] for each in records_in(out)[len(early) :]]
    assert late == ["pairs-2-of-2", "pairs", "train", "after", "report"]
    assert set(status_of(out).jobs.values()) == {"done"}
    (own,) = (out / "logs").glob("*.pairs.log")
    assert "pairs: the store had every answer" in own.read_text()
    words = next(each["command"] for each in _described(out) if each["name"].endswith("/pairs"))
    words[words.index("--out") + 1] = str(folder / "one")
    with log.open("wb") as file_:
        subprocess.run([sys.executable, "-m", "harness", *words], check=True, stderr=file_)
    for name in ("pairs.jsonl", "dropped.jsonl"):
        (parted,), (one,) = (place.glob(f"sima-*/{name}") for place in (out, folder / "one"))
        assert parted.read_bytes() == one.read_bytes()


def _described(out: Path) -> Any:
    return json.loads((out / "sweep.json").read_text())["jobs"]


def _comparison(out: Path, method: str) -> Any:
    (file,) = out.glob(f"{method}-*-seeds*/comparison.json")
    return json.loads(file.read_text())["comparison"]


@contextlib.contextmanager
def _driver(recipe: Path, out: Path, executor: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "harness", "sweep", str(recipe), "--out", str(out)]
    with out.with_suffix(".log").open("ab") as log:
        process = subprocess.Popen([*command, "--executor", executor], stdout=log, stderr=log)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def _log(out: Path) -> str:
    return out.with_suffix(".log").read_text()


def _jobs(out: Path) -> list[psutil.Process]:
    """Return the processes of this machine that do a job of the sweep, whoever started them."""
    found = []
    for each in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = each.cmdline()
            if "run" in words and str(out) in words and "--only" in words:
                found.append(each)
    return found


def _at_work(
    out: Path, stages: str, driver: subprocess.Popen[bytes], seconds: float = _AT_WORK
) -> psutil.Process:
    """Wait for a job of these stages that has used so much processor time."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        assert driver.poll() is None, f"the driver has ended too early: {_log(out)[-3000:]}"
        for each in _jobs(out):
            with contextlib.suppress(psutil.Error):
                if stages in each.cmdline() and sum(each.cpu_times()[:2]) > seconds:
                    return each
        time.sleep(0.1)
    raise AssertionError(f"no job of {stages} was started")
