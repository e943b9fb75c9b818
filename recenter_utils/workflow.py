"""Running a study: its notebooks in order under Snakemake, one run at a time, resumed where it stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from recenter_utils import processes
from recenter_utils.declarations import declaration
from recenter_utils.errors import RecenterError
from recenter_utils.parameters import assign, differing
from recenter_utils.schedulers import jobs as scheduled
from recenter_utils.schedulers.kubernetes import JOBS, PROFILE
from recenter_utils.schedulers.profile import Profile, find, name_of_jobs
from recenter_utils.steps import Step, steps
from recenter_utils.study import Study

#: Lines of a job that the terminal shows; all else that Snakemake says goes to runs/snakemake.log.
PREFIX = "[recenter] "


def run(
    study: Study,
    only: str | None = None,
    given: Sequence[str] = (),
    jobs: int | None = None,
    profile: str | None = None,
) -> bool:
    """Execute what is out of date, in order, `jobs` notebooks at a time; return whether all went well.

    given: `name=value` texts; checked against the notebooks' parameters before anything runs. jobs: None for two, or
    for what the profile says. profile: name or path of a profile, for notebooks that run as jobs of a scheduler.
    """
    handed = find(profile, study.root) if profile else None
    plan = plan_of(study, given)
    wanted = needed(plan, declaration(only, study.root).name) if only else plan
    for source in study.settings.sources:
        if not study.source_path(source).exists():
            raise RecenterError(
                f"Source '{source.name}' of study '{study.name}' is not at {study.source_path(source)}: "
                f"correct 'path' in {study.folder / 'study.yaml'}."
            )
    runs = study.folder / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    with processes.only_run(runs / ".lock", f"Study '{study.name}' is being run already"):
        processes.end_orphans(runs, scheduled.end)
        stale = [step.name for step in wanted if step.condition() != "up to date"]
        if not stale:
            return True
        for step in wanted:
            for _, model in step.models() if step.name in stale else ():
                model.key()  # a missing one is said now, and not when the first notebook has worked for an hour
        (runs / "parameters.json").write_text(json.dumps({step.name: dict(step.parameters) for step in plan}), "utf-8")
        command = [
            sys.executable, "-m", "snakemake", "--snakefile", str(study.root / "notebooks" / "Snakefile"),
            "--directory", str(study.folder), "--config", f"study={study.folder}", f"handed={int(handed is not None)}",
            *(handed.options(name_of_jobs(study.folder), jobs) if handed else options_here(jobs)),
            "--scheduler", "greedy", "--nolock", "--rerun-incomplete", "--keep-going",
            "--quiet", "host", "progress",
            # Snakemake goes by times and by what it remembers; what the executed notebooks recorded decides.
            "--rerun-triggers", "mtime", "params", "input", "--forcerun", *stale,
            "--", wanted[-1].seen_from_study(wanted[-1].stamp) if only else "all",
        ]  # fmt: skip
        return _follow(command, runs / "snakemake.log", study.root, handed)


def options_here(jobs: int | None) -> list[str]:
    """Return Snakemake's options for notebooks on this machine."""
    # Two notebooks that load a model on the same GPUs at once do not fit: one has them all. Ray shares its own out.
    most = str(jobs or min(2, os.cpu_count() or 1))
    return ["--cores", most, "--resources", "gpu=1"]


def plan_of(study: Study, given: Sequence[str] = ()) -> list[Step]:
    """Return the study's steps with checked parameters."""
    entries = [step.entry for step in steps(study)]
    assigned = assign(given, entries, study.root)
    return steps(study, {e.name: differing(assigned[e.name], e.path(study.root)) for e in entries})


def needed(plan: Sequence[Step], chosen: str) -> list[Step]:
    """Return the step called `chosen` and those whose tables it reads, directly or through others, in order."""
    writers = {name: step for step in plan for name in step.entry.writes}
    found, todo = set[str](), [step for step in plan if step.name == chosen]
    while todo:
        step = todo.pop()
        found.add(step.name)
        todo += [writer for name in step.entry.reads if (writer := writers[name]).name not in found]
    return [step for step in plan if step.name in found]


