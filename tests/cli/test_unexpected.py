"""The last handler: whatever is raised becomes one paragraph, and --debug shows where."""

from __future__ import annotations

import ctypes
import errno
import inspect
import os
import signal
import subprocess
import sys
import threading
import time

import click
import pytest

from harness import progress
from harness.cli import app, main
from harness.errors import UsageError
from tests.support.command import harness

RAISED = {
    "value": ValueError("odd\nthing"),
    "exit": SystemExit(0),
    "os": OSError(5, "bad"),
    "word": UsageError("There is no benchmark " + "9" * 5000),
    "long": OSError(errno.ENAMETOOLONG, "File name too long", "x" * 300),
    "memory": MemoryError(),
    "deep": RecursionError("deep"),
    "pipe": BrokenPipeError(),
    "base": GeneratorExit("of a library"),
}


@click.command("fall")
@click.argument("what")
def falling(what):
    raise RAISED[what]


LINE = inspect.getsourcelines(falling.callback)[1] + 3


def fall(*words, **environment):
    def with_it():
        app.add_command(falling)
        main()

    return harness(*words, env=environment, call=with_it)


def test_a_name_that_is_too_long_for_a_file_is_no_fault_of_ours():
    done = fall("fall", "long")
    assert done.returncode == 2
    assert f"{'x' * 60!r}... is too long for the name of a file" in done.stderr
    assert "report it" not in done.stderr


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("value", f"ValueError: odd thing (test_unexpected.py:{LINE}), vlm-harness"),
        ("exit", "SystemExit: 0 ("),
        ("os", "OSError: [Errno 5] bad ("),
        ("memory", "MemoryError: no message ("),
        ("deep", "RecursionError: deep ("),
        ("base", "GeneratorExit: of a library ("),
    ],
)
def test_it_is_one_paragraph_with_a_way_to_report_it(what, told):
    done = fall("fall", what)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Please report it" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


SUDDEN = {
    "exit": lambda: os._exit(0),
    "fault": lambda: ctypes.string_at(0),
    "child": lambda: os.waitpid(os.fork() or os._exit(7), 0),
    "thread": lambda: (threading.Thread(target=os._exit, args=(9,)).start(), time.sleep(60)),
}


@click.command("end")
@click.argument("how")
def ending(how):
    SUDDEN[how]()
    click.echo("done")


def end(how):
    def with_it():
        app.add_command(ending)
        main()

    return harness("end", how, call=with_it)


def test_foreign_code_ends_the_process_neither_in_silence_nor_as_a_success():
    done = end("exit")
    assert (done.returncode, done.stdout) == (1, "")
    assert "SystemExit: os._exit(0) was called in test_unexpected.py:" in done.stderr
    done = end("fault")
    assert (done.returncode, done.stdout) == (-signal.SIGSEGV, "")
    assert "Segmentation fault" in done.stderr
    assert "test_unexpected.py" in done.stderr


def test_a_process_or_thread_of_its_own_may_end_itself():
    assert [end(how).returncode for how in ("child", "thread")] == [0, 9]


def test_a_word_of_any_length_leaves_the_paragraph_readable():
    done = fall("fall", "word")
    assert done.stderr == f"Error: There is no benchmark {'9' * 100}...\n"


def test_an_interruption_before_the_command_has_begun_shows_no_traceback():
    code = """if True:
        import sys
        class Interrupting:
            def find_spec(self, name, path, target=None):
                if name == "harness.cli": raise KeyboardInterrupt
        sys.meta_path.insert(0, Interrupting())
        from harness.__main__ import main
        main()
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "Interrupted. Run the same command again to go on from here.\n"


def test_debug_shows_the_traceback():
    for done in (fall("--debug", "fall", "value"), fall("fall", "value", HARNESS_DEBUG="1")):
        assert done.returncode == 1
        assert "Traceback (most recent call last):" in done.stderr
        assert "Please report it" in done.stderr


def test_nobody_reads_any_more():
    done = fall("fall", "pipe")
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("words", [("list", "benchmarks"), ("list", "losses"), ("--help",)])
def test_nobody_who_reads_is_no_error(words):
    """As after ``| head``: click and rich each have their own way to end there."""
    started = subprocess.Popen(
        [sys.executable, "-m", "harness", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    started.stdout.close()
    _, told = started.communicate(timeout=60)
    assert (started.returncode, told) == (141, b"")


def test_foreign_text_on_a_line_of_progress_cannot_control_a_terminal(capsys):
    with progress.showing(progress.Reporter()) as reporter:
        reporter.say("m\x1b[2J\x07del: first\nsecond\r")
    assert capsys.readouterr().err == "m\\u001b[2J\\u0007del: first\nsecond\\u000d\n"
