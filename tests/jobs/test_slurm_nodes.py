"""Jobs on a real SLURM of two nodes: a node is lost in the middle of a job."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.jobs import Job, SlurmExecutor
from tests.support.held_server import held_server
from tests.support.slurm import lose_node, slurm

pytestmark = [pytest.mark.slow, pytest.mark.slurm]


@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory):
    with slurm(tmp_path_factory.mktemp("slurm") / "nodes", nodes=("one", "two")) as folder:
        yield folder


def places():
    command = ["squeue", "--noheader", "--array", "--states=all", "--format=%i %T %N"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.split() for line in done.stdout.splitlines()]


def test_a_job_goes_on_at_another_node_when_its_own_is_lost(tmp_path):
    with held_server() as server:
        words = ("eval", "--model", f"openai:m@{server.address}", "--bench", "pope", "--limit", "1")
        words += ("--out", str(tmp_path / "eval"))
        job = Job(name="eval", command=words, log=tmp_path / "eval.log", needs=())

        def lose():
            server.wait()
            ((number, _, node),) = places()
            lose_node(node)
            sooner = ["scontrol", "update", f"JobId={number}", "StartTime=now"]
            while not server.asked.acquire(timeout=1):  # by the second attempt
                subprocess.run(sooner, check=False, capture_output=True)
            server.answering.set()
            return node

        with ThreadPoolExecutor() as pool:
            lost = pool.submit(lose)
            (ended,) = SlurmExecutor(poll=0.5).run([job])
    assert ended.done
    ((*_, node),) = places()
    assert {lost.result(), node} == {"one", "two"}
    assert (tmp_path / "eval.log").read_text().count("$ harness eval") == 2
