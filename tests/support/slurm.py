"""A real SLURM, on loopback, for as long as some tests need it: nodes of one machine."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import pytest

MISSING = "slurmctld, slurmd or sbatch is not installed: apt-get install slurm-wlm"
_CONF = """
ClusterName=harness
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
AuthType=auth/none
CredType=cred/none
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,bf_interval=1
SlurmdParameters=config_overrides
SwitchType=switch/none
MpiDefault=none
AccountingStorageType=accounting_storage/none
KillWait=2
SlurmdTimeout=10
ReturnToService=2
{nodes}
PartitionName=a Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@contextmanager
def slurm(folder: Path, nodes: Sequence[str] = ()) -> Iterator[Path]:
    """Start a controller and nodes, let ``SLURM_CONF`` name them, and end all with their jobs.

    The tests are skipped where SLURM is not installed; one that does not start is a failure.

    Args:
        folder: for the configuration, the state and the logs.
        nodes: their names; by default one node that has this machine's name.
    """
    if not all(shutil.which(name) for name in ("slurmctld", "slurmd", "sbatch", "squeue")):
        pytest.skip(MISSING)
    (folder / "state").mkdir(parents=True)
    conf, host = folder / "slurm.conf", socket.gethostname().split(".")[0]
    nodes = nodes or [host]
    control, *ports = _free_ports(1 + len(nodes))
    lines = [
        f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 State=UNKNOWN"
        for name, port in zip(nodes, ports, strict=True)
    ]
    parts = {"host": host, "port": control, "user": getpass.getuser(), "folder": folder}
    conf.write_text(_CONF.format(**parts, nodes="\n".join(lines)))
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(conf)
    daemons = []
    try:
        for command in (["slurmctld"], *(["slurmd", "-N", name] for name in nodes)):
            log = (folder / f"{command[-1]}.log").open("w")
            daemons.append(subprocess.Popen([*command, "-D"], stdout=log, stderr=log))
        _wait_until_idle(folder, daemons)
        yield folder
    finally:
        with suppress(subprocess.SubprocessError, OSError):
            subprocess.run(["scancel", f"--user={getpass.getuser()}"], timeout=20, check=False)
            _wait(lambda: not _said("squeue", "--noheader"), 20)
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            daemon.wait(30)
        os.environ.pop("SLURM_CONF")
        if before is not None:
            os.environ["SLURM_CONF"] = before


def lose_node(node: str) -> None:
    """Kill a node: its daemon, and the jobs on it with all their processes."""
    daemon = next(each for each in _processes("slurmd") if node in each.cmdline())
    steps = [each for each in _processes("slurmstepd") if _node_of(each) == node]
    gone = [daemon, *steps, *(below for each in steps for below in each.children(recursive=True))]
    for each in gone:
        with suppress(psutil.Error):
            each.kill()
    psutil.wait_procs(gone, timeout=20)


def _processes(name: str) -> list[psutil.Process]:
    return [each for each in psutil.process_iter(["name"]) if each.info["name"] == name]


def _node_of(step: psutil.Process) -> str:
    return next(
        (each.environ().get("SLURMD_NODENAME", "") for each in step.children(recursive=True)), ""
    )


def _wait_until_idle(folder: Path, daemons: list[subprocess.Popen[bytes]]) -> None:
    def idle() -> bool:
        states = _said("sinfo", "--noheader", "--Node", "--format=%T").split()
        return states == ["idle"] * (len(daemons) - 1)

    _wait(idle, 60)
    if not idle() or any(each.poll() for each in daemons):
        logs = [path.read_text()[-500:] for path in folder.glob("*.log")]
        pytest.fail("SLURM does not start: " + "\n".join(logs))


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=30).stdout


def _wait(until, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not until() and time.monotonic() < deadline:
        time.sleep(0.2)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
