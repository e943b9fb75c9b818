"""Fixtures that every test may use."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.workspaces import ROOT, new_workspace, recenter

MODELS = Path("data", "demo", "models")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public corpora beside the project; tests that want it are skipped without it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the public corpora (../shared/data) are not on this machine")
    return folder


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may find a key of whoever runs it."""
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "RECENTER_ANNOTATION_KEY", "RECENTER_ROOT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace of the test's own, in which nothing has run."""
    root = new_workspace(tmp_path / "workspace")
    monkeypatch.setenv("RECENTER_ROOT", str(root))
    return root


@pytest.fixture(scope="session")
def finished_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which the demo has run. For reading only; change a copy (`demo_copy`)."""
    root = new_workspace(tmp_path_factory.mktemp("finished") / "workspace")
    done = recenter(root, "run", "demo")
    assert done.returncode == 0, done.stderr + done.stdout
    return root


@pytest.fixture
def demo_copy(finished_demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the finished demo, with its times, so that nothing in it is out of date."""
    root = tmp_path / "workspace"
    # Trained weights are replaced whole and never written into, so that a link is as good as a copy.
    shutil.copytree(finished_demo, root, ignore=shutil.ignore_patterns("models"), copy_function=shutil.copy2)
    shutil.copytree(finished_demo / MODELS, root / MODELS, copy_function=os.link)
    monkeypatch.setenv("RECENTER_ROOT", str(root))
    return root
