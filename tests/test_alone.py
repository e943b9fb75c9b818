"""Notebooks outside `recenter run`: as a person in JupyterLab, or papermill by hand, runs them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from jupyter_core.utils import ensure_event_loop
from nbclient import NotebookClient

from recenter_utils.declarations import declarations
from tests.workspaces import ROOT, environment

NAMES = [entry.name for entry in declarations(ROOT)]


@pytest.fixture(scope="module", autouse=True)
def _loop() -> Iterator[None]:
    """The event loop that Jupyter's client takes for its thread, and would leave open."""
    loop = ensure_event_loop()
    yield
    loop.close()


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_opened_in_its_folder_runs_alone(
    name: str, demo_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RECENTER_ROOT")
    notebook = nbformat.read(demo_copy / "notebooks" / f"{name}.ipynb", as_version=4)
    NotebookClient(notebook, resources={"metadata": {"path": str(demo_copy / "notebooks")}}, timeout=300).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    shown = [output.get("data", {}) for output in outputs]
    figures = ("image/png", "application/vnd.plotly.v1+json")  # JupyterLab draws the second
    assert any(kind in data for data in shown for kind in figures)
    said = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stderr")
    assert "Warning" not in said


def test_papermill_runs_a_notebook_by_hand(demo_copy: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "papermill", "notebooks/03-merging.ipynb", "out.ipynb", "-p", "study", "demo"],
        cwd=demo_copy,
        env=environment(demo_copy),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (demo_copy / "out.ipynb").is_file()
