"""Start the same command in several processes of this machine, and end them together.

``accelerate launch`` does the same, on several machines too, but turns every exit code into 1 and
prints a traceback; the exit codes are an interface. The environment set here
is the one it sets, so either works.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence

from harness.errors import ExitCode, HarnessError

CHILD = "HARNESS_LAUNCHED"
"""Set for a process whose standard input closes when the process that started it is gone."""
_GRACE = 20.0  # seconds in which the processes may notice by themselves that one has died
_POLL = 0.1


def launch(count: int, arguments: Sequence[str]) -> int:
    """Run ``harness`` with ``arguments`` in ``count`` processes.

    Returns:
        The exit code of process 0.

    Raises:
        HarnessError: if another process died and process 0 did not notice.
    """
    shared = {
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS")
        or str(max((os.cpu_count() or 1) // count, 1)),
        CHILD: "1",
    }
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for rank in range(count):
            own = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            command = [sys.executable, "-m", "harness", *arguments]
            environment = {**os.environ, **shared, **own}
            # The pipe says nothing: that it closes tells a child that this process is gone.
            processes.append(subprocess.Popen(command, env=environment, stdin=subprocess.PIPE))
        return _wait(processes)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


def launched() -> bool:
    """Tell whether this process is one of several, whoever started them."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def end_with_parent() -> None:
    """Let a process that was started with :data:`CHILD` die when its parent does."""
    if os.environ.pop(CHILD, "") == "1":  # what it starts itself has another standard input
        threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


def _wait(processes: Sequence[subprocess.Popen[bytes]]) -> int:
    first, others = processes[0], processes[1:]
    died: float | None = None
    while True:
        try:
            if (code := first.poll()) is not None:
                return _exit_code(code)
            failed = [rank for rank, other in enumerate(others, start=1) if other.poll()]
            if failed and died is None:
                died = time.monotonic()
            if died is not None and time.monotonic() - died > _GRACE:
                raise HarnessError(
                    f"Process {failed[0]} of {len(processes)} ended with code "
                    f"{others[failed[0] - 1].returncode}. See its own message above, then run "
                    "the same command again; finished answers are reused."
                )
            time.sleep(_POLL)
        except KeyboardInterrupt:
            first.wait()  # the terminal has interrupted it too; its exit code says so


def _exit_code(code: int) -> int:
    return 128 + signal.Signals(-code) if code < 0 else code


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def run_distributed(count: int, job: Callable[[], ExitCode]) -> int:
    """Run ``tell`` in the first of ``count`` processes and keep the others at its service.

    Under ``accelerate launch`` the processes are there already; ``count`` is then of no account.

    Returns:
        The exit code.
    """
    if count > 1 and not launched():
        return launch(count, sys.argv[1:])
    if not launched():
        return job()
    from harness.model.distributed import LostError, ranks

    if ranks().rank > 0:
        try:
            ranks().serve()
        except KeyboardInterrupt:
            return ExitCode.INTERRUPTED  # the first process says so
        except SystemExit as ended:
            if not isinstance(ended.__cause__, LostError):
                raise
            return ExitCode.FAILED  # the process that died has said why
        return ExitCode.DONE
    code = job()
    ranks().dismiss()
    return code
