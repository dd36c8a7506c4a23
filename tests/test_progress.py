"""The bars on a terminal: what is left of a run, and nothing cut where it is narrow."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import sys
import termios
import time

import pytest

from harness import progress
from harness.benchmark import benchmark
from harness.settings import RoundSettings
from harness.stages import bars_of
from tests.support.contexts import run_context

STAGES = ("before a", "before b", "pairs", "train", "after a", "after b")


def ended(whole, stage, seconds):
    bar = progress.Bar(stage, 1, "answers")
    bar.began -= seconds
    whole.begin(stage)
    whole.end(bar)


def test_a_stage_takes_as_long_as_the_same_took_before():
    whole = progress._Whole(STAGES)
    ended(whole, "before a", 100)
    ended(whole, "before b", 50)
    whole.begin("pairs")
    assert whole.ahead(None) == ("at least 3 min left in all", "stage 3/6")
    whole.begin("train")
    assert whole.ahead(None)[0] == "at least 3 min left in all"
    assert whole.ahead(450.2) == ("about 10 min left in all", "stage 4/6")
    whole.begin("after b")  # "after a" was done in an earlier call
    assert whole.ahead(20.0) == ("about 20 s left in all", "stage 6/6")


def test_the_next_seed_takes_as_long_as_the_one_before():
    reporter = progress.Reporter(quiet=True)
    with reporter.repeated(2):
        reporter.stages(("pairs", "train"))
        first = reporter._whole
        ended(first, "pairs", 100)
        ended(first, "train", 200)
        reporter.stages(("pairs", "train"))
        assert reporter._whole is first
        first.begin("pairs")
        assert first.ahead(100.0) == ("about 5 min left in all", "stage 3/4")
    assert reporter._whole is None


def test_the_stages_of_a_run_in_rounds(tmp_path):
    """The names and the order are those that a real run printed."""
    benchmarks = [benchmark("pope"), benchmark("chair")]
    plan = run_context(
        tmp_path, benchmarks=benchmarks, rounds=RoundSettings(2), eval_rounds=True
    ).plan
    assert bars_of(plan) == [
        *("before pope", "before chair", "pairs", "train", "pairs", "train"),
        *("after pope", "after chair", "rounds/1/after pope", "rounds/1/after chair"),
    ]


@pytest.mark.parametrize(
    ("width", "told"),
    [(120, ["left in all", "stage 1/1", "answers/s"]), (60, ["left in all"]), (40, [])],
)
def test_on_a_terminal_a_bar_is_one_line_and_no_number_is_cut(width, told):
    """The process beside this one draws on a real terminal of that width."""
    child, terminal = pty.fork()
    if child == 0:
        for variable in ("COLUMNS", "LINES"):  # would say another size than the terminal's
            os.environ.pop(variable, None)
        os.environ["TERM"] = "xterm"
        sys.stderr = os.fdopen(2, "w")
        fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack("HHHH", 20, width, 0, 0))
        with progress.showing(progress.Reporter()) as reporter:
            reporter.stages(STAGES[:1])
            with progress.bar("before a", 1234, "answers") as bar:
                for _ in range(3):
                    bar.advance(2, "asking the model")
                    time.sleep(0.01)
                bar._display.refresh()
        os._exit(0)
    text = b""
    with contextlib.suppress(OSError):  # the other side is closed
        while part := os.read(terminal, 65536):
            text += part
    assert os.waitpid(child, 0)[1] == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\n", text.decode().replace("\r", "\n"))
    lines = re.sub(r"\n(?=[━╸╺ 0-9a-z:-])", "", plain).split("before a")[1:]
    (running,) = {line.strip() for line in lines if " 6/1234" in line}
    assert [part for part in ("left in all", "stage 1/1", "answers/s") if part in running] == told
    assert all(len(f"before a{line.rstrip()}") <= width for line in lines)
