"""How far runs and sweeps are, read from folders that were written row by row."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli import app
from harness.errors import HarnessError, UsageError
from harness.jobs import Ended, Job, Sweep, drive, status_of
from harness.jobs.driver import Driver
from harness.jobs.graph import NEEDS
from harness.records import Sample, to_json
from harness.storage import RunRecord, Throughput, journal_of, note_throughput, write_json
from tests.support.finished import row


def journal(folder: Path, arm: str, bench: str, rows: int, *, ended: bool, missing: int = 0):
    made = journal_of(folder / arm / f"{bench}.jsonl", "print", Sample)
    for place in range(rows):
        lost = place < missing
        made.append(
            row(place, "yes", None if lost else "yes", {} if lost else {"accuracy": 1.0}, place)
        )
    if ended:
        made.finish()


@pytest.fixture
def run(tmp_path) -> Path:
    """A run that was killed after 3 of 10 answers of the second benchmark after training."""
    folder = tmp_path / "sweep" / "seva-model-1a2b3c4d"
    asked = {"method": "seva", "benches": ["suite"], "limit": 40}
    RunRecord(asked, {"data:mmvet": "d", "data:pope": "d"}).write(folder)
    for arm, rows in (("before", 10), ("after", 3)):
        journal(folder, arm, "mmvet", 4, ended=True, missing=arm == "after")
        journal(folder, arm, "pope", rows, ended=arm == "before")
    lines = [{"version": 1, "fingerprint": "p"}]
    lines += [{"prompt": {"id": f"p{n}"}, "reason": "equal"} for n in (0, 0, 1, 2)]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    for bench, seconds in (("mmvet", 2.0), ("pope", 30.0)):
        answers = 4 if bench == "mmvet" else 10
        note_throughput(folder, Throughput("before", bench, answers, seconds))
    return folder


def shown(folder: Path, *words: str) -> str:
    done = CliRunner().invoke(app, ["status", str(folder), *words], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_a_run_shows_rows_totals_and_the_time_that_is_left(run):
    found = status_of(run)
    assert {each.stage: each.state for each in found.stages} == {
        "before": "done",
        "pairs": "begun",
        "train": "missing",
        "after": "begun",
        "report": "missing",
    }
    after = next(each for each in found.stages if each.stage == "after")
    assert [(p.name, p.done, p.total, p.unmeasured) for p in after.parts] == [
        ("mmvet", 4, 4, 1),
        ("pope", 3, 10, 0),
    ]
    assert found.seconds["after"] == 7 * 3.0, "seven answers at three seconds each"
    assert "pairs" not in found.seconds
    text = shown(run)
    assert "3 of 10 answers, unfinished" in text
    assert "4 of 4 answers, 1 not measured" in text
    assert "3 prompts, unfinished" in text
    told = json.loads(shown(run, "--json"))
    assert told["stages"][3]["state"] == "begun"


def test_half_a_line_is_no_row_and_nothing_is_changed(run):
    file = run / "after" / "pope.jsonl"
    file.write_bytes(file.read_bytes()[:-20])
    before = file.read_bytes()
    after = next(each for each in status_of(run).stages if each.stage == "after")
    assert after.parts[1].done == 2
    assert file.read_bytes() == before


def jobs(out: Path) -> tuple[Job, ...]:
    names = ["before", "pairs", "train", "after", "report"]
    run = "seva-model-1a2b3c4d"
    return tuple(
        Job(
            name=f"{run}/{name}",
            command=("run", "--only", name),
            log=out / "logs" / f"{run}.{name}.log",
            needs=(f"{run}/{names[place - 1]}",) if place else (),
        )
        for place, name in enumerate(names)
    )


class Fails:
    """An executor whose second job fails."""

    def run(self, jobs):
        for place, job in enumerate(jobs):
            code = (0, 1, None, None, None)[place]
            yield Ended(job.name, code, "The disk is full: x." if code else f"{NEEDS} more")


def test_a_job_that_the_scheduler_killed_has_failed(run):
    class Killed:
        def run(self, jobs):
            for job in jobs:
                yield Ended(job.name, None, "SLURM's job 12 gave no result: OUT_OF_MEMORY")

    out = run.parent
    drive(Sweep(out, (), jobs(out)[2:3], frozenset()), Killed())
    assert [each.reason[-13:] for each in status_of(out).failures] == ["OUT_OF_MEMORY"]
    assert "(not run to its end): SLURM's job 12" in " ".join(shown(out).split())


def test_a_sweep_shows_what_failed_what_waits_and_where_the_log_is(run):
    out = run.parent
    drive(Sweep(out, (), jobs(out), frozenset()), Fails())
    found = status_of(out)
    assert list(found.jobs.values()) == ["done", "failed", "waiting", "waiting", "waiting"]
    (failure,) = found.failures
    assert (failure.code, failure.reason) == (1, "The disk is full: x.")
    text = shown(out)
    assert "1 of 5 jobs done, 1 failed, 3 waiting; nobody is at work on it" in text
    assert "seva-model-1a2b3c4d/pairs failed (exit code 1): The disk is full: x." in text
    assert str(out / "logs" / "seva-model-1a2b3c4d.pairs.log") in text
    assert [each.job for each in status_of(run).failures] == [failure.job], "the run says so too"
    assert json.loads(shown(out, "--json"))["jobs"][failure.job] == "failed"


def test_parts_of_the_pairs_are_done_by_themselves_and_with_the_pairs(run):
    """Written row by row: one part is whole, the other was killed, the pairs are not begun."""
    out, whole = run.parent, (run / "pairs.jsonl").read_text()
    (run / "pairs.jsonl").unlink()
    parts = [f"{run.name}/pairs-{number}-of-2" for number in (1, 2)]
    made = [
        Job(name=name, command=("run", "--part"), log=out / f"{number}.log")
        for number, name in enumerate((*parts, f"{run.name}/pairs"))
    ]

    class Half:
        def run(self, jobs):
            yield Ended(parts[0], 0)
            yield Ended(parts[1], 137, "it was ended by SIGKILL")
            yield Ended(f"{run.name}/pairs", None, f"{NEEDS} {parts[1]}")

    drive(Sweep(out, (), tuple(made), frozenset()), Half())
    for number, end in ((1, '{"end": 4}\n'), (2, "")):
        place = run / ".parts" / f"{number}-of-2" / "pairs.jsonl"
        place.parent.mkdir(parents=True)
        place.write_text(re.sub('"id": *"', rf"\g<0>{number}-", whole) + end)
    found = status_of(out)
    assert list(found.jobs.values()) == ["done", "failed", "waiting"]
    assert "1 of 3 jobs done, 1 failed, 1 waiting" in shown(out)
    lines = [" ".join(line.split()) for line in shown(run).splitlines()]
    at = lines.index("1-of-2 3 prompts")
    assert lines[at - 1 : at + 2] == ["pairs missing not known", lines[at], lines[at + 1]]
    assert lines[at + 1] == "2-of-2 3 prompts, unfinished"
    assert " 6 " in next(line for line in shown(out).splitlines() if line.startswith(run.name))
    (run / "pairs.jsonl").write_text(whole + '{"end": 4}\n')
    found = status_of(out)
    assert list(found.jobs.values()) == ["done", "done", "done"], "the pairs need no part any more"
    assert "of-2" not in shown(run)


def test_under_a_driver_jobs_wait_or_are_at_work_and_time_is_told(run):
    out = run.parent
    drive(Sweep(out, (), jobs(out), frozenset()), Fails())
    began = time.time() - 100
    write_json(out / "driver.json", to_json(Driver("here", 17, began, 5)))
    log = out / "logs" / "seva-model-1a2b3c4d.pairs.log"
    log.parent.mkdir()
    log.write_text("$ harness run\n")
    lines = (out / "ended.jsonl").read_text().splitlines()
    first = json.loads(lines[1]) | {"at": began + 20}
    (out / "ended.jsonl").write_text(lines[0] + "\n" + json.dumps(first) + "\n")
    found = status_of(out)
    assert list(found.jobs.values()) == ["done", "at work", "waiting", "waiting", "waiting"]
    assert found.seconds == 4 * 20.0, "one job took 20 s, and four are left"
    assert "driven by process 17 on here; about 80 s left" in shown(out)
    hour = time.time() - 3600
    os.utime(out / "driver.json", (hour, hour))
    assert status_of(out).driver is None, "it has given no sign of life"


def test_what_is_no_run_and_what_is_damaged_are_told(tmp_path, run):
    with pytest.raises(UsageError, match="There is no run and no sweep"):
        status_of(tmp_path / "nothing")
    assert "1 run\n" in shown(run.parent)
    (run.parent / "sweep.json").write_text('{"jobs": [{"na')
    with pytest.raises(HarnessError, match=r"sweep\.json is damaged.*harness sweep command again"):
        status_of(run.parent)
    (run / "settings.json").write_text("{")
    with pytest.raises(HarnessError, match=r"settings\.json is damaged"):
        status_of(run)


def test_a_folder_of_the_version_before_is_read():
    folder = Path(__file__).parents[1] / "fixtures" / "flat_layout" / "run"
    (place,) = [folder] if (folder / "settings.json").is_file() else folder.iterdir()
    found = {each.stage: each.state for each in status_of(place).stages}
    assert found["before"] == found["after"] == found["pairs"] == "done"
