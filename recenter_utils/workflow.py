"""Running notebooks: papermill under Snakemake, one run at a time a study, resumed where it stopped."""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from recenter_utils import databases, notebooks, processes
from recenter_utils.declarations import declaration
from recenter_utils.errors import RecenterError, disk_problem
from recenter_utils.parameters import assign, differing
from recenter_utils.schedulers import jobs as scheduled
from recenter_utils.schedulers.kubernetes import JOBS, PROFILE
from recenter_utils.schedulers.profile import Profile, find, name_of_jobs
from recenter_utils.steps import Step, steps
from recenter_utils.study import Study

#: Lines of a job that the terminal shows; all else that Snakemake says goes to runs/snakemake.log.
PREFIX = "[recenter] "

#: What helps a notebook that ran out of memory.
MORE_MEMORY = "Give it more: raise the limit, close what else runs, or run one notebook at a time (--jobs 1)."


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
        return _follow(command, runs / "snakemake.log", study.root, jobs, handed)


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


def execute(step: Step) -> None:
    """Execute one notebook on its study; the executed copy appears only when every cell has run.

    Raises RecenterError naming the cell that failed; what ran until then is kept beside it.
    """
    # jsonschema, which papermill brings along, would compile a grammar of web addresses for two seconds. It does
    # without where the module is absent, and no schema of notebooks knows an address.
    sys.modules.setdefault("rfc3987_syntax", cast(ModuleType, None))
    import papermill
    from papermill.exceptions import PapermillExecutionError

    step.executed.parent.mkdir(parents=True, exist_ok=True)
    pid = step.executed.with_suffix(".pid")
    processes.record(pid, os.getpid())
    partial = step.executed.with_suffix(".partial.ipynb")
    state = step.state()
    try:
        papermill.execute_notebook(
            str(step.notebook),
            str(partial),
            parameters={"study": step.study.reference, **step.parameters},
            kernel_name="python3",
            cwd=str(step.study.root),
            progress_bar=False,
            stderr_file=_ProgressLines(),
        )
        record = step.record()
        if record["state"] != state:
            raise RecenterError(f"Notebook {step.name}: study, package or prompts changed while it ran; run it again.")
        _remember(partial, record)
        step.failed.unlink(missing_ok=True)
        partial.replace(step.executed)
        _stamp(step, record)
    except PapermillExecutionError as problem:
        partial.replace(step.failed)
        raise RecenterError(_failure(step, problem)) from None
    except RuntimeError as problem:  # in its first seconds a kernel dies of this one, later of its DeadKernelError
        if "Kernel died" not in str(problem):
            raise
        partial.replace(step.failed)
        raise RecenterError(_death(step)) from None
    finally:
        partial.unlink(missing_ok=True)
        pid.unlink(missing_ok=True)


def _stamp(step: Step, record: Mapping[str, Any]) -> None:
    # By content: the next run of Snakemake sees no change where a notebook wrote the same tables again.
    step.stamp.write_text(json.dumps(record["outputs"], sort_keys=True), "utf-8")
    # After a clock was set back, what was made before seems newer, and Snakemake takes the job for a failed one.
    made = step.stamp.stat().st_mtime
    for path in step.inputs:
        with suppress(OSError):
            if path.stat().st_mtime > made:
                os.utime(path, (made, made))


def _failure(step: Step, problem: Any) -> str:
    said = f"{problem.evalue}" if problem.ename == "RecenterError" else f"{problem.ename}: {problem.evalue}"
    if problem.ename == "MemoryError":
        said = f"its memory is used up ({said.removesuffix(': ')}). {MORE_MEMORY}"
    return (
        f"Notebook {step.name} failed in {_place(step, problem.cell_index)}: {said}\n"
        f"  What ran is in {step.failed}. Mend the cause and run again: what is finished stays finished."
    )


def _death(step: Step) -> str:
    cells = notebooks.read(step.failed)["cells"]
    begun = [place for place, cell in enumerate(cells) if cell["metadata"].get("papermill", {}).get("start_time")]
    where = f"in {_place(step, begun[-1])}" if begun else "before its first cell"
    return (
        f"Notebook {step.name} was killed {where}, most likely by a limit on memory or because the machine had none "
        f"left. {MORE_MEMORY}\n  What ran is in {step.failed}. Run again: what is finished stays finished."
    )


def _place(step: Step, index: int) -> str:
    """Return a cell's number, as in the stored notebook, which lacks the cell that papermill put in, and first line."""
    cells = notebooks.read(step.failed)["cells"]
    injected = sum("injected-parameters" in cell["metadata"]["tags"] for cell in cells[:index])
    first = next(iter(cells[index]["source"].strip().splitlines()), "")
    return f"cell {index + 1 - injected} (`{first}`)"


def _remember(path: Path, record: Mapping[str, Any]) -> None:
    notebook = notebooks.read(path)
    notebook["metadata"]["recenter"] = record
    # Times, and the papermill record with its paths, differ between runs of the same study.
    notebook["metadata"].pop("papermill", None)
    for cell in notebook["cells"]:
        cell["metadata"].pop("papermill", None)
        cell["metadata"].pop("execution", None)
    notebooks.write(notebook, path)


def _follow(command: list[str], log: Path, root: Path, jobs: int | None, handed: Profile | None) -> bool:
    environment = os.environ | {"RECENTER_ROOT": str(root), "PYTHONUNBUFFERED": "1"}
    if handed:
        name = name_of_jobs(log.parents[1])
        scheduled.begin(log.parent, handed, name)
        # What a profile calls `python` is this one.
        path = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
        environment |= {"PATH": path, PROFILE: str(handed.file.parent), JOBS: name}
    # Two notebooks that train with a thread a core each keep waiting for each other: several times slower.
    environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // (jobs or 2))))
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


class _ProgressLines(io.TextIOBase):
    """Where a notebook's standard error goes: its progress lines to the terminal, the rest to the log."""

    def write(self, text: str) -> int:
        for line in text.replace("\r", "\n").splitlines():
            if " · " in line:
                _say("    " + line.strip())
            elif line.strip():
                print(line, flush=True)
        return len(text)


#: Where a job's lines go besides, for the run that handed it in.
_SAID: list[Path] = []


def _say(text: str) -> None:
    for line in text.splitlines():
        print(PREFIX + line, flush=True)
        for file in _SAID:
            with suppress(OSError), file.open("a", encoding="utf-8") as said:
                said.write(f"{line}\n")


def main() -> int:
    """Execute one step, as the Snakefile asks: `python -m recenter_utils.workflow STUDY NOTEBOOK`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("study")
    parser.add_argument("notebook")
    parser.add_argument("--handed", action="store_true", help="it is a scheduler's job, and shares only files")
    arguments = parser.parse_args()
    step = next(step for step in planned(arguments.study) if step.name == arguments.notebook)
    if arguments.handed:
        os.environ[databases.SHARED] = "1"
        _SAID.append(step.executed.with_suffix(".said"))
    if (record := step.recorded()) and step.condition() == "up to date":
        # Snakemake plans all that stands behind a notebook, before it can know that the tables are the same again.
        _stamp(step, record)
        return 0
    _say(f"{step.name} …")
    started = time.monotonic()
    try:
        execute(step)
    except RecenterError as problem:
        _say(str(problem))
        return 1
    except OSError as problem:
        _say(f"Notebook {step.name} could not be run: {disk_problem(problem)}")
        return 1
    _say(f"{step.name} done in {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
