"""Runs of the demo as jobs of a real SLURM."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.slurm.cluster import asked
from tests.slurm.conftest import impatient
from tests.workspaces import environment, recenter, table_bytes

MERGING = ("run", "demo", "--only", "03-merging", "--profile", "slurm")


def jobs(slurm: dict[str, str], state: str) -> list[str]:
    """The numbers of this user's jobs in a state."""
    return asked(slurm, "squeue", "--me", "--noheader", f"--states={state}", "--format=%A").split()


def until(true: Callable[[], object], process: subprocess.Popen[str] | None = None, seconds: float = 300) -> None:
    give_up = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < give_up
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.1)


@contextmanager
def begun(workspace: Path, slurm: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A run in the background, killed at the end if it is still there."""
    with subprocess.Popen(
        [sys.executable, "-m", "recenter_utils.cli", *MERGING],
        env=environment(workspace) | slurm,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_jobs_leave_the_tables_of_a_local_run_byte_for_byte(
    slurm: dict[str, str], workspace: Path, finished_demo: Path
) -> None:
    before = len(jobs(slurm, "COMPLETED"))
    done = recenter(impatient(workspace), *MERGING, **slurm)
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    for name in ("01-users", "02-attributes", "03-merging"):
        assert f"{name} …" in said
        assert any(re.fullmatch(rf"{name} done in \d+ s", line) for line in said)
    made, local = table_bytes(workspace), table_bytes(finished_demo)
    assert "merged_attributes.parquet" in made
    assert made == {name: local[name] for name in made}
    assert len(jobs(slurm, "COMPLETED")) == before + 3
    runs = workspace / "data" / "demo" / "runs"
    assert not [*runs.glob("*.pid"), *runs.glob("jobs.json")]
    again = recenter(workspace, *MERGING, **slurm)
    assert (again.returncode, again.stderr) == (0, "")
    assert len(jobs(slurm, "COMPLETED")) == before + 3


def test_a_job_asks_for_what_its_notebook_declares(slurm: dict[str, str], stale_merging: Path) -> None:
    profile = stale_merging / "notebooks" / "profiles" / "slurm" / "config.yaml"
    profile.write_text(f"{profile.read_text()}\nset-resources:\n  03-merging:\n    gpu: 1\n")
    asked(slurm, "scontrol", "update", "nodename=localhost", "state=drain", "reason=test")
    with begun(stale_merging, slurm) as process:
        try:
            until(lambda: jobs(slurm, "PENDING"), process)
            told = asked(slurm, "scontrol", "show", "job", jobs(slurm, "PENDING")[0])
        finally:
            asked(slurm, "scancel", *jobs(slurm, "PENDING"))
            asked(slurm, "scontrol", "update", "nodename=localhost", "state=resume")
        _, said = process.communicate(timeout=300)
    assert "TimeLimit=06:00:00" in told
    assert "MinMemoryNode=16000M" in told
    assert "TresPerJob=gres:gpu:1" in told
    assert re.search(r"JobName=recenter-demo-[0-9a-f]{8}_", told)
    assert re.search(r"^Notebook 03-merging \(job \d+\) was cancelled\. ", said)


def test_a_cancelled_job_is_told_and_the_next_run_goes_on(
    slurm: dict[str, str], stale_merging: Path, finished_demo: Path
) -> None:
    (stale_merging / "data" / "demo" / "tables" / "merged_attributes.parquet").unlink()
    pid = stale_merging / "data" / "demo" / "runs" / "03-merging.pid"
    with begun(stale_merging, slurm) as process:
        until(pid.is_file, process)
        asked(slurm, "scancel", *jobs(slurm, "RUNNING"))
        _, said = process.communicate(timeout=300)
    assert process.returncode == 1
    assert re.search(r"^Notebook 03-merging \(job \d+\) was cancelled\. .*run again", said, re.MULTILINE)
    done = recenter(stale_merging, *MERGING, **slurm)
    assert done.returncode == 0, done.stderr
    assert table_bytes(stale_merging) == table_bytes(finished_demo)


@pytest.mark.parametrize(
    ("mem_mb", "told"),
    [
        (
            120,
            (
                "was ended for using more memory than it asked for",
                "'mem_mb' for 03-merging under 'set-resources' of {}",
            ),
        ),
        (9_000_000, ("Notebook 03-merging was not taken by the scheduler: ", "Correct what {} asks for.")),
    ],
    ids=["over its memory", "refused"],
)
def test_a_job_with_unfit_memory_is_told_with_what_to_change(
    mem_mb: int, told: tuple[str, ...], slurm: dict[str, str], stale_merging: Path
) -> None:
    profile = stale_merging / "notebooks" / "profiles" / "slurm" / "config.yaml"
    profile.write_text(f"{profile.read_text()}\nset-resources:\n  03-merging:\n    mem_mb: {mem_mb}\n")
    done = recenter(stale_merging, *MERGING, **slurm)
    assert done.returncode == 1
    assert all(words.format(profile) in done.stderr for words in told)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("waiting", [True, False], ids=["waiting", "running"])
def test_a_killed_run_leaves_no_job_that_works_beside_the_next(
    waiting: bool, slurm: dict[str, str], stale_merging: Path, finished_demo: Path
) -> None:
    if waiting:
        asked(slurm, "scontrol", "update", "nodename=localhost", "state=drain", "reason=test")
    state = "PENDING" if waiting else "RUNNING"
    with begun(stale_merging, slurm) as process:
        try:
            until(lambda: jobs(slurm, state), process)
            left = jobs(slurm, state)
            process.kill()  # only the command: Snakemake and its jobs live on
        finally:
            asked(slurm, "scontrol", "update", "nodename=localhost", "state=resume")
    done = recenter(stale_merging, *MERGING, **slurm)
    assert done.returncode == 0, done.stderr
    # One that ran has been ended with its processes, before or by its number.
    assert set(left) <= {*jobs(slurm, "CANCELLED"), *jobs(slurm, "FAILED")}
    assert table_bytes(stale_merging) == table_bytes(finished_demo)
    mine = str(stale_merging)
    assert [p for p in psutil.process_iter(["cmdline"]) if mine in " ".join(p.info["cmdline"] or [])] == []


def test_nothing_of_the_cluster_listens_beyond_the_loopback(slurm: dict[str, str]) -> None:
    def listening() -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for process in psutil.process_iter(["name"]):
            if process.info["name"] in ("slurmctld", "slurmd", "slurmstepd", "srun"):
                with suppress(psutil.NoSuchProcess):
                    ends = [end for end in process.net_connections("inet") if end.status == psutil.CONN_LISTEN]
                    found.setdefault(process.info["name"], set()).update(end.laddr.ip for end in ends)
        return found

    number = asked(slurm, "sbatch", "--parsable", "--mem=100", "--output=/dev/null", "--wrap=srun sleep 60").strip()
    try:
        until(lambda: listening().get("srun"))
        assert set().union(*listening().values()) == {"127.0.0.1"}
    finally:
        asked(slurm, "scancel", number)
