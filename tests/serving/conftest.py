"""Fixtures for the tests against the real vLLM (CPU build) with a tiny model of random weights."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import environment
import pytest
from tiny_model import CONTEXT_LENGTH, make_model

from recenter_utils.inference.engines.vllm import VLLMEngine
from recenter_utils.inference.models import Model

#: A random model would fill its answers with the white space that JSON allows between tokens.
GUIDED = {"backend": "xgrammar", "disable_any_whitespace": True}

#: Seconds. Alone it takes half a minute; where the machine is busy, or the files are read for the first time, minutes.
_START_LIMIT = 900.0


@pytest.fixture(scope="session")
def vllm_python() -> Path:
    """Interpreter of the environment that has vLLM; made here where it is missing."""
    if reason := environment.unsupported():
        pytest.skip(reason)
    return environment.make()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny model."""
    return make_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="session")
def vllm_settings() -> Iterator[dict[str, str]]:
    """What vLLM is told through the environment here: no network, little memory, no usage report."""
    settings = {
        "HF_HUB_OFFLINE": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_HOST_IP": "127.0.0.1",
        "VLLM_CACHE_ROOT": str(environment.VENV / "cache"),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        # Without bytecode every one of vLLM's processes would compile torch and vLLM anew, half a minute each.
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        yield settings


class Server:
    """vLLM's OpenAI server on a loopback port of its own."""

    def __init__(self, python: Path, model: Path, log: Path) -> None:
        self._log = log
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.command = [
            *(str(python), "-m", "vllm.entrypoints.openai.api_server"),
            *("--model", str(model), "--served-model-name", "tiny", "--max-model-len", str(CONTEXT_LENGTH)),
            *("--host", "127.0.0.1", "--port", str(self.port), "--enforce-eager"),
            *("--distributed-executor-backend", "uni", "--structured-outputs-config", json.dumps(GUIDED)),
        ]
        # With the setting above, one process less than by default; each takes ten seconds to import torch and vLLM.
        self._environment = os.environ | {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self._log.open("ab") as log:
            # A session of its own, so that the engine's process can be ended with it; and away from this
            # folder, since Python puts the current one on its path.
            self.process = subprocess.Popen(
                self.command,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self._log.parent,
                env=self._environment,
            )
        give_up = time.monotonic() + _START_LIMIT
        while not self._healthy():
            if self.process.poll() is not None or time.monotonic() > give_up:
                pytest.fail(f"vLLM's server did not start:\n{self._log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.25)

    def kill(self) -> None:
        """End it as a crash would, with everything it started."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def requests_seen(self) -> int:
        """How many chat requests it has answered since it was started."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as page:
            lines = page.read().decode().splitlines()
        counts = [line.rsplit(" ", 1)[1] for line in lines if line.startswith("vllm:request_success_total")]
        return int(sum(map(float, counts)))

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=2) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False


@pytest.fixture(scope="session")
def vllm_server(
    vllm_python: Path, tiny_model: Path, vllm_settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """The running server; a test that kills it starts it again."""
    server = Server(vllm_python, tiny_model, tmp_path_factory.mktemp("server") / "log")
    try:
        server.start()
        yield server
    finally:
        server.kill()


class KeptEngine(VLLMEngine):
    """Stays loaded when a run is over, for the next one; `end` ends it."""

    async def close(self) -> None:
        """Do nothing."""

    async def end(self) -> None:
        """End it as runs do."""
        await super().close()


@pytest.fixture(scope="session")
def vllm_engine(vllm_python: Path, tiny_model: Path, vllm_settings: dict[str, str]) -> Iterator[KeptEngine]:
    """The one engine that loads the model itself; a test that ends it has it loaded again by the next request."""
    engine = KeptEngine(
        Model(
            name="tiny",
            engine="vllm",
            served_name=str(tiny_model),
            context_length=CONTEXT_LENGTH,
            options={
                "python": str(vllm_python),
                "enforce_eager": True,
                "structured_outputs_config": GUIDED,
                "distributed_executor_backend": "uni",
                "requests_in_flight": 64,
            },
        )
    )
    yield engine
    asyncio.run(engine.end())
