"""Jobs as real processes: logs, exit codes, kills of jobs and of the process that drives them."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys

import psutil
import pytest

from harness.errors import UsageError
from harness.jobs import Job, LocalExecutor, open_executor
from harness.jobs.local import _gpus


def job(folder, name, *words, needs=(), gpus=0):
    return Job(name=name, command=words, log=folder / f"{name}.log", needs=needs, gpus=gpus)


def test_jobs_run_and_a_failed_one_says_its_own_sentence(tmp_path):
    jobs = [
        job(tmp_path, "good", "list", "losses", "--json"),
        job(tmp_path, "bad", "list", "losses", "dop", needs=("good",)),
        job(tmp_path, "never", "list", "losses", needs=("bad",)),
    ]
    good, bad, never = LocalExecutor(at_once=2).run(jobs)
    assert (good.name, good.code, good.done) == ("good", 0, True)
    assert (bad.name, bad.code) == ("bad", 2)
    assert bad.reason.startswith("No loss is named 'dop'. Did you mean 'dpo'?")
    assert (never.code, never.reason) == (None, "not started: it needs bad")
    first, second = (tmp_path / "good.log").read_text().splitlines()
    assert first == "$ harness list losses --json"
    assert "dpo" in json.loads(second)
    assert not (tmp_path / "never.log").exists()


def test_a_node_without_the_model_says_so_in_the_sweep(tmp_path):
    words = ("run", "--method", "sft", "--bench", "pope", "--model", str(tmp_path / "no-model"))
    (ended,) = LocalExecutor().run([job(tmp_path, "run", *words, "--out", str(tmp_path / "runs"))])
    assert ended.code == 2
    assert "no-model" in ended.reason
    assert "Traceback" not in (tmp_path / "run.log").read_text()


def test_a_log_that_cannot_be_written_is_the_reason(tmp_path):
    (tmp_path / "file").write_text("")
    jobs = [job(tmp_path / "file", name, "list", "losses", gpus=1) for name in ("x", "y")]
    for ended in LocalExecutor(at_once=2, gpus=1).run(jobs):  # the second one gets the GPU
        assert ended.code is None
        assert ended.reason.startswith("not started: ")
        assert "file" in ended.reason
        jobs.pop()
    assert jobs == []


def test_more_gpus_than_there_are_is_refused_before_anything_starts(tmp_path):
    jobs = [job(tmp_path, "a", "list", "losses"), job(tmp_path, "b", "list", "losses", gpus=2)]
    with pytest.raises(UsageError, match=r"The job b asks for 2 GPUs, and the executor has 1\."):
        list(LocalExecutor(gpus=1).run(jobs))
    assert not (tmp_path / "a.log").exists()


def test_jobs_get_gpus_of_those_that_the_process_may_use(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, 5")
    assert _gpus(1) == ["2"]
    with pytest.raises(UsageError, match=r"CUDA_VISIBLE_DEVICES=2, 5 shows\. Ask for 2"):
        _gpus(3)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert _gpus(2) == ["0", "1"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("locl", r"No executor is named 'locl'\. Did you mean 'local'\?"),
        ("local:at_onec=2", r"executor 'local' has no option 'at_onec'\. Did you mean 'at_once'\?"),
        ("local:at_once=0", r"at_once is 0; .*Give another with --executor local:at_once=VALUE"),
        ("local:at_once=two", "at_once=two of the executor 'local' has no valid value"),
        ("local:2", r"--executor local:2: '2' has no value\. Write options as KEY=VALUE"),
    ],
)
def test_an_executor_that_cannot_be_had_is_refused_in_words(text, told):
    with pytest.raises(UsageError, match=told):
        open_executor(text)


def test_options_are_read_from_the_text():
    assert open_executor("local") == LocalExecutor(at_once=1, gpus=None)
    assert open_executor("local:at_once=3, gpus=2") == LocalExecutor(at_once=3, gpus=2)


DRIVER = """
import sys
from pathlib import Path
from harness.jobs import Job, LocalExecutor
folder, server = Path(sys.argv[1]), sys.argv[2]
words = ("eval", "--model", f"openai:m@{server}", "--bench", "pope", "--limit", "1")
jobs = [Job(name=n, command=(*words, "--out", str(folder / n)), log=folder / f"{n}.log")
        for n in "ab"]
try:
    for ended in LocalExecutor(at_once=2).run(jobs):
        print(ended, flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.slow
def test_jobs_end_with_a_driver_that_is_interrupted(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the jobs wait for its first answer
        silent.settimeout(120)
        server = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        command = [sys.executable, "-c", DRIVER, str(tmp_path), server]
        driver = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        heard = [silent.accept()[0] for _ in "ab"]
        jobs = psutil.Process(driver.pid).children(recursive=True)
        assert len(jobs) >= 2
        driver.send_signal(signal.SIGINT)
        said = driver.communicate(timeout=60)[0]
        assert psutil.wait_procs(jobs, timeout=20)[1] == []
        for each in heard:
            each.close()
    assert said == "interrupted\n"
    for name in "ab":
        assert "Interrupted. Run the same command again" in (tmp_path / f"{name}.log").read_text()
