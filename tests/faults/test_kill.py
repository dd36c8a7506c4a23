"""kill -9 at moments spread over every command, again and again, and all files stay the same.

``HARNESS_KILLS=210 uv run pytest -m slow tests/faults/test_kill.py -s`` is the whole campaign, and
``HARNESS_KILLS=sima=30,seeds=12`` a part of it; the slow suite runs one kill or two of each kind.
docs/log.md has its figures.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.judge_server import Running, running
from tests.support.kills import STAGES, Attempts, assert_same_run

KILLS = os.environ.get("HARNESS_KILLS", "12")
SIZE = ["--bench", "mmvet,pope", "--limit", "6", "--max-prompts", "14", "--quiet"]
SIZE += ["--report", "terminal,markdown", "--set", "max_new_tokens=12"]
SIZE += ["--set", "batch_size=4", "--set", "save_steps=1"]


@dataclass(frozen=True)
class Run:
    """A run that is killed.

    Attributes:
        share: of all kills, in percent; a run with several seeds or processes takes the longest.
        words: its command line but for the size.
        as_whole: another run whose files it must have too.
        inside: its moments are counted from the beginning of a stage, one stage after another:
            processes of its own spend most of their time before it.
    """

    share: float
    words: tuple[str, ...]
    as_whole: str = ""
    inside: bool = False


RUNS = {
    "seva": Run(12, ("run", "--method", "seva")),
    "sima": Run(12, ("run", "--method", "sima")),
    "seeds": Run(7, ("run", "--method", "seva", "--seeds", "2")),
    "rounds": Run(
        8, ("run", "--method", "seva", "--rounds", "2", "--replay", "0.5", "--eval-rounds")
    ),
    "two processes": Run(5, ("run", "--method", "sima", "--nproc", "2"), "sima", True),
}
AFTERWARDS = {"judge": 20, "report": 12, "bundle": 10, "verify": 6, "gate": 8}
"""Commands on a finished run, with their share of all kills in percent."""


def kills(name: str, share: float) -> int:
    """Say how many kills fall on a command: by its share of a number, or as it is named."""
    if "=" not in KILLS:
        return max(1, round(int(KILLS) * share / 100))
    counts = dict(part.split("=") for part in KILLS.split(","))
    if name not in counts:
        pytest.skip(f"HARNESS_KILLS={KILLS} does not name it")
    return int(counts[name])


def tell(name: str, runs: int, kills_of: Attempts) -> None:
    """Print how far a campaign is, which may take an hour."""
    print(  # noqa: T201
        f"{name}: {kills_of.kills.total()} kills ({kills_of.resumes} of them in a resume), "
        f"{runs} runs, all the same: {dict(kills_of.kills)}",
        flush=True,
    )


@pytest.fixture(scope="module")
def wholes(tmp_path_factory) -> dict[str, tuple[Path, float, dict[str, float]]]:
    """Folders of uninterrupted runs with the processor time that they took."""
    return {}


def whole(
    name: str, wholes: dict[str, tuple[Path, float, dict[str, float]]], place: Path
) -> tuple[Path, float, dict[str, float]]:
    if name not in wholes:
        place.mkdir(exist_ok=True)
        out = place / "whole"
        attempts = Attempts([*RUNS[name].words, *SIZE, "--out", str(out)], place / "log")
        wholes[name] = out, attempts.whole(out), attempts.began
    return wholes[name]


def moments(
    run: Run, seconds: float, began: dict[str, float], chance: random.Random
) -> Iterator[tuple[float, str]]:
    """Yield when to kill: after how many seconds of processor time, and from which stage on."""
    stages = [stage for stage in reversed(STAGES[1:-1]) if stage in began]
    ends = [*(began[stage] for stage in stages[1:]), seconds]
    spans = [(stage, end - began[stage]) for stage, end in zip(stages, ends, strict=True)]
    for stage, length in itertools.cycle(spans if run.inside else [("", seconds)]):
        yield length * chance.random(), stage


@pytest.fixture(scope="module")
def judge() -> Iterator[Running]:
    with running() as found:
        yield found


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_run_killed_again_and_again_comes_to_the_same_files(name, wholes, tmp_path):
    count = kills(name, RUNS[name].share)
    expected, seconds, began = whole(name, wholes, tmp_path)
    if RUNS[name].as_whole:
        assert_same_run(whole(RUNS[name].as_whole, wholes, tmp_path / "other")[0], expected)
    when = moments(RUNS[name], seconds, began, random.Random(name))
    attempts = Attempts([], tmp_path / "log")
    torn = 0
    while attempts.kills.total() < count:
        torn += 1
        out = tmp_path / f"torn{torn}"
        attempts.words = [*RUNS[name].words, *SIZE, "--out", str(out)]
        while attempts.kills.total() < count:
            after, stage = next(when)
            if not attempts.killed(after, out, stage):
                break
        attempts.whole()
        assert_same_run(expected, out)
        shutil.rmtree(out)
        tell(name, torn, attempts)


@pytest.mark.slow
@pytest.mark.parametrize("name", AFTERWARDS)
def test_a_command_on_a_run_killed_again_and_again_comes_to_the_same_files(
    name, wholes, judge, tmp_path
):
    count = kills(name, AFTERWARDS[name])
    source, *_ = whole("seva", wholes, tmp_path)
    more = {
        "judge": ["--judge", judge.judge, "--quiet"],
        "report": ["--report", "terminal,markdown,html,json,junit"],
        "bundle": ["--images"],
        "gate": ["--report", "junit,markdown"],
    }.get(name, [])
    judge.control(latency=0.02)

    attempts = Attempts([], tmp_path / "log")

    def copied(to: Path) -> Path:
        shutil.copytree(source, to)
        (folder,) = (path for path in to.iterdir() if path.is_dir())
        attempts.words = [name, str(folder), *more]
        return to

    expected = copied(tmp_path / "untouched")
    seconds = attempts.whole()
    chance = random.Random(name)
    torn = 0
    while attempts.kills.total() < count:
        torn += 1
        out = copied(tmp_path / f"torn{torn}")
        while attempts.kills.total() < count:
            if not attempts.killed(seconds * chance.random(), out):
                break
        attempts.whole()
        assert_same_run(expected, out)
        shutil.rmtree(out)
        tell(name, torn, attempts)
