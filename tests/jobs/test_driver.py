"""One driver at a time, what it writes down, and what its exit code says."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import socket
from pathlib import Path

import pytest

from harness.errors import ExitCode, HarnessError
from harness.jobs import Ended, Job, Sweep, drive
from harness.jobs import driver as driving
from harness.jobs.driver import Driver, driver_of, records_in, worst
from harness.records import to_json
from harness.storage import locked


class Answers:
    """An executor whose jobs end as they are told to."""

    def __init__(self, **codes: int | None) -> None:
        self.codes, self.asked = codes, []

    def run(self, jobs):
        self.asked = list(jobs)
        for job in jobs:
            yield Ended(job.name, self.codes.get(job.name, 0), "why" if self.codes else "")


def sweep(out: Path, *names: str, done=()) -> Sweep:
    jobs = tuple(
        Job(name=name, command=("list",), log=out / f"{name}.log", needs=names[:place])
        for place, name in enumerate(names)
    )
    return Sweep(out, (), jobs, frozenset(done))


def test_exit_codes_are_kept_and_the_worst_is_returned(tmp_path):
    code = drive(sweep(tmp_path, "a", "b", "c"), Answers(b=3, c=None))
    assert code == ExitCode.FAILED
    assert [(each.name, each.code) for each in records_in(tmp_path)] == [
        ("a", 0),
        ("b", 3),
        ("c", None),
    ]
    assert driver_of(tmp_path) is None, "it has ended"


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([], 0),
        ([0, 0], 0),
        ([0, 3], 3),
        ([3, 2], 2),
        ([2, 1], 1),
        ([1, 130], 1),
        ([130, 0], 130),
        ([0, 2, None], 2),
        ([3, None], 1),
        ([0, 137], 1),
    ],
)
def test_a_failure_is_worse_than_missing_scores(codes, expected):
    assert worst(codes) == expected


def test_done_jobs_are_not_run_and_nobody_waits_for_them(tmp_path):
    executor = Answers()
    assert drive(sweep(tmp_path, "a", "b", "c", done=["a", "b"]), executor) == ExitCode.DONE
    assert [(job.name, job.needs) for job in executor.asked] == [("c", ())]


def test_a_killed_job_counts_as_failed(tmp_path):
    assert drive(sweep(tmp_path, "a"), Answers(a=137)) == ExitCode.FAILED


def test_half_a_line_of_a_killed_driver_is_passed_over(tmp_path):
    drive(sweep(tmp_path, "a"), Answers())
    with (tmp_path / "ended.jsonl").open("a") as file:
        file.write('{"name": "b", "co')
    assert [each.name for each in records_in(tmp_path)] == ["a"]
    drive(sweep(tmp_path, "c"), Answers())
    assert [each.name for each in records_in(tmp_path)] == ["a", "c"]


def _hold(out: str, ready: object, end: object) -> None:
    class Waits:
        def run(self, jobs):
            ready.set()
            end.wait()
            yield from ()

    drive(sweep(Path(out), "a"), Waits())


def test_a_second_driver_is_refused_and_a_killed_one_stands_in_nobodys_way(tmp_path):
    fork = multiprocessing.get_context("fork")
    ready, end = fork.Event(), fork.Event()
    first = fork.Process(target=_hold, args=(str(tmp_path), ready, end))
    first.start()
    assert ready.wait(30)
    with pytest.raises(HarnessError, match=rf"process {first.pid} on {socket.gethostname()}\."):
        drive(sweep(tmp_path, "a"), Answers())
    first.kill()
    first.join()
    assert driver_of(tmp_path).pid == first.pid, "it had no time to tidy up"
    assert drive(sweep(tmp_path, "a"), Answers()) == ExitCode.DONE


@pytest.mark.parametrize("alive", [True, False])
def test_a_driver_on_another_machine_is_known_by_its_sign_of_life(tmp_path, monkeypatch, alive):
    """Here the lock of the file system does not reach: nobody holds it."""
    file = tmp_path / "driver.json"
    file.write_text(json.dumps(to_json(Driver("elsewhere", 4711, 1.0, 3))))

    def slept(seconds: float) -> None:
        if alive:
            os.utime(file, (seconds, seconds))

    monkeypatch.setattr(driving.time, "sleep", slept)
    if alive:
        with pytest.raises(HarnessError, match="process 4711 on elsewhere"):
            drive(sweep(tmp_path, "a"), Answers())
        assert driver_of(tmp_path).host == "elsewhere"
    else:
        assert drive(sweep(tmp_path, "a"), Answers()) == ExitCode.DONE


def test_who_may_not_write_is_not_told_of_another_driver(tmp_path):
    (tmp_path / "driver.json").write_text(json.dumps(to_json(Driver("elsewhere", 1, 1.0, 3))))
    (tmp_path / ".lock").mkdir()
    with pytest.raises(HarnessError, match="cannot be written"):
        drive(sweep(tmp_path, "a"), Answers())
    (tmp_path / ".lock").rmdir()
    with locked(tmp_path), pytest.raises(HarnessError, match="Another driver"):
        drive(sweep(tmp_path, "a"), Answers())


def test_a_full_disk_ends_the_jobs_in_a_sentence_and_keeps_what_has_ended(tmp_path):
    """The system refuses every byte beyond a size, as it would on a full disk."""
    closed = []

    class Long(Answers):
        def run(self, jobs):
            try:
                for job in jobs:
                    yield Ended(job.name, 1, "why " * 500)
            finally:
                closed.append(True)

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))
    try:
        with pytest.raises(HarnessError, match=r"The disk is full: .*ended\.jsonl"):
            drive(sweep(tmp_path, "a", "b", "c"), Long())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert closed == [True]
    assert [each.name for each in records_in(tmp_path)] == ["a"]
    assert driver_of(tmp_path) is None
    assert drive(sweep(tmp_path, "b", "c"), Answers()) == ExitCode.DONE
    assert [each.name for each in records_in(tmp_path)] == ["a", "b", "c"]
