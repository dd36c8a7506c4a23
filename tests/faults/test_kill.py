"""kill -9 at moments spread over every command, again and again, and all files stay the same.

``HARNESS_KILLS=240 uv run pytest -m slow tests/faults/test_kill.py -s`` is the whole campaign; the
slow suite runs a small part of it. docs/log.md has its figures.
"""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.judge_server import Running, running
from tests.support.kills import Attempts, assert_same_run

KILLS = int(os.environ.get("HARNESS_KILLS", "12"))
SIZE = ["--bench", "mmvet,pope", "--limit", "10", "--max-prompts", "18", "--quiet"]
SIZE += ["--report", "terminal,markdown", "--set", "max_new_tokens=24"]
SIZE += ["--set", "batch_size=4", "--set", "save_steps=2"]


@dataclass(frozen=True)
class Run:
    """A run that is killed.

    Attributes:
        share: of all kills, in percent.
        words: its command line but for the size.
        as_whole: the run whose files it must have; its own, uninterrupted, where none is named.
    """

    share: float
    words: tuple[str, ...]
    as_whole: str = ""


RUNS = {
    "seva": Run(20, ("run", "--method", "seva")),
    "sima": Run(16, ("run", "--method", "sima")),
    "seeds": Run(4, ("run", "--method", "seva", "--seeds", "2")),
    "rounds": Run(
        8, ("run", "--method", "seva", "--rounds", "2", "--replay", "0.5", "--eval-rounds")
    ),
    "two processes": Run(4, ("run", "--method", "sima", "--nproc", "2"), "sima"),
}
AFTERWARDS = {"judge": 20, "report": 10, "bundle": 8, "verify": 4, "gate": 6}
"""Commands on a finished run, with their share of all kills in percent."""


def kills(share: float) -> int:
    count = round(KILLS * share / 100)
    if not count:
        pytest.skip(f"of {KILLS} kills none falls on it; see HARNESS_KILLS")
    return count


def tell(name: str, runs: int, found: Counter[str]) -> None:
    """Print how far a campaign is, which may take an hour."""
    where = dict(found)
    print(f"{name}: {found.total()} kills, {runs} runs, all the same: {where}", flush=True)  # noqa: T201


@pytest.fixture(scope="module")
def wholes(tmp_path_factory) -> dict[str, tuple[Path, float]]:
    """Folders of uninterrupted runs with the processor time that they took."""
    return {}


def whole(name: str, wholes: dict[str, tuple[Path, float]], place: Path) -> tuple[Path, float]:
    if name not in wholes:
        out = place / "whole"
        attempts = Attempts([*RUNS[name].words, *SIZE, "--out", str(out)], place / "log")
        wholes[name] = out, attempts.whole()
    return wholes[name]


@pytest.fixture(scope="module")
def judge() -> Iterator[Running]:
    with running() as found:
        yield found


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_run_killed_again_and_again_comes_to_the_same_files(name, wholes, tmp_path):
    count = kills(RUNS[name].share)
    expected, seconds = whole(RUNS[name].as_whole or name, wholes, tmp_path)
    chance = random.Random(name)
    attempts = Attempts([], tmp_path / "log")
    torn = 0
    while attempts.kills.total() < count:
        torn += 1
        out = tmp_path / f"torn{torn}"
        attempts.words = [*RUNS[name].words, *SIZE, "--out", str(out)]
        while attempts.kills.total() < count:
            if not attempts.killed(seconds * chance.random(), out):
                break
        attempts.whole()
        assert_same_run(expected, out)
        shutil.rmtree(out)
        tell(name, torn, attempts.kills)


@pytest.mark.slow
@pytest.mark.parametrize("name", AFTERWARDS)
def test_a_command_on_a_run_killed_again_and_again_comes_to_the_same_files(
    name, wholes, judge, tmp_path
):
    count = kills(AFTERWARDS[name])
    source, _ = whole("seva", wholes, tmp_path)
    more = {
        "judge": ["--judge", judge.judge, "--quiet"],
        "report": ["--report", "terminal,markdown,html,json,junit"],
        "bundle": ["--images"],
        "gate": ["--report", "junit,markdown"],
    }.get(name, [])
    judge.control(latency=0.02)

    def copied(to: Path) -> tuple[Path, Attempts]:
        shutil.copytree(source, to)
        (folder,) = (path for path in to.iterdir() if path.is_dir())
        return to, Attempts([name, str(folder), *more], tmp_path / "log")

    expected, attempts = copied(tmp_path / "untouched")
    seconds = attempts.whole()
    chance = random.Random(name)
    kills_of, torn = Counter[str](), 0
    while kills_of.total() < count:
        torn += 1
        out, attempts = copied(tmp_path / f"torn{torn}")
        while kills_of.total() + attempts.kills.total() < count:
            if not attempts.killed(seconds * chance.random(), out):
                break
        attempts.whole()
        assert_same_run(expected, out)
        kills_of += attempts.kills
        shutil.rmtree(out)
        tell(name, torn, kills_of)
