"""A vLLM process as its engine sees it: lines go in, lines come out, and killing it is all it takes to end it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

WORKER = Path(__file__).with_name("vllm_worker.py")

#: What is looked at of the worker's log when it dies. A failure in one of vLLM's processes is raised again
#: in the next, less plain each time: the first errors name the cause.
_TAIL = 65_536
_RAISED = re.compile(r"\b[\w.]*(?:Error|Exception): .+")

T = TypeVar("T")


class GoneError(Exception):
    """The worker is dead or silent; the message says how, with its last words."""


class Worker:
    """A vLLM process and the pipes to it.

    Blocking pipes read in a thread, and no asyncio subprocess: the engine then belongs to no event loop.
    """

    def __init__(self, python: str, environment: Mapping[str, str]) -> None:
        """Start it with `python`. environment: variables of its own, over those of this process."""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        # Threads of its own: with many workers that read, those of the event loop would all be waiting.
        self._threads = ThreadPoolExecutor(2)
        try:
            self._process = subprocess.Popen(
                [python, str(WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env={"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", **os.environ, **environment},
                start_new_session=True,  # a group of its own, which holds whatever vLLM starts
            )
        except OSError as problem:
            self._log.close()
            raise GoneError(
                f"the interpreter does not start ({problem.strerror}); name another in RECENTER_VLLM_PYTHON"
            ) from None
        assert self._process.stdin
        assert self._process.stdout
        self._in, self._out = self._process.stdin, self._process.stdout

    @property
    def pid(self) -> int:
        """Process id, and that of the group of everything vLLM started."""
        return self._process.pid

    async def send(self, lines: list[str]) -> None:
        """Write lines to the worker. Where it is dead, `receive` says so, after what it still had to say."""
        if lines:
            with contextlib.suppress(OSError):
                await self._in_thread(self._write, "".join(f"{line}\n" for line in lines).encode())

    async def receive(self, seconds: float) -> dict[str, Any]:
        """Return the worker's next line; raise where it is dead, or silent for longer than `seconds`."""
        try:
            # Not `wait_for`, which on Python 3.11 loses a cancellation that comes together with the line.
            async with asyncio.timeout(seconds):
                line = await self._in_thread(self._out.readline)
        except TimeoutError:
            silence = f"vLLM gave no sign of life for {seconds:g} s: {self._last_words()}"
            raise GoneError(silence) from None
        if not line.endswith(b"\n"):
            raise GoneError(f"{self._end()}: {self._last_words()}")
        return json.loads(line)

    def end(self) -> None:
        """End the process and its group: politely, then not."""
        self.ask_to_end()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        # Also where the worker itself is gone: its children may be left.
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._threads.shutdown(wait=False)
        for file in (self._in, self._out, self._log):
            with contextlib.suppress(OSError):
                file.close()

    def ask_to_end(self) -> None:
        """Tell the process that it is to end, and do not wait for it."""
        self._signal(signal.SIGTERM)

    async def _in_thread(self, work: Callable[..., T], *given: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *given)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def _write(self, data: bytes) -> None:
        self._in.write(data)
        self._in.flush()

    def _end(self) -> str:
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            return "vLLM closed its pipe"
        return f"vLLM was killed by signal {-code}" if code < 0 else f"vLLM ended with exit code {code}"

    def _last_words(self) -> str:
        # Not `seek`: the worker writes through the same file offset.
        size = os.fstat(self._log.fileno()).st_size
        tail = os.pread(self._log.fileno(), _TAIL, max(0, size - _TAIL)).decode("utf-8", "replace")
        lines = list(dict.fromkeys(_RAISED.findall(tail)))[:3] or tail.strip().splitlines()[-3:]
        return without_secrets(" | ".join(lines))[:1500]


def without_secrets(text: str) -> str:
    """Return `text` without the values of the environment's keys and tokens, which libraries may print."""
    for name, value in os.environ.items():
        if len(value) >= 8 and re.search("TOKEN|KEY|SECRET|PASSWORD", name, re.IGNORECASE):
            text = text.replace(value, "***")
    return text
