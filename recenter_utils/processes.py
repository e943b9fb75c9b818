"""Processes of a run: one run at a time a study, and nothing left over from a killed one."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from recenter_utils.errors import RecenterError


@contextmanager
def only_run(lock_file: Path, what: str) -> Iterator[None]:
    """Hold a lock, or raise naming the process that holds it; what: how the error begins, `… is being run already`."""
    # A lock that the system drops when its holder dies, so that no crash leaves a study locked.
    with lock_file.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise RecenterError(
                f"{what} by process {lock.read().strip() or 'unknown'}: wait for it, or end it."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def record(file: Path, pid: int) -> None:
    """Remember a process in a `.pid` file, with its start: numbers of processes are used again."""
    file.write_text(json.dumps([pid, psutil.Process(pid).create_time()]), "utf-8")


def end_orphans(runs: Path) -> None:
    """End what outlived a killed run: it would start notebooks and write tables under the feet of this one."""
    # Snakemake first, or it would start the next notebook when one is ended.
    for file in sorted(runs.glob("*.pid"), key=lambda path: path.stem != "snakemake"):
        try:
            pid, started = json.loads(file.read_text("utf-8"))
            process = psutil.Process(pid)
            if abs(process.create_time() - started) < 1:
                _end(process)
        except (psutil.NoSuchProcess, ValueError, OSError):
            pass
        file.unlink(missing_ok=True)
    for folder in (runs.parent / "cache").glob("staging-*"):
        if not psutil.pid_exists(int(folder.name.partition("-")[2])):
            shutil.rmtree(folder, ignore_errors=True)


def _end(process: psutil.Process) -> None:
    family = [process, *process.children(recursive=True)]
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(family, timeout=10)
