"""A clock that jumps: while a notebook runs, and between two runs, by a year in either direction."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from tests.faults.lab import SHORT, STUDY, Lab, cache_of, differing, repeated, start, study_of, watch
from tests.faults.outcome import Outcome
from tests.workspaces import recenter, table_bytes

YEAR = 365 * 86400.0

#: The notebook up to which is run after the jump, and the tables that it and the one before it make.
NEXT, MADE = "04-diversity", ("merged_attributes", "diversity", "user_diversity")


def jumped(lab: Lab) -> list[Outcome]:
    """Let all that was made so far be from the future or from long ago, before a run and in the middle of one."""
    outcome = Outcome("clock jumps")
    with outcome.timed():
        for years in (1, -1):
            for while_it_runs in (False, True):
                problem = _jump(lab, years * YEAR, while_it_runs, outcome)
                outcome.add(1, problem)
                when = "while a notebook runs" if while_it_runs else "between two runs"
                lab.say(f"  files {'a year ahead' if years > 0 else 'a year old'}, {when}: {problem or 'survived'}")
    return [outcome]


def _jump(lab: Lab, seconds: float, while_it_runs: bool, outcome: Outcome) -> str:
    workspace = lab.copy(lab.short, "clock")
    watch(cache_of(workspace))
    study = study_of(workspace)
    if while_it_runs:
        process = start(workspace, "--only", NEXT)
        while process.poll() is None and not (study / "runs" / "03-merging.pid").exists():
            time.sleep(0.02)
        shift(workspace, seconds)
        process.wait()
        said, code = (workspace / "said.log").read_text("utf-8"), process.returncode
    else:
        shift(workspace, seconds)
        done = recenter(workspace, "run", STUDY, "--only", NEXT)
        said, code = done.stderr, done.returncode
    if code:
        return f"the run failed: {said[-500:]}"
    if any(f"{name} …" in said for name in ("01-users", SHORT)):
        return f"what was finished ran again: {said[-500:]}"
    again = recenter(workspace, "run", STUDY, "--only", NEXT)
    if again.returncode or "…" in again.stderr:
        return f"what was finished was not left alone: {again.stderr[-500:]}"
    outcome.asked_twice += repeated(cache_of(workspace))
    if missing := [name for name in MADE if f"{name}.parquet" not in table_bytes(workspace)]:
        return f"no tables {', '.join(missing)}"
    return differing(workspace, lab.short) or differing(workspace, lab.undisturbed, MADE)


def shift(workspace: Path, seconds: float) -> None:
    """Date every file of a workspace so many seconds later."""
    for path in _files(workspace):
        try:
            known = path.stat()
            os.utime(path, (known.st_atime + seconds, known.st_mtime + seconds))
        except FileNotFoundError:  # a run is going on
            continue


def _files(workspace: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(workspace):
        yield from (Path(folder, name) for name in names)
