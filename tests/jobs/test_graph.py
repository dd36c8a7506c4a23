"""A graph of jobs is walked: each once, after its needs, never after a failed one."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.jobs import Ended, Job, walk

LOG = Path("no-such-log.txt")


def job(name: str, *needs: str) -> Job:
    return Job(name=name, command=("list", "losses"), log=LOG, needs=needs)


@dataclass
class Random:
    """Ends jobs in a random order with the exit codes it was told."""

    codes: dict[str, int]
    order: random.Random
    running: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    stopped: int = 0

    def start(self, jobs):
        self.running += [job.name for job in jobs]
        self.events += [f"start {job.name}" for job in jobs]

    def ended(self):
        self.order.shuffle(self.running)
        count = self.order.randint(1, len(self.running))
        gone, self.running = self.running[:count], self.running[count:]
        self.events += [f"end {name}" for name in gone]
        return [Ended(name, self.codes[name]) for name in gone]

    def stop(self):
        self.stopped += 1


@st.composite
def graphs(draw):
    count = draw(st.integers(0, 12))
    jobs = [
        job(str(at), *map(str, draw(st.sets(st.integers(0, at - 1), max_size=3)) if at else ()))
        for at in range(count)
    ]
    codes = {each.name: draw(st.sampled_from([0, 0, 0, 1, 137])) for each in jobs}
    return draw(st.permutations(jobs)), codes, draw(st.integers(0, 9))


@settings(max_examples=150, deadline=None)
@given(graphs())
def test_each_job_ends_once_after_its_needs_and_never_after_a_failed_one(graph):
    jobs, codes, seed = graph
    workers = Random(codes, random.Random(seed))
    found = {}
    for ended in walk(jobs, workers):
        assert ended.name not in found
        found[ended.name] = ended
    # Said independently of the walk: a job runs if and only if none of all that is below it failed.
    below = {}
    for each in sorted(jobs, key=lambda one: int(one.name)):
        below[each.name] = set(each.needs).union(*(below[name] for name in each.needs))
    runs = {name for name, all_ in below.items() if not any(codes[each] for each in all_)}
    assert {name for name, ended in found.items() if ended.code is not None} == runs
    assert found.keys() == codes.keys()
    assert all(found[name].code == codes[name] for name in runs)
    for each in jobs:
        for need in each.needs if each.name in runs else ():
            assert workers.events.index(f"end {need}") < workers.events.index(f"start {each.name}")
    assert workers.stopped == 1


def test_what_could_not_start_says_which_job_it_waited_for():
    workers = Random({"pairs": 1}, random.Random(0))
    ended = list(walk([job("pairs"), job("train", "pairs"), job("after", "train")], workers))
    assert ended == [
        Ended("pairs", 1, f"nothing was written to {LOG}"),
        Ended("train", None, "not started: it needs pairs"),
        Ended("after", None, "not started: it needs train"),
    ]
    assert workers.events == ["start pairs", "end pairs"]


def test_a_killed_job_is_said_to_have_been_killed():
    workers = Random({"pairs": 137}, random.Random(0))
    (ended,) = walk([job("pairs")], workers)
    assert ended.reason.startswith("it was ended by SIGKILL; nothing was written to ")


def test_the_jobs_under_way_are_ended_when_nobody_listens_any_more():
    workers = Random({"a": 0, "b": 0}, random.Random(0))
    walking = walk([job("a"), job("b", "a")], workers)
    next(walking)
    walking.close()
    assert workers.stopped == 1


@pytest.mark.parametrize(
    ("jobs", "told"),
    [
        ([job("a"), job("a")], "Two jobs are named a"),
        ([job("a", "b"), job("b", "a")], "a needs b; b needs a"),
        ([job("a", "gone")], "These jobs can never start: a needs gone"),
    ],
)
def test_a_graph_that_cannot_be_walked_is_refused_before_anything_starts(jobs, told):
    workers = Random({}, random.Random(0))
    with pytest.raises(HarnessError, match=told):
        list(walk(jobs, workers))
    assert workers.events == []
