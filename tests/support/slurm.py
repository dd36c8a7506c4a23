"""A real SLURM of one node, on loopback, for as long as some tests need it."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

MISSING = "slurmctld, slurmd or sbatch is not installed: apt-get install slurm-wlm"
_CONF = """
ClusterName=harness
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/none
CredType=cred/none
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
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
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=a Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@contextmanager
def slurm(folder: Path) -> Iterator[Path]:
    """Start a controller and a node, let ``SLURM_CONF`` name them, and end both with their jobs.

    The tests are skipped where SLURM is not installed; one that does not start is a failure.
    """
    if not all(shutil.which(name) for name in ("slurmctld", "slurmd", "sbatch", "squeue")):
        pytest.skip(MISSING)
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    conf, host = folder / "slurm.conf", socket.gethostname().split(".")[0]
    conf.write_text(
        _CONF.format(host=host, ports=_free_ports(), user=getpass.getuser(), folder=folder)
    )
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(conf)
    daemons = []
    try:
        for name in ("slurmctld", "slurmd"):
            log = (folder / f"{name}.log").open("w")
            command = [name, "-D", *(("-N", host) if name == "slurmd" else ())]
            daemons.append(subprocess.Popen(command, stdout=log, stderr=log))
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


def _wait_until_idle(folder: Path, daemons: list[subprocess.Popen[bytes]]) -> None:
    _wait(lambda: "idle" in _said("sinfo", "--noheader"), 60)
    if "idle" not in _said("sinfo", "--noheader") or any(each.poll() for each in daemons):
        logs = [path.read_text()[-500:] for path in folder.glob("*.log")]
        pytest.fail("SLURM does not start: " + "\n".join(logs))


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=30).stdout


def _wait(until, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not until() and time.monotonic() < deadline:
        time.sleep(0.2)


def _free_ports() -> list[int]:
    with socket.socket() as one, socket.socket() as two:
        for each in (one, two):
            each.bind(("127.0.0.1", 0))
        return [one.getsockname()[1], two.getsockname()[1]]
