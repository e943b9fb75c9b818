"""Running notebooks: papermill under Snakemake, one run at a time a study, resumed where it stopped."""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from recenter_utils import notebooks, processes
from recenter_utils.declarations import declaration
from recenter_utils.errors import RecenterError
from recenter_utils.parameters import assign, differing
from recenter_utils.steps import Step, steps
from recenter_utils.study import Study

#: Lines of a job that the terminal shows; all else that Snakemake says goes to runs/snakemake.log.
PREFIX = "[recenter] "


def run(study: Study, only: str | None = None, given: Sequence[str] = (), jobs: int = 2) -> bool:
    """Execute what is out of date, in order, `jobs` notebooks at a time; return whether all went well.

    given: `name=value` texts; checked against the notebooks' parameters before anything runs.
    """
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
        processes.end_orphans(runs)
        stale = [step.name for step in wanted if step.condition() != "up to date"]
        if not stale:
            return True
        for step in wanted:
            for _, model in step.models() if step.name in stale else ():
                model.key()  # a missing one is said now, and not when the first notebook has worked for an hour
        (runs / "parameters.json").write_text(json.dumps({step.name: dict(step.parameters) for step in plan}), "utf-8")
        command = [
            sys.executable, "-m", "snakemake", "--snakefile", str(study.root / "notebooks" / "Snakefile"),
            "--directory", str(study.folder), "--config", f"study={study.folder}",
            "--cores", str(jobs), "--scheduler", "greedy", "--nolock", "--rerun-incomplete", "--keep-going",
            "--quiet", "host", "progress",
            # Snakemake goes by times and by what it remembers; what the executed notebooks recorded decides.
            "--rerun-triggers", "mtime", "params", "input", "--forcerun", *stale,
            "--", wanted[-1].seen_from_study(wanted[-1].stamp) if only else "all",
        ]  # fmt: skip
        return _follow(command, runs / "snakemake.log", study.root, jobs)


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
    finally:
        partial.unlink(missing_ok=True)
        pid.unlink(missing_ok=True)


def _stamp(step: Step, record: Mapping[str, Any]) -> None:
    # By content: the next run of Snakemake sees no change where a notebook wrote the same tables again.
    step.stamp.write_text(json.dumps(record["outputs"], sort_keys=True), "utf-8")


def _failure(step: Step, problem: Any) -> str:
    said = f"{problem.evalue}" if problem.ename == "RecenterError" else f"{problem.ename}: {problem.evalue}"
    first = next(iter(problem.source.strip().splitlines()), "")
    cells = notebooks.read(step.failed)["cells"][: problem.cell_index]
    # Counted as in the stored notebook, which lacks the cell that papermill put in.
    place = problem.cell_index + 1 - sum("injected-parameters" in cell["metadata"]["tags"] for cell in cells)
    return (
        f"Notebook {step.name} failed in cell {place} (`{first}`): {said}\n"
        f"  What ran is in {step.failed}. Mend the cause and run again: what is finished stays finished."
    )


def _remember(path: Path, record: Mapping[str, Any]) -> None:
    notebook = notebooks.read(path)
    notebook["metadata"]["recenter"] = record
    # Times, and the papermill record with its paths, differ between runs of the same study.
    notebook["metadata"].pop("papermill", None)
    for cell in notebook["cells"]:
        cell["metadata"].pop("papermill", None)
        cell["metadata"].pop("execution", None)
    notebooks.write(notebook, path)


def _follow(command: list[str], log: Path, root: Path, jobs: int) -> bool:
    environment = os.environ | {"RECENTER_ROOT": str(root), "PYTHONUNBUFFERED": "1"}
    # Two notebooks that train with a thread a core each keep waiting for each other: several times slower.
    environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // jobs)))
    environment.pop("PYTHONWARNINGS", None)
    pid = log.with_suffix(".pid")
    with (
        log.open("w", encoding="utf-8") as record,
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
        shown = 0
        try:
            for line in process.stdout:
                record.write(line)
                if line.startswith(PREFIX):
                    shown += 1
                    print(line.removeprefix(PREFIX), end="", file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            processes.end_orphans(log.parent)
            raise
        finally:
            pid.unlink(missing_ok=True)
    if process.returncode and not shown:
        tail = "".join(log.read_text("utf-8").splitlines(keepends=True)[-15:])
        print(f"Snakemake stopped before any notebook ran:\n{tail}\nAll it said is in {log}.", file=sys.stderr)
    return process.returncode == 0


class _ProgressLines(io.TextIOBase):
    """Where a notebook's standard error goes: its progress lines to the terminal, the rest to the log."""

    def write(self, text: str) -> int:
        for line in text.replace("\r", "\n").splitlines():
            if " · " in line:
                _say("    " + line.strip())
            elif line.strip():
                print(line, flush=True)
        return len(text)


def _say(text: str) -> None:
    for line in text.splitlines():
        print(PREFIX + line, flush=True)


def main() -> int:
    """Execute one step, as the Snakefile asks: `python -m recenter_utils.workflow STUDY NOTEBOOK`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("study")
    parser.add_argument("notebook")
    arguments = parser.parse_args()
    step = next(step for step in planned(arguments.study) if step.name == arguments.notebook)
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
    _say(f"{step.name} done in {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
