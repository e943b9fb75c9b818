"""SLURM: ending a study's jobs, and why one ended."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path

from recenter_utils.errors import RecenterError

#: Seconds that jobs have to go when they are told to.
PATIENCE = 120.0

#: What a job's log or its state says, and the ending that it means; the first that fits.
_ENDINGS = (
    (r"DUE TO TIME LIMIT|\bTIMEOUT\b|\bDEADLINE\b", "time"),
    (r"[Ee]xceeded (?:job )?memory limit|[Oo]ut.of.memory|oom.kill|OUT_OF_MEMORY", "memory"),
    (r"\bPREEMPTED\b|DUE TO PREEMPTION", "preempted"),
    (r"\bNODE_FAIL\b|\bBOOT_FAIL\b|DUE TO NODE FAILURE", "node"),
    (r"\bCANCELLED\b", "cancelled"),
)

#: Lines that are SLURM's or of SLURM: what a notebook prints may hold the same words.
_SLURMS = re.compile(r"\s*(?:slurmstepd|srun:|(?:message: )?SLURM-job)")


def end(name: str) -> None:
    """End a study's jobs, those that run and those that wait, and return when none is left.

    Raises RecenterError where SLURM does not answer or a job does not go.
    """
    give_up = time.monotonic() + PATIENCE
    while jobs := _active(name):
        if time.monotonic() > give_up:
            raise RecenterError(
                f"Jobs {', '.join(jobs)} of an earlier run do not end: 'scancel {' '.join(jobs)}', and run again."
            )
        subprocess.run(["scancel", *jobs], capture_output=True, check=False, timeout=60)
        time.sleep(1)


def ending(job: str, said: str) -> tuple[str, str]:
    """Return how a job ended (`time`, `memory`, `preempted`, `node`, `cancelled`, `refused`, or ""), and words to it.

    said: what Snakemake said of the job, with its log.
    """
    if refused := re.search(r"SLURM sbatch failed\. The error message was '(.*?)'\.\n", said, re.DOTALL):
        return "refused", " ".join(refused[1].removeprefix("sbatch: error: ").split())
    words = "\n".join(line for line in said.splitlines() if _SLURMS.match(line))
    return next((kind for pattern, kind in _ENDINGS if re.search(pattern, words)), ""), ""


def log_of(folder: Path, notebook: str, job: str) -> Path:
    """Where SLURM writes what a job says. folder: the study's."""
    return folder / ".snakemake" / "slurm_logs" / f"rule_{notebook}" / f"{job}.log"


def _active(name: str) -> list[str]:
    """Return the numbers of a study's jobs that are not over."""
    if shutil.which("squeue") is None:
        raise RecenterError(
            "An earlier run handed jobs to SLURM, and 'squeue' is not on this machine to look for them: run the "
            f"command where jobs are handed in, and see there that none of '{name}' is left."
        )
    asked = ["squeue", "--me", "--noheader", "--format=%A|%j"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise RecenterError(f"SLURM does not say which jobs there are ({done.stderr.strip()}): try again later.")
    rows = [line.partition("|") for line in done.stdout.splitlines()]
    return [number for number, _, called in rows if called.startswith(f"{name}_")]
