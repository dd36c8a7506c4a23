"""The table on narrow terminals and in other encodings: columns go first, numbers are never cut."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import sys

import pytest
from harness_reports import terminal
from rich.console import Console

from harness.benchmark import benchmark
from harness.compare import levels_of
from harness.runs import open_run
from tests.support.command import harness
from tests.support.finished import mmvet, pope, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(
        tmp_path_factory.mktemp("runs") / "seva-x",
        {"pope": pope(), "mmvet": mmvet()},
        {"pope": pope(right=0.4, seed=5), "mmvet": mmvet(right=0.8, seed=5)},
    )


def shown(report, width, **how):
    console = Console(width=width, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(terminal._fitting(report, console, **how))
    return console.export_text()


def numbers(text):
    return set(re.findall(r"\S*\d\S*", re.sub(r"\(\+\d\)", "", text)))  # (+1): one more says so


DIFFERENCE = re.compile(r"[-+]?\d+\.\d \[[^\]]+\]")


@pytest.mark.parametrize("width", [132, 100, 80, 60, 50, 40, 30])
@pytest.mark.parametrize(("every", "figures"), [(False, 2), (True, 6)])
def test_no_number_is_cut(run, width, every, figures):
    report = open_run(run).report
    text, whole = (shown(report, each, every=every) for each in (width, 200))
    assert "pope" in text, "the name of a figure is never left out"
    assert numbers(text) <= numbers(whole), "a number is whole or not there"
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines)
    wanted = DIFFERENCE.findall(whole)
    assert len(wanted) == figures
    assert DIFFERENCE.findall("\n".join(lines)) == wanted
    if width >= 60:  # one line a figure, and with it what explains the verdict
        told = [line for line in lines if DIFFERENCE.search(line)]
        assert len(told) == figures
        assert [line for line in lines if set(line.strip()) - set("─")][-figures:] == told
        p_too = r".*\d\.\d\d\d" if width >= 80 or not every else ""
        assert all(re.search(rf"(gain|loss|tell|change){p_too}", line) for line in told)


def test_what_the_verdict_rests_on_is_shown_and_the_rest_on_request(run):
    report = open_run(run).report
    assert "f1" not in shown(report, 132)
    text = shown(report, 132, every=True)
    assert re.search(r"^  f1, lenient f1 +\S", text, re.M), "what is the same is one line"
    done = harness("report", run)
    assert f"4 more figures: harness report {run} --all" in done.stdout
    assert "f1, lenient f1" in harness("report", run, "--all").stdout


@pytest.mark.parametrize("width", [132, 60, 45, 30, 24])
def test_no_number_of_one_model_is_cut(run, width):
    found = open_run(run)
    alone = dataclasses.replace(
        found.report,
        comparison=None,
        levels=levels_of(found.after, {name: benchmark(name).columns for name in found.after}),
    )
    shown = []
    for each in (200, width):
        console = Console(width=each, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
        console.print(terminal._fitting_levels(alone, console, every=True))
        shown.append(console.export_text())
    assert max(map(len, shown[1].splitlines())) <= width
    figures = [re.findall(r"\d+\.\d(?!\d*[,\]])", text) for text in shown]
    assert len(figures[0]) == 6
    assert figures[0] == figures[1]
    assert "…" not in shown[1]


def test_two_runs_side_by_side_name_both_and_no_file_of_either(run, tmp_path):
    other = shutil.copytree(run, tmp_path / "other")
    (other / "report.md").write_text("of that run alone")
    done = harness("compare", run, other)
    head = done.stdout.splitlines()[1]
    assert re.search(r"verdict +seva-x +other +difference", head), "one method: their folders"
    (last,) = done.stderr.splitlines()
    assert (done.returncode, last) == (0, f"Next: harness gate {other} --baseline {run}")
    assert "report.md" not in done.stdout
    assert "comparison.json" not in done.stdout


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_stream_that_is_closed_from_the_start_ends_nothing(run, closed):
    script = f'"{sys.executable}" -m harness compare "{run}" "{run}" {closed}'
    done = subprocess.run(["bash", "-c", script], capture_output=True, timeout=120)
    assert done.returncode == 0
    assert all(line.startswith(b"Next: ") for line in done.stderr.splitlines())


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252"])
def test_any_encoding_will_do(run, encoding):
    done = harness("compare", run, run, encoding=encoding)
    assert (done.returncode, done.stderr.count("\n")) == (0, 1), "what to type next, no warning"
    assert "pope accuracy" in done.stdout
    assert "?" not in done.stdout


def test_a_reader_that_leaves_ends_it_quietly(run):
    command = f'"{sys.executable}" -m harness compare "{run}" "{run}"'
    script = f"{command} | head -c 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, timeout=120)
    assert done.stderr == b"" or done.stderr.startswith(b"Next: ")  # if it left after the end
    assert done.stderr.count(b"\n") <= 1
    assert done.returncode in (0, 141)
