"""Run a command for as long as the process that started this one lives.

    python guard.py COMMAND...

Standard input is a pipe from the parent. When it closes, because the parent ended in whatever way,
the command and everything that it started are ended. Standard library only: it starts at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

GRACE = 10.0  # seconds to end in an orderly way


def _end(child: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        until = time.monotonic() + GRACE
        while child.poll() is None and time.monotonic() < until:
            time.sleep(0.05)


def main() -> int:
    """Run the command and return its exit code."""
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)

    def watch() -> None:
        while os.read(0, 1):
            pass
        _end(child)

    threading.Thread(target=watch, daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _end(child))
    code = child.wait()
    _end(child)  # what it started and left behind
    return code


if __name__ == "__main__":
    sys.exit(main())
