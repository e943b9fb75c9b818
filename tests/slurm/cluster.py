"""A SLURM of one node for the time of the tests: Debian's programs, as whoever runs the tests, on the loopback only."""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd")

#: Where Debian keeps programs that only administrators start.
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"

#: Memory and processors are counted; nothing needs systemd or control groups. What a node says of its memory is not
#: checked against the machine, so that notebooks may ask for what they ask for.
_CONFIGURATION = """
ClusterName=recenter
SlurmctldHost=localhost(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill,UsePss
AccountingStorageType=accounting_storage/none
ReturnToService=2
KillWait=2
MinJobAge=7200
GresTypes=gpu
NodeName=localhost NodeAddr=127.0.0.1 CPUs=2 RealMemory=40000 Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes=localhost Default=YES MaxTime=INFINITE State=UP
"""

#: Files of munged, by option.
_OPTIONS = {"key-file": ".key", "socket": ".socket", "pid-file": ".pid", "log-file": ".log", "seed-file": ".seed"}


def missing() -> list[str]:
    """Return the programs that are not on this machine."""
    return [name for name in (*PROGRAMS, "sbatch") if shutil.which(name, path=_PATH) is None]


@contextmanager
def running(folder: Path) -> Iterator[dict[str, str]]:
    """Start a cluster in an empty folder with a short path, and yield the environment that leads to it; end it after.

    A socket's name has room for about a hundred letters.
    """
    for name in ("state", "spool", "bin"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    text = _CONFIGURATION.format(user=getpass.getuser(), folder=folder, ports=_free_ports(2))
    (folder / "slurm.conf").write_text(text.lstrip(), "utf-8")
    # A node must have what it says it has, and any device will do where nobody opens it.
    (folder / "gres.conf").write_text("NodeName=localhost Name=gpu File=/dev/null\n", "utf-8")
    there = {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": f"{folder}/bin:{_PATH}"}
    # The executor takes SLURM's variables from a job before it calls `srun`, which finds an installed cluster without.
    srun = folder / "bin" / "srun"
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={there["SLURM_CONF"]} exec {shutil.which("srun")} "$@"\n', "utf-8")
    srun.chmod(0o755)
    munge = [f"--{name}={folder}/munge{end}" for name, end in _OPTIONS.items()]
    with ExitStack() as ends:
        ends.enter_context(_daemon(["munged", "--foreground", "--force", *munge], folder, there))
        _until(lambda: (folder / "munge.socket").exists(), "munged", folder)
        ends.enter_context(_daemon(["slurmctld", "-D", "-c"], folder, there))
        _until(lambda: not asked(there, "scontrol", "ping").count("DOWN"), "slurmctld", folder)
        ends.enter_context(_daemon(["slurmd", "-D", "-c", "-N", "localhost"], folder, there))
        _until(lambda: asked(there, "sinfo", "--noheader", "--format=%T").strip() == "idle", "slurmd", folder)
        try:
            yield there
        finally:
            asked(there, "scancel", "--user", getpass.getuser())
            _until(lambda: not asked(there, "squeue", "--noheader"), "its jobs", folder)


def asked(there: Mapping[str, str], *command: str) -> str:
    """Return what one of SLURM's commands prints, also where it fails."""
    done = subprocess.run(
        command, env=os.environ | there, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    return done.stdout


@contextmanager
def _daemon(command: list[str], folder: Path, there: Mapping[str, str]) -> Iterator[None]:
    with (folder / f"{command[0]}.said").open("wb") as said:
        process = subprocess.Popen(command, env=os.environ | there, stdout=said, stderr=said, start_new_session=True)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _until(true: Callable[[], object], what: str, folder: Path, seconds: float = 60.0) -> None:
    give_up = time.monotonic() + seconds
    while not true():
        if time.monotonic() > give_up:
            logs = "".join(path.read_text("utf-8", "replace")[-2000:] for path in folder.glob("*.[ls]*"))
            raise AssertionError(f"{what} did not start or end in time:\n{logs}")
        time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]