def unfinished(study: Study, only: str | None = None) -> dict[str, int]:
    """Return the notebooks that ran with requests unanswered, and how many: of all, or of those that `only` needs."""
    plan = steps(study)
    wanted = needed(plan, declaration(only, study.root).name) if only else plan
    counts = {step.name: int((step.recorded() or {}).get("unanswered", 0)) for step in wanted}
    return {name: number for name, number in counts.items() if number}


def chains(plan: Sequence[Step]) -> dict[str, int]:
    """Return for each step how many steps the longest chain has that begins with it: those of long chains go first."""
    found: dict[str, int] = {}
    for step in reversed(plan):
        later = [other for other in plan if set(step.entry.writes) & set(other.entry.reads)]
        found[step.name] = 1 + max((found[other.name] for other in later), default=0)
    return found


def planned(study: str) -> list[Step]:
    """Return the steps as the run that is going on planned them. The Snakefile asks."""
    opened = Study.open(study)
    file = opened.folder / "runs" / "parameters.json"
    return steps(opened, json.loads(file.read_text("utf-8")) if file.is_file() else {})


def _follow(command: list[str], log: Path, root: Path, handed: Profile | None) -> bool:
    environment = os.environ | {"RECENTER_ROOT": str(root), "PYTHONUNBUFFERED": "1"}
    if handed:
        name = name_of_jobs(log.parents[1])
        scheduled.begin(log.parent, handed, name)
        # What a profile calls `python` is this one.
        path = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
        environment |= {"PATH": path, PROFILE: str(handed.file.parent), JOBS: name}
    environment.pop("PYTHONWARNINGS", None)
    pid = log.with_suffix(".pid")
    with (
        log.open("wb", buffering=0) as record,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            errors="replace",
            cwd=root,
        ) as process,
    ):
        assert process.stdout is not None
        processes.record(pid, process.pid)
        shown, silent, told = 0, dict[str, None](), set[str]()
        try:
            for line in scheduled.spoken(process.stdout, log.parent, PREFIX) if handed else process.stdout:
                with suppress(OSError):  # on a full disk the log ends, and the run goes on as far as it can
                    record.write(line.encode("utf-8", "replace"))
                if line.startswith(PREFIX):
                    shown += 1
                    print(said := line.removeprefix(PREFIX), end="", file=sys.stderr, flush=True)
                    if said.endswith(" …\n"):
                        silent[said.removesuffix(" …\n")] = None
                    for name in [name for name in silent if said.startswith((f"{name} done ", f"Notebook {name} "))]:
                        del silent[name]
                    if said.startswith("Notebook "):
                        told.add(said.split(" ", 2)[1])
                elif not handed and line.startswith("Error in rule "):
                    name = line.strip().removeprefix("Error in rule ").rstrip(":")
                    silent.pop(name, None)
                    if name not in told:  # itself, why
                        shown += 1
                        _say_ended(name)
        except KeyboardInterrupt:
            processes.end_orphans(log.parent, scheduled.end)
            raise
        finally:
            pid.unlink(missing_ok=True)
    if process.returncode < 0:
        cause = signal.Signals(-process.returncode).name
        print(f"Snakemake was ended from outside ({cause}): run again; what is finished is kept.", file=sys.stderr)
    if handed and process.returncode >= 0:
        for name, sentence in scheduled.endings(log.parent, log, handed).items():
            shown += 1
            silent.pop(name, None)
            print(sentence, file=sys.stderr)
        if process.returncode:
            scheduled.end(log.parent)  # Snakemake may have given up while others were at work
        scheduled.over(log.parent)
    for name in silent if process.returncode > 0 else ():
        _say_ended(name)
    if process.returncode > 0 and not shown:
        tail = "".join(log.read_text("utf-8").splitlines(keepends=True)[-15:])
        print(f"Snakemake stopped before any notebook ran:\n{tail}\nAll it said is in {log}.", file=sys.stderr)
    return process.returncode == 0


def _say_ended(name: str) -> None:
    sentence = "was ended from outside, by a kill or for want of memory: run again; what is finished is kept."
    print(f"Notebook {name} {sentence}", file=sys.stderr, flush=True)
