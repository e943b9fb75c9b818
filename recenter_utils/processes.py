"""Processes of a run: one run at a time a study, and nothing left over from a killed one."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
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
        lock.write(f"{os.getpid()} on {socket.gethostname()}")
        lock.flush()
        yield


def record(file: Path, pid: int) -> None:
    """Remember a process in a `.pid` file, with its start, as numbers are used again, and its machine."""
    with suppress(psutil.NoSuchProcess):  # it has ended already, and leaves nothing to end
        file.write_text(json.dumps([pid, _start(psutil.Process(pid)), socket.gethostname()]), "utf-8")


def end_orphans(runs: Path, end_jobs: Callable[[Path], bool] = lambda runs: False) -> None:
    """End what outlived a killed run: it would start notebooks and write tables under the feet of this one.

    end_jobs: ends what was handed to a scheduler, wherever it is, and returns whether anything had been.

    Raises RecenterError where something may be at work on another machine that cannot be ended from here.
    """
    elsewhere: dict[Path, RecenterError] = {}
    # Snakemake first, or it would start the next notebook when one is ended.
    for file in sorted(runs.glob("*.pid"), key=lambda path: path.stem != "snakemake"):
        try:
            pid, started, *host = json.loads(file.read_text("utf-8"))
            if host and host[0] != socket.gethostname():
                elsewhere[file] = _elsewhere(file, pid, host[0])
                if file.stem == "snakemake":
                    raise elsewhere[file]
                continue
            process = psutil.Process(pid)
            if _start(process) == started:
                _end(process)
        except (psutil.NoSuchProcess, ValueError, OSError):
            pass
        file.unlink(missing_ok=True)
    for process in _unrecorded(runs.parent):
        _end(process)
    ended = end_jobs(runs)
    for file, problem in elsewhere.items():
        if not ended:
            raise problem
        file.unlink(missing_ok=True)
    for folder in (runs.parent / "cache").glob("staging-*"):
        if not psutil.pid_exists(int(folder.name.partition("-")[2])):
            shutil.rmtree(folder, ignore_errors=True)
    for partial in (runs.parent / "tables").glob(".*.partial"):  # of a table that was being written, with the writer
        writer = partial.name.split(".")[-2]
        if writer.isdigit() and not psutil.pid_exists(int(writer)):
            partial.unlink(missing_ok=True)


def _elsewhere(file: Path, pid: int, host: str) -> RecenterError:
    return RecenterError(
        f"Process {pid} of an earlier run may still be at work on machine {host}: see there that it has ended, delete "
        f"{file}, and run again."
    )


def _start(process: psutil.Process) -> float:
    """Return when a process started, on a clock that nobody sets: the wall clock may have jumped since."""
    try:
        after_name = Path(f"/proc/{process.pid}/stat").read_text("utf-8", "replace").rpartition(")")[2]
        return float(after_name.split()[19])  # ticks since the machine started; field 22 of proc(5)
    except OSError:
        return process.create_time()


def _unrecorded(folder: Path) -> list[psutil.Process]:
    """Return the Snakemake processes of a study's runs: a run killed as it started one had not recorded it yet."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "snakemake" in words and any(pair == ("--directory", str(folder)) for pair in pairwise(words)):
            found.append(process)
    return found


def _end(process: psutil.Process) -> None:
    family = [process, *process.children(recursive=True)]
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(family, timeout=10)
