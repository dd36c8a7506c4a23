"""Jobs on a real SLURM of one node: arrays, kills, time limits, drivers that die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.errors import HarnessError, UsageError
from harness.jobs import Job, SlurmExecutor, open_executor
from harness.progress import Reporter, showing
from tests.support.held_server import held_server
from tests.support.slurm import slurm

pytestmark = [pytest.mark.slow, pytest.mark.slurm]


@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory):
    with slurm(tmp_path_factory.mktemp("slurm") / "node") as folder:
        yield folder


def job(folder, name, *words, needs=()):
    return Job(name=name, command=words, log=folder / f"{name}.log", needs=needs)


def asking(folder, name, server, **more):
    words = ("eval", "--model", f"openai:m@{server.address}", "--bench", "pope", "--limit", "1")
    return job(folder, name, *words, "--out", str(folder / name), **more)


def states():
    command = ["squeue", "--noheader", "--array", "--states=all", "--format=%i %T"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(line.split() for line in done.stdout.splitlines())


def test_alike_jobs_are_one_array_and_a_failed_one_says_its_own_sentence(tmp_path):
    jobs = [job(tmp_path, f"good{at}", "list", "losses", "--json") for at in range(3)]
    jobs.append(job(tmp_path, "bad", "list", "losses", "dop"))
    jobs.append(job(tmp_path, "last", "list", "losses", needs=("good0", "good1")))
    jobs.append(job(tmp_path, "never", "list", "losses", needs=("bad",)))
    before = states()
    found = {ended.name: ended for ended in open_executor("slurm:poll=0.5,partition=a").run(jobs)}
    assert {name: ended.code for name, ended in found.items()} == {
        **{f"good{at}": 0 for at in range(3)},
        **{"bad": 2, "last": 0, "never": None},
    }
    assert found["bad"].reason.startswith("No loss is named 'dop'. Did you mean 'dpo'?")
    assert found["never"].reason == "not started: it needs bad"
    submitted = states().keys() - before.keys()
    arrays = {name.split("_")[0] for name in submitted if "_" in name}
    assert (len(submitted), len(arrays)) == (5, 1)  # an array of four, and the last one alone
    assert (tmp_path / "last.log").read_text().startswith("$ harness list losses\n")
    assert "submitit" in (tmp_path / "last.log.slurm").read_text()  # the node's own words
    assert not list(tmp_path.glob("*.json"))


DRIVER = """
import sys
import time
from pathlib import Path
from harness.jobs import Job, SlurmExecutor
log, *words = sys.argv[1:]
job = Job(name="eval", command=tuple(words), log=Path(log))
print([*SlurmExecutor(poll=0.5).run([job])], flush=True)
"""


def test_a_job_outlives_its_driver_and_its_time_limit(tmp_path):
    """Driver killed, found again by the same command, time over, submitted again, done."""
    with held_server() as server:
        one = asking(tmp_path, "eval", server)
        command = [sys.executable, "-c", DRIVER, str(one.log), *one.command]
        driver = subprocess.Popen(command)
        server.wait()
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        (number,) = (name for name, state in states().items() if state == "RUNNING")
        driver = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        # What SLURM sends at the time limit, to the processes of the job's step.
        subprocess.run(["scancel", "--signal=USR2", number], check=True)
        sooner = ["scontrol", "update", f"JobId={number}", "StartTime=now"]
        while not server.asked.acquire(timeout=1):  # by the second attempt
            # SLURM holds a job back for a minute that is submitted again.
            subprocess.run(sooner, check=False, capture_output=True)
        assert [name for name, state in states().items() if state == "RUNNING"] == [number]
        server.answering.set()
        said = driver.communicate(timeout=120)[0]
    assert said == "[Ended(name='eval', code=0, reason='')]\n"
    assert one.log.read_text().count("$ harness eval") == 2
    assert len(list((tmp_path / "eval").glob("*/after/pope.jsonl"))) == 1


def test_a_killed_job_is_told_and_the_same_command_goes_on(tmp_path):
    with held_server() as server:
        jobs = [asking(tmp_path, "eval", server), job(tmp_path, "b", "x", needs=("eval",))]
        walking = SlurmExecutor(poll=0.5).run(jobs)

        def kill():
            server.wait()
            (number,) = (name for name, state in states().items() if state == "RUNNING")
            subprocess.run(["scancel", number], check=True)
            return number

        with ThreadPoolExecutor() as pool:
            number = pool.submit(kill)
            killed, never = walking
        # What is cancelled first is the job or what waits for it on the node.
        assert killed.code in (None, 128 + signal.SIGTERM)
        gone = f"SLURM's job {number.result()} gave no result: CANCELLED"
        assert killed.reason.startswith(gone if killed.code is None else "it was ended by SIGTERM")
        assert never.reason == "not started: it needs eval"
        server.answering.set()
        assert [ended.code for ended in SlurmExecutor(poll=0.5).run(jobs[:1])] == [0]


def test_jobs_are_cancelled_when_the_driver_is_interrupted(tmp_path):
    with held_server() as server:
        jobs = [asking(tmp_path, "eval", server), job(tmp_path, "quick", "list", "losses")]
        walking = SlurmExecutor(poll=0.5).run(jobs)
        assert next(walking).name == "quick"
        walking.close()
        while {"RUNNING", "PENDING", "COMPLETING"} & set(states().values()):
            time.sleep(0.2)
        assert not list(tmp_path.glob("*.json"))


def test_a_queue_that_does_not_answer_is_told_once_and_costs_no_job(monkeypatch, tmp_path, capsys):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "squeue").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "bin" / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    with showing(Reporter()):
        (ended,) = SlurmExecutor(poll=0.2).run([job(tmp_path, "a", "list", "losses")])
    assert (ended.code, capsys.readouterr().err.count("SLURM does not answer (squeue)")) == (0, 1)


def test_what_slurm_refuses_is_told_in_its_words(tmp_path):
    jobs = [job(tmp_path, "a", "list", "losses")]
    with pytest.raises(HarnessError, match=r"SLURM does not take the job a: .*invalid partition"):
        list(open_executor("slurm:partition=nowhere").run(jobs))


def test_a_machine_that_cannot_submit_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="sbatch, which is not on this machine's PATH"):
        open_executor("slurm")
