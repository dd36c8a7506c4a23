"""Jobs on a real Ray of this machine: needs, GPUs as resources, kills, an interrupted driver."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from harness.jobs import Job, open_executor
from tests.support.held_server import held_server
from tests.support.ray_cluster import MISSING, ray_cluster
from tests.support.sweeps import part_killed

pytestmark = [pytest.mark.slow, pytest.mark.ray]


@pytest.fixture(scope="module")
def cluster():
    with ray_cluster() as found:
        yield found


def job(folder, name, *words, needs=(), gpus=0):
    return Job(name=name, command=words, log=folder / f"{name}.log", needs=needs, gpus=gpus)


def asking(folder, name, server, **more):
    words = ("eval", "--model", f"openai:m@{server.address}", "--bench", "pope", "--limit", "1")
    return job(folder, name, *words, "--out", str(folder / name), **more)


def test_a_graph_runs_and_a_failed_job_says_its_own_sentence(cluster, tmp_path):
    jobs = [job(tmp_path, "good", "list", "losses", gpus=2)]
    jobs.append(job(tmp_path, "bad", "list", "losses", "dop", gpus=1))
    jobs.append(job(tmp_path, "last", "list", "losses", needs=("good",)))
    jobs.append(job(tmp_path, "never", "list", "losses", needs=("bad",)))
    found = {ended.name: ended for ended in open_executor("ray").run(jobs)}
    assert {name: ended.code for name, ended in found.items()} == {
        **{"good": 0, "bad": 2, "last": 0, "never": None}
    }
    assert found["bad"].reason.startswith("No loss is named 'dop'. Did you mean 'dpo'?")
    assert found["never"].reason == "not started: it needs bad"


def test_jobs_that_want_the_same_gpus_run_one_after_the_other(cluster, tmp_path):
    import ray

    with held_server() as server:
        jobs = [asking(tmp_path, name, server, gpus=2) for name in "ab"]
        walking = open_executor("ray").run(jobs)
        in_use = []

        def look():
            server.wait()
            in_use.append(ray.available_resources().get("GPU", 0))
            in_use.append(len([log for log in tmp_path.glob("*.log")]))
            server.answering.set()

        with ThreadPoolExecutor() as pool:
            pool.submit(look)
            assert [ended.code for ended in walking] == [0, 0]
    assert in_use == [0, 1]


def test_a_killed_job_is_told_and_the_same_command_goes_on(cluster, tmp_path):
    with held_server() as server:
        jobs = [asking(tmp_path, "eval", server), job(tmp_path, "b", "list", "losses")]

        def kill():
            server.wait()
            for each in psutil.process_iter(["cmdline"]):
                words = each.info["cmdline"] or ()
                if "-m" in words and "harness" in words and str(tmp_path / "eval") in words:
                    each.send_signal(signal.SIGKILL)

        with ThreadPoolExecutor() as pool:
            pool.submit(kill)
            found = {ended.name: ended for ended in open_executor("ray").run(jobs)}
        assert found["eval"].code == 137
        assert found["eval"].reason.startswith("it was ended by SIGKILL")
        assert found["b"].done
        server.answering.set()
        assert [ended.code for ended in open_executor("ray").run(jobs[:1])] == [0]


def test_a_worker_that_dies_is_run_again_by_ray(cluster, tmp_path):
    with held_server() as server:

        def kill():
            server.wait()
            for each in psutil.process_iter(["cmdline"]):
                if str(tmp_path / "eval") in (each.info["cmdline"] or ()):
                    each.parent().send_signal(signal.SIGKILL)  # Ray's worker; the job follows
            server.wait()  # the second attempt
            server.answering.set()

        with ThreadPoolExecutor() as pool:
            pool.submit(kill)
            (ended,) = open_executor("ray").run([asking(tmp_path, "eval", server)])
    assert ended.done
    assert (tmp_path / "eval.log").read_text().count("$ harness eval") == 2


def test_a_job_goes_on_at_another_node_when_its_own_is_lost(cluster, tmp_path):
    parts = {"num_cpus": 1, "num_gpus": 3}  # more than the first node has
    node = cluster.add_node(**parts)
    with held_server() as server, ThreadPoolExecutor() as pool:
        one = asking(tmp_path, "eval", server, gpus=3)
        walked = pool.submit(lambda: [*open_executor("ray").run([one])])
        server.wait()
        cluster.remove_node(node, allow_graceful=False)
        other = cluster.add_node(**parts)
        server.wait()  # the second attempt
        server.answering.set()
        (ended,) = walked.result()
    cluster.remove_node(other)
    assert ended.done
    assert (tmp_path / "eval.log").read_text().count("$ harness eval") == 2


DRIVER = """
import sys
from pathlib import Path
from harness.jobs import Job, open_executor
address, log, *words = sys.argv[1:]
job = Job(name="eval", command=tuple(words), log=Path(log))
print([*open_executor(f"ray:address={address}").run([job])], flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_job_outlives_its_driver(cluster, tmp_path, number):
    with held_server() as server:
        one = asking(tmp_path, "eval", server)
        command = [sys.executable, "-c", DRIVER, cluster.address, str(one.log), *one.command]
        driver = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        server.wait()
        (running,) = (
            each
            for each in psutil.process_iter(["cmdline"])
            if str(tmp_path / "eval") in (each.info["cmdline"] or ()) and each.pid != driver.pid
        )
        os.kill(driver.pid, number)
        driver.wait(60)
        assert psutil.wait_procs([running], timeout=30)[1] == []


def test_a_part_of_the_pairs_that_is_killed_is_answered_by_the_same_command(cluster, tmp_path):
    part_killed(f"ray:address={cluster.address}", tmp_path)


def test_a_cluster_that_is_not_there_is_told(tmp_path):
    pytest.importorskip("ray", reason=MISSING)
    code = (
        "from harness.jobs import Job, open_executor; from pathlib import Path\n"
        "job = Job(name='a', command=('list', 'losses'), log=Path('a.log'))\n"
        "list(open_executor('ray:address=127.0.0.1:9').run([job]))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert "Ray cannot be reached at 127.0.0.1:9: " in done.stderr
    assert not (tmp_path / "a.log").exists()
