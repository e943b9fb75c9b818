"""What GRPO's tests share: a tiny model that knows the form of an answer, and one run of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from recenter_utils.training.grpo import policy, runs, smoke
from tests.grpo.tiny_runs import made, rules, warmed_up


@pytest.fixture(scope="package", autouse=True)
def _one_thread() -> Iterator[None]:
    """As smoke runs have it: so little work only waits for other threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny model that knows the form of an answer. For reading only."""
    return warmed_up(tmp_path_factory.mktemp("warm") / smoke.NAME)


@pytest.fixture(scope="session")
def run(warm: Path, tmp_path_factory: pytest.TempPathFactory) -> runs.Trained:
    """A run of twelve steps. For reading only."""
    folder = tmp_path_factory.mktemp("run") / "models" / "grpo"
    return runs.trained(folder, made(), rules(warm), 3, origin="simulated", labels="simulated", progress=False)


@pytest.fixture
def untrainable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any step of training fails the test."""

    def must_not(*_: Any, **__: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(policy, "fit", must_not)
