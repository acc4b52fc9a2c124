"""A real Slurm on loopback: one node, no accounting, all state in one short folder."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

import pytest

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "sinfo")
CONF = """\
ClusterName=loop
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
SlurmctldPort={port}
SlurmdPort={next_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/log/c.log
SlurmdLogFile={folder}/log/d.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
ReturnToService=2
MinJobAge=3600
SchedulerParameters=sched_interval=1,batch_sched_delay=0
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=8000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str | None:
    """Why no Slurm can be started here, or None."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"Slurm is not installed: {', '.join(missing)} not found (Debian: slurm-wlm, munge)"
    return None if os.geteuid() == 0 else "starting Slurm on loopback needs root"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class LoopbackSlurm:
    """Daemons that live as long as the context; `env` makes the commands find them."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="slurm", dir="/tmp"))
        host, port = socket.gethostname().split(".")[0], _free_port()
        for name in ("state", "spool", "log", "bin"):
            (self.folder / name).mkdir()
        self.conf = self.folder / "slurm.conf"
        cpus = os.cpu_count() or 1
        self.conf.write_text(
            CONF.format(host=host, folder=self.folder, port=port, next_port=_free_port(), cpus=cpus)
        )
        # The executor's inner step drops SLURM_CONF, so that srun would not find these daemons.
        srun = self.folder / "bin" / "srun"
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={self.conf} exec {shutil.which("srun")} "$@"\n')
        srun.chmod(0o755)
        self.env = {"SLURM_CONF": str(self.conf), "PATH": f"{srun.parent}:{os.environ['PATH']}"}

    def _call(self, *command: str) -> str:
        done = subprocess.run(
            command, env={**os.environ, **self.env}, capture_output=True, text=True, timeout=30
        )
        return done.stdout + done.stderr

    def __enter__(self) -> LoopbackSlurm:
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        os.chmod(self.folder, 0o755)
        files = {
            "socket": "munge.socket",
            "pid-file": "munge.pid",
            "log-file": "munge.log",
            "seed-file": "munge.seed",
        }
        options = [f"--{option}={self.folder / name}" for option, name in files.items()]
        said = self._call("munged", "--force", f"--key-file={key}", *options)
        said += self._call("slurmctld", "-c", "-f", str(self.conf))
        said += self._call("slurmd", "-f", str(self.conf))
        for _ in range(100):
            if self._call("sinfo", "-h", "-o", "%T").strip() == "idle":
                return self
            time.sleep(0.2)
        self.__exit__(None, None, None)
        pytest.fail(f"Slurm did not come up: {said}")

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for name in ("slurmd.pid", "slurmctld.pid", "munge.pid"):
            pid = self.folder / name
            if pid.exists() and pid.read_text().strip():
                try:
                    os.kill(int(pid.read_text()), 15)
                except ProcessLookupError:
                    continue
        time.sleep(1)
        shutil.rmtree(self.folder, ignore_errors=True)
