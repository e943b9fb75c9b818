"""Executing one notebook by papermill: what a job of Snakemake's does, here or on another machine."""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from recenter_utils import databases, notebooks, processes
from recenter_utils.errors import RecenterError, disk_problem
from recenter_utils.steps import Step
from recenter_utils.workflow import PREFIX, planned

#: What helps a notebook that ran out of memory.
MORE_MEMORY = "Give it more: raise the limit, close what else runs, or run one notebook at a time (--jobs 1)."


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
    if system := re.match(r"\[Errno (\d+)\] (.*)", str(problem.evalue)):
        said = disk_problem(OSError(int(system[1]), system[2]))
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
    """Return a cell's number, as in the notebook that papermill put cells into, and its first line.

    index: its place without those with which papermill points at an error.
    """
    from papermill.execute import ERROR_MARKER_TAG

    cells = [cell for cell in notebooks.read(step.failed)["cells"] if ERROR_MARKER_TAG not in cell["metadata"]["tags"]]
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
    """Execute one step, as the Snakefile asks: `python -m recenter_utils.execution STUDY NOTEBOOK`."""
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
