"""The table on narrow terminals and in other encodings: columns go first, numbers are never cut."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from harness_reports import terminal
from rich.console import Console

from harness.runs import open_run
from tests.support.finished import mmvet, pope, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(
        tmp_path_factory.mktemp("runs") / "seva-x",
        {"pope": pope(), "mmvet": mmvet()},
        {"pope": pope(right=0.4, seed=5), "mmvet": mmvet(right=0.8, seed=5)},
    )


def shown(comparison, width):
    console = Console(width=width, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(terminal._fitting(comparison, console))
    return console.export_text()


@pytest.mark.parametrize("width", [132, 100, 80, 60, 50, 40, 30])
def test_no_number_is_cut(run, width):
    comparison = open_run(run).report.comparison
    lines = shown(comparison, width).splitlines()
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines)
    wanted = re.findall(r"-?\+?\d+\.\d \[[^\]]+\]", shown(comparison, 200))
    assert len(wanted) == 8
    assert re.findall(r"-?\+?\d+\.\d \[[^\]]+\]", "\n".join(lines)) == wanted


def harness(*words, **environment):
    return subprocess.run(
        [sys.executable, "-m", "harness", *map(str, words)],
        capture_output=True,
        env={**os.environ, **environment},
        timeout=120,
    )


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252"])
def test_any_encoding_will_do(run, encoding):
    done = harness("compare", run, run, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "pope accuracy" in done.stdout.decode(encoding)
    assert "?" not in done.stdout.decode(encoding)


def test_a_reader_that_leaves_ends_it_quietly(run):
    command = f'"{sys.executable}" -m harness compare "{run}" "{run}"'
    script = f"{command} | head -c 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, timeout=120)
    assert done.stderr == b""
    assert done.returncode in (0, 141)
