"""Run a command for as long as the process that started this one lives.

    python guard.py FOLDER COMMAND...

Standard input is a pipe from the parent. When it closes, because the parent ended in whatever way,
the command and everything that it started are ended, and the folder is removed. Where the command
ends before, what its output says (``log.txt``) stays and the rest of the folder is removed.
Standard library only: it starts at once.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

GRACE = 10.0  # seconds to end in an orderly way
LOG = "log.txt"


def _end(child: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        until = time.monotonic() + GRACE
        while child.poll() is None and time.monotonic() < until:
            time.sleep(0.05)


def _tidy(folder: str, *, log: bool) -> None:
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        elif not (log and entry.name == LOG):
            os.unlink(entry.path)
    if not log:
        os.rmdir(folder)


def main() -> int:
    """Run the command and return its exit code."""
    folder, *command = sys.argv[1:]
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    closed = threading.Event()

    def watch() -> None:
        while os.read(0, 1):
            pass
        closed.set()
        _end(child)

    threading.Thread(target=watch, daemon=True).start()

    def told(*_: object) -> None:  # "wait" below holds a lock, which a thread can wait for
        threading.Thread(target=_end, args=(child,), daemon=True).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, told)
    code = child.wait()
    _end(child)  # what it started and left behind
    with contextlib.suppress(OSError):
        _tidy(folder, log=not closed.is_set())
    return code


if __name__ == "__main__":
    sys.exit(main())
