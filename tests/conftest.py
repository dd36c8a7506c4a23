"""Small models on few cores: threads would wait for each other, so every test uses one."""

from __future__ import annotations

import os
import signal
from collections import Counter

import pytest
from hypothesis import HealthCheck, settings

for _name, _value in {
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
}.items():
    os.environ.setdefault(_name, _value)

settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")
"""How fast examples are drawn says how busy the machine is, and nothing of the code."""

# Who starts the tests in the background leaves Ctrl-C ignored, and their commands would inherit it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

LANES = ("slurm", "ray", "vllm")
"""Markers of tests that need a part of somebody else, which is not installed everywhere."""

LONGEST = (
    *("tests/model/test_vllm_engine.py", "tests/demo/test_demo.py", "tests/jobs/test_sweep.py"),
    *("tests/faults/test_kill.py", "tests/faults/test_nproc.py", "tests/test_tutorial.py"),
    *("tests/test_pretend_gpu.py", "tests/test_workflow.py", "tests/dpo/test_processes.py"),
)
"""Files whose slow tests take minutes, the longest first."""


@pytest.hookimpl(trylast=True)  # after -m has chosen
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files: a worker that took one last would end alone."""
    counts = Counter(map(_file, items))
    ranks = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (ranks.get(_file(item), len(LONGEST)), -counts[_file(item)]))


def _file(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


def pytest_terminal_summary(terminalreporter) -> None:
    """Say which of these ran, and append it to the file that HARNESS_LANES names."""
    told = []
    for lane in LANES:
        reports = {
            word: [
                each
                for each in terminalreporter.stats.get(word, ())
                if lane in getattr(each, "keywords", ())
            ]
            for word in ("passed", "failed", "error", "skipped")
        }
        counts = [f"{len(found)} {word}" for word, found in reports.items() if found]
        if counts:
            why = {each.longrepr[-1] for each in reports["skipped"]}
            told.append(f"{lane}: {', '.join(counts)}{''.join(f' ({each})' for each in why)}")
    if told:
        terminalreporter.write_line("\n".join(told))
        if os.environ.get("HARNESS_LANES"):
            with open(os.environ["HARNESS_LANES"], "a") as file:
                file.writelines(f"{line}\n" for line in told)
