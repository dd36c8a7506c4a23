"""``harness`` as a process of its own, forked from this one: what tests have imported is there.

A fresh interpreter takes seconds of imports before it does what the test is about. Where imports
are the point, or variables that libraries read while they are imported, start a fresh one.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

from harness.cli import main

LIBRARIES = ("torch", "transformers", "peft", "datasets", "trl", "scipy.stats", "harness.cli")
LIBRARIES += ("harness.run", "harness.engine.engine", "harness.dpo.trainer", "lmms_eval.tasks")
LIBRARIES += ("evaluate", "sacrebleu", "rich.console", "matplotlib.figure", "harness_seva")
LIBRARIES += ("harness_sima", "harness.dpo.session", "harness.benchmark.task")
"""What a run imports."""


def import_libraries() -> None:
    """Import what a run imports, so that those forked from here do not import it one by one."""
    for name in LIBRARIES:
        importlib.import_module(name)


def harness(
    *words: object,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    encoding: str = "utf-8",
    call: Callable[[], None] = main,
) -> subprocess.CompletedProcess[str]:
    """Run one command line to its end, as ``subprocess.run([...], text=True)`` does.

    Args:
        words: what follows ``harness`` on the command line.
        cwd: the folder it runs in; by default this one.
        env: variables beside those of this process.
        encoding: of its output.
        call: what reads ``sys.argv`` and ends the process.
    """
    arguments = ["harness", *map(str, words)]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = os.fork()
        if process == 0:
            _child(arguments, (out.fileno(), err.fileno()), cwd, env or {}, encoding, call)
        _, status = os.waitpid(process, 0)
        said = []
        for file in (out, err):
            file.seek(0)
            said.append(file.read().decode(encoding))
    return subprocess.CompletedProcess(arguments, os.waitstatus_to_exitcode(status), *said)


def _child(
    arguments: list[str],
    files: tuple[int, int],
    cwd: Path | None,
    env: Mapping[str, str],
    encoding: str,
    call: Callable[[], None],
) -> NoReturn:
    """Become the command. Whatever happens, the tests do not go on in this process."""
    code = 70
    try:
        for number, file in enumerate(files, start=1):
            os.dup2(file, number)
        sys.stdin = open(os.devnull)  # noqa: SIM115
        sys.stdout = open(1, "w", encoding=encoding, closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding=encoding, errors="backslashreplace", closefd=False)  # noqa: SIM115
        os.environ.update(env)
        os.chdir(cwd or os.curdir)
        sys.argv = arguments
        call()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
