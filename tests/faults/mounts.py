"""Disks of a fault's own: a small one, and one that may only be read, mounted where nobody outside can see them.

In a namespace of user and mounts, which needs no privilege where the system allows it; the mounts go with it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from tests.faults.lab import SHORT, STUDY, Lab, cache_of, differing, repeated, study_of, watch
from tests.faults.outcome import Outcome
from tests.workspaces import ROOT, recenter

NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]

#: Bytes that are free when a run starts, one run after the other.
FREE = (0, 30_000, 150_000, 400_000, 700_000, 1_200_000)

#: The size of the small disk: the study's chats and all that its first notebooks make.
SIZE = "64m"


def why_not() -> str:
    """Return why no disk can be mounted here; empty where one can."""
    if not shutil.which("unshare"):
        return "there is no unshare (util-linux) here"
    tried = subprocess.run(
        [*NAMESPACE, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, text=True, check=False
    )
    return f"no disk can be mounted here ({tried.stderr.strip()})" if tried.returncode else ""


def disks(lab: Lab) -> list[Outcome]:
    """Run the first notebooks on a disk that is full again and again, and on one that may only be read."""
    full, readonly = Outcome("disk full"), Outcome("read-only cache")
    if problem := why_not():
        full.problem = readonly.problem = problem
        return [full, readonly]
    for outcome, name in ((full, "full"), (readonly, "readonly")):
        with outcome.timed():
            found = inside(lab, name)
        for key, value in found.items():
            if key != "seconds":
                setattr(outcome, key, value)
        lab.say(f"  {outcome.fault}: {outcome.injected} times, {outcome.lost} lost")
    return [full, readonly]


def inside(lab: Lab, name: str) -> dict[str, object]:
    """Inject one of the two in a namespace of its own; return the outcome's fields."""
    short, workspace = lab.short, lab.new(name)
    done = subprocess.run(
        [*NAMESPACE, sys.executable, "-m", "tests.faults.mounts", name, str(workspace), str(short)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return {"injected": 1, "problem": (done.stderr or done.stdout)[-500:]}
    return dict(json.loads(done.stdout.splitlines()[-1]))


def full_disk(workspace: Path, short: Path) -> Outcome:
    """Put the study on a small disk with hardly anything free, run, free a little more, run again, and so on."""
    outcome, study = Outcome("disk full"), study_of(workspace)
    with _mounted_over(study, "-t", "tmpfs", "-o", f"size={SIZE}", "none"):
        watch(cache_of(workspace))
        ballast = study / "ballast"
        problems = []
        for free in FREE:
            _fill(ballast, free)
            done = recenter(workspace, "run", STUDY, "--only", SHORT)
            if not done.returncode:
                ballast.unlink()
                break  # that was room enough: no fault
            outcome.injected += 1
            said = done.stderr + done.stdout
            if "Traceback" in said:
                problems.append(f"a traceback with {free:,} bytes free: {said[-1200:]}")
            problems.append(outcome.heard(said, "No space left on device") and outcome.heard(said, "disk is full"))
            ballast.unlink()
        problems += _resumed(workspace, short, outcome)
    outcome.problem = "; ".join(filter(None, problems))
    outcome.survived = 0 if outcome.problem else outcome.injected
    return outcome


def read_only(workspace: Path, short: Path) -> Outcome:
    """Make the cache's folder, then the whole study, a place that may only be read; run; and make it writable again."""
    outcome, study, problems = Outcome("read-only cache"), study_of(workspace), []
    watch(cache_of(workspace))
    for folder in (study / "cache", study):
        with _mounted_over(folder, "--bind", str(folder)):
            subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True, capture_output=True)
            done = recenter(workspace, "run", STUDY, "--only", SHORT)
            outcome.injected += 1
            words = ("Read-only file system", str(folder))
            problems.append(outcome.heard(done.stderr, *words) if done.returncode else "the run did not notice")
            if "Traceback" in done.stderr:
                problems.append(f"a traceback: {done.stderr[-1200:]}")
    problems += _resumed(workspace, short, outcome)
    outcome.problem = "; ".join(filter(None, problems))
    outcome.survived = 0 if outcome.problem else outcome.injected
    return outcome


def _resumed(workspace: Path, short: Path, outcome: Outcome) -> list[str]:
    done = recenter(workspace, "run", STUDY, "--only", SHORT)
    outcome.asked_twice = repeated(cache_of(workspace))
    return [done.stderr[-800:] if done.returncode else "", differing(workspace, short)]


@contextmanager
def _mounted_over(folder: Path, *how: str) -> Iterator[None]:
    """Mount something over a folder, with what was in the folder in it."""
    kept = folder.with_name(f"{folder.name}.kept")
    shutil.copytree(folder, kept)
    subprocess.run(["mount", *how, str(folder)], check=True, capture_output=True)
    shutil.copytree(kept, folder, dirs_exist_ok=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)


def _fill(ballast: Path, free: int) -> None:
    """Fill the disk but for so many bytes."""
    with ballast.open("wb", buffering=0) as file:
        for size in (2**20, 4096):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
        file.truncate(max(file.tell() - free, 0))


def main() -> None:
    """Inject one fault here: `python -m tests.faults.mounts full WORKSPACE UNDISTURBED`, in a namespace."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("fault", choices=["full", "readonly"])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("undisturbed", type=Path)
    given = parser.parse_args()
    inject = full_disk if given.fault == "full" else read_only
    print(json.dumps(asdict(inject(given.workspace, given.undisturbed))))


if __name__ == "__main__":
    main()
