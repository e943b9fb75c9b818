"""Workspaces to try things in: a copy of the notebooks, the book and the demo, in a folder of the test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: A key that stands in the environment of whoever builds the tests' book.
TEST_KEY = "sk-recenter/test+0123456789abcdef"
MADE_BY_RUNS = shutil.ignore_patterns(
    "tables", "cache", "runs", "models", "annotation", ".snakemake", "_build", "__pycache__"
)


def new_workspace(folder: Path) -> Path:
    """Copy what a run needs into `folder`, without anything that runs made."""
    for name in ("notebooks", "book"):
        shutil.copytree(ROOT / name, folder / name, ignore=MADE_BY_RUNS)
    shutil.copytree(ROOT / "data" / "demo", folder / "data" / "demo", ignore=MADE_BY_RUNS)
    for name in ("published", "measured"):
        shutil.copytree(ROOT / "data" / name, folder / "data" / name)
    return folder


def copied(finished: Path, folder: Path) -> Path:
    """Copy a workspace in which the demo has run, with its times, so that nothing in it is out of date."""
    models = Path("data", "demo", "models")
    # Trained weights are replaced whole and never written into, so that a link is as good as a copy.
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns("models"), copy_function=shutil.copy2)
    shutil.copytree(finished / models, folder / models, copy_function=os.link)
    return folder


def recenter(workspace: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the `recenter` command in a workspace, and return how it ended."""
    return subprocess.run(
        [sys.executable, "-m", "recenter_utils.cli", *arguments],
        cwd=workspace,
        env=environment(workspace) | more,
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )


def environment(workspace: Path) -> dict[str, str]:
    """Return the environment in which a command works on that workspace."""
    return os.environ | {"RECENTER_ROOT": str(workspace)}


def table_bytes(workspace: Path, study: str = "demo") -> dict[str, bytes]:
    """Return every table of a study as the bytes of its file."""
    return {path.name: path.read_bytes() for path in sorted((workspace / "data" / study / "tables").glob("*.parquet"))}


def add_study(workspace: Path, name: str, text: str) -> Path:
    """Write data/<name>/study.yaml and return the study's folder."""
    folder = workspace / "data" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.yaml").write_text(text, encoding="utf-8")
    return folder
