"""Fixtures for the tests against a real SLURM, which they start themselves."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm import cluster
from tests.workspaces import copied


@pytest.fixture(scope="session")
def slurm() -> Iterator[dict[str, str]]:
    """The environment that leads to a cluster of one node; skipped where SLURM is not installed."""
    if lacking := cluster.missing():
        if os.environ.get("RECENTER_REQUIRE_SLURM"):
            pytest.fail(f"{', '.join(lacking)} not found: apt-get install slurm-wlm munge")
        pytest.skip(f"{', '.join(lacking)} not found (slurm-wlm, munge)")
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    try:
        with cluster.running(folder) as there:
            yield there
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def stale_merging(finished_demo: Path, tmp_path: Path) -> Path:
    """A copy of the finished demo of which notebook 03 has to run again, as a job of the profile of the workspace."""
    root = impatient(copied(finished_demo, tmp_path / "workspace"))
    (root / "data" / "demo" / "runs" / "03-merging.ipynb").unlink()
    return root


def impatient(workspace: Path) -> Path:
    """Have the profile that is shipped look at jobs every second or two, and otherwise leave it as it is."""
    file = workspace / "notebooks" / "profiles" / "slurm" / "config.yaml"
    text = file.read_text("utf-8")
    assert "status-checks: 10\n" in text
    file.write_text(text.replace("status-checks: 10\n", "status-checks: 1\n"), "utf-8")
    return workspace
