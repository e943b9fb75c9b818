"""The real vLLM in an actor of a Ray cluster says what it says without one."""

from __future__ import annotations

import contextlib
import os
import pickle
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from tests.cluster.driving import driven

pytest.importorskip("ray", reason="Ray is not installed (the extra 'ray')")
pytestmark = pytest.mark.vllm


def test_answers_of_an_actor_are_those_of_this_machine(
    vllm_python: Path, tiny_model: Path, vllm_settings: dict[str, str], tmp_path: Path
) -> None:
    driven(tmp_path, "vllm", TINY_MODEL=str(tiny_model), RECENTER_VLLM_PYTHON=str(vllm_python))
    found = pickle.loads((tmp_path / "vllm.pickle").read_bytes())
    assert "problem" not in found, found
    there, here = found["cluster"], found["here"]
    assert there["raw"].notna().all(), there["detail"].unique()
    pd.testing.assert_frame_equal(there, here)
    assert not _left(tiny_model), "vLLM's processes outlive the actor that started them"


def _left(model: Path) -> list[psutil.Process]:
    """Return the processes of this user that were told of the model, after a moment's patience."""
    for _ in range(100):
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.pid != os.getpid() and process.environ().get("TINY_MODEL") == str(model):
                    found.append(process)
        if not found:
            break
        time.sleep(0.1)
    return found
