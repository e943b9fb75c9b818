"""What a test leaves open fails that test, and none of those after it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.workspaces import ROOT

TESTS = """
import asyncio, gc, warnings
from recenter_utils.inference.engines.openai import OpenAIEngine
from recenter_utils.inference.run import run
from recenter_utils.inference.tasks import LANGUAGE_CHECK
from tests.fake_server import FakeServer, items

class Forgotten(OpenAIEngine):
    async def close(self):
        pass

def test_that_leaves_its_connections():
    with FakeServer() as server:
        engine = Forgotten(server.model(concurrency=4))
        frame = run(LANGUAGE_CHECK, items(20), engine.model, engine=engine, progress=False)
    assert frame["error"].isna().all()

def test_that_knows_nothing():
    with warnings.catch_warnings(action="error"):
        gc.collect()

def test_that_closes():
    with FakeServer() as server:
        run(LANGUAGE_CHECK, items(20), server.model(concurrency=4), progress=False)
"""


def test_connections_that_a_test_leaves_fail_it_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "test_three.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-c", str(ROOT / "pyproject.toml")]
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [*command, "--rootdir", str(tmp_path), "-rA", str(tmp_path / "test_three.py")],
        cwd=ROOT, env=alone, capture_output=True, text=True, check=False,
    )  # fmt: skip
    ends = {(line.split("::")[1].split()[0], line.split()[0]) for line in done.stdout.splitlines() if "::" in line}
    assert {name for name, end in ends if end == "PASSED"} >= {"test_that_knows_nothing", "test_that_closes"}
    assert {name for name, end in ends if end in ("FAILED", "ERROR")} == {"test_that_leaves_its_connections"}
    assert "sockets were left open: " in done.stdout
