"""A study's notebooks in one process, without a kernel and a start for each: for what their pages say.

    python -m tests.one_process demo 06

As `recenter run` it runs what is out of date, and leaves the same tables, executed notebooks and records.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import papermill
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from matplotlib import pyplot
from papermill.exceptions import PapermillExecutionError
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from recenter_utils import execution, workflow
from recenter_utils.declarations import declaration
from recenter_utils.study import Study
from tests.workspaces import environment


def run(workspace: Path, study: str = "demo", *only: str) -> list[str]:
    """Run what is out of date of a study, or of what some notebooks need; return the notebooks that ran.

    Raises AssertionError with what was said where a notebook fails.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tests.one_process", study, *only],
        cwd=Path(__file__).parents[1],
        env=environment(workspace) | {"MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return [line.removesuffix(" …") for line in done.stdout.splitlines() if line.endswith(" …")]


def execute(source: str, target: str, parameters: dict[str, Any], cwd: str, **_: Any) -> None:
    """Do what `papermill.execute_notebook` does."""
    notebook = parameterize_notebook(load_notebook_node(source), parameters)
    shell = InteractiveShell.instance()
    shell.reset()
    os.chdir(cwd)
    for place, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            with capture_output() as said:
                # The trap, and not sys.displayhook, decides what becomes of a cell's last value.
                shell.display_trap.hook = sys.displayhook
                result = shell.run_cell(cell.source)
            cell.execution_count = shell.execution_count - 1
            cell.outputs = [
                nbformat.v4.new_output("stream", name=name, text=text)
                for name, text in (("stdout", said.stdout), ("stderr", said.stderr))
                if text
            ] + [
                nbformat.v4.new_output("display_data", data=output.data, metadata=output.metadata or {})
                for output in said.outputs
            ]
            if problem := result.error_before_exec or result.error_in_exec:
                nbformat.write(notebook, target)
                raise PapermillExecutionError(
                    place, cell.execution_count, cell.source, type(problem).__name__, str(problem), [said.stdout]
                )
    pyplot.close("all")
    nbformat.write(notebook, target)


def main() -> None:
    """Run the study that the command line names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("study")
    parser.add_argument("only", nargs="*")
    arguments = parser.parse_args()
    papermill.execute_notebook = execute
    study = Study.open(arguments.study)
    plan = workflow.plan_of(study)
    wanted = [declaration(name, study.root).name for name in arguments.only] or [step.name for step in plan]
    needed = {step.name for name in wanted for step in workflow.needed(plan, name)}
    for step in plan:
        if step.name in needed and step.condition() != "up to date":
            print(f"{step.name} …", flush=True)
            execution.execute(step)


if __name__ == "__main__":
    main()
