"""vLLM on this machine's own GPUs: the model is loaded for a run, and its memory comes back at the end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any

from recenter_utils.inference.engines.base import Deliver, Engine
from recenter_utils.inference.models import Model
from recenter_utils.inference.requests import Answer, Request
from recenter_utils.inference.scores import ALTERNATIVES, TAIL, Token, score

WORKER = Path(__file__).with_name("vllm_worker.py")

#: Times a worker that died with requests in hand is replaced; a model that keeps dying would load for ever.
RESTARTS = 2

#: What is looked at of the worker's log when it dies. A failure in one of vLLM's processes is raised again
#: in the next, less plain each time: the first errors name the cause.
_TAIL = 65_536
_RAISED = re.compile(r"\b[\w.]*(?:Error|Exception): .+")

#: Options of the model's entry that are for us; all others go to vLLM's `LLM` as they are.
_OURS = ("python", "requests_in_flight", "load_timeout", "chat_template_kwargs")


class VLLMEngine(Engine):
    """Asks a worker process of its own, so that killing it is all it takes to free the GPU.

    Options in the models file: `python` (interpreter that has vLLM; else the environment variable
    RECENTER_VLLM_PYTHON, else this one), `requests_in_flight` (handed to vLLM ahead of their answers,
    default 256: what a crash costs), `load_timeout` (seconds, default 7200: a first use downloads),
    `chat_template_kwargs`, and any argument of vLLM's `LLM` (tensor_parallel_size, dtype, ...).
    """

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        options = model.options
        self.python = str(options.get("python") or os.environ.get("RECENTER_VLLM_PYTHON") or sys.executable)
        self._window = int(options.get("requests_in_flight", 256))
        self._load_timeout = float(options.get("load_timeout", 7200))
        self._worker: _Worker | None = None
        self._deaths = 0

    def order(self, requests: Sequence[Request]) -> Sequence[Request]:
        """Return the requests with shared beginnings side by side: vLLM computes a common prefix once."""
        return sorted(requests, key=lambda request: [message["content"] for message in request.messages])

    async def ask(self, requests: Iterator[Request], deliver: Deliver) -> None:
        """See `Engine.ask`. A worker that dies takes only the requests it holds with it."""
        held: dict[int, Request] = {}
        numbers = count()
        try:
            while True:
                fresh = dict(zip(numbers, islice(requests, self._window - len(held)), strict=False))
                held |= fresh
                if not held:
                    return
                try:
                    worker = await self._start()
                    await worker.send([self._line(number, request) for number, request in fresh.items()])
                    answers = (await worker.receive(self.model.timeout))["answers"]
                except _WorkerGoneError as problem:
                    self._lose_worker(str(problem))
                    for request in held.values():
                        deliver(request, Answer(error="server", detail=str(problem)))
                    held.clear()
                    continue
                for said in answers:
                    request = held.pop(said.pop("number"))
                    tokens = [Token(*token) for token in said.pop("tokens", ())]
                    answer = Answer(**said)
                    if request.line and not answer.error:
                        answer.score = score(answer.text, tokens, request.line)
                    deliver(request, answer)
        except BaseException:
            # Cancelled with answers under way: the next `ask` would read them as its own.
            self._stop()
            raise

    async def close(self) -> None:
        """End the worker and every process vLLM started."""
        self._stop()

    async def _start(self) -> _Worker:
        if self.unusable:
            raise _WorkerGoneError(self.unusable)
        if self._worker is None:
            try:
                self._worker = _Worker(self.python)
                await self._worker.send([json.dumps(self._setup())])
                said = await self._worker.receive(self._load_timeout)
            except _WorkerGoneError as problem:
                self.unusable = f"vLLM did not load model '{self.model.name}' ({self.python}): {problem}"
                raise _WorkerGoneError(self.unusable) from None
            if "unusable" in said:
                self.unusable = (
                    f"Model '{self.model.name}' runs in vLLM, and {self.python} cannot: {said['unusable']} "
                    "in the environment variable RECENTER_VLLM_PYTHON."
                )
                raise _WorkerGoneError(self.unusable)
        return self._worker

    def _line(self, number: int, request: Request) -> str:
        schema = request.schema if self.model.json_schema else None
        line = {"number": number, "messages": request.messages, "schema": schema, "sampling": dict(request.sampling)}
        if request.line and self.model.logprobs:
            allowed = int(self.model.options.get("max_logprobs", ALTERNATIVES[0]))
            line |= {"tokens": TAIL, "alternatives": min(ALTERNATIVES[0], allowed)}
        return json.dumps(line)

    def _setup(self) -> dict[str, Any]:
        arguments = {name: value for name, value in self.model.options.items() if name not in _OURS}
        if self.model.context_length:
            arguments.setdefault("max_model_len", self.model.context_length)
        arguments.setdefault("model", self.model.asked_name)
        return {"llm": arguments, "template": self.model.options.get("chat_template_kwargs", {})}

    def _lose_worker(self, detail: str) -> None:
        self._stop()
        self._deaths += 1
        if self._deaths > RESTARTS and not self.unusable:
            self.unusable = f"vLLM ended {self._deaths} times serving model '{self.model.name}': {detail}"

    def _stop(self) -> None:
        if self._worker is not None:
            self._worker.end()
            self._worker = None


class _WorkerGoneError(Exception):
    """The worker is dead or silent; the message says how, with its last words."""


class _Worker:
    """A vLLM process and the pipes to it.

    Blocking pipes read in a thread, and no asyncio subprocess: the engine then belongs to no event loop.
    """

    def __init__(self, python: str) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                [python, str(WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env={"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", **os.environ},
                start_new_session=True,  # a group of its own, which holds whatever vLLM starts
            )
        except OSError as problem:
            self._log.close()
            raise _WorkerGoneError(
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
                await asyncio.to_thread(self._write, "".join(f"{line}\n" for line in lines).encode())

    async def receive(self, seconds: float) -> dict[str, Any]:
        """Return the worker's next line; raise where it is dead, or silent for longer than `seconds`."""
        try:
            # Not `wait_for`, which on Python 3.11 loses a cancellation that comes together with the line.
            async with asyncio.timeout(seconds):
                line = await asyncio.to_thread(self._out.readline)
        except TimeoutError:
            silence = f"vLLM gave no sign of life for {seconds:g} s: {self._last_words()}"
            raise _WorkerGoneError(silence) from None
        if not line.endswith(b"\n"):
            raise _WorkerGoneError(f"{self._end()}: {self._last_words()}")
        return json.loads(line)

    def end(self) -> None:
        """End the process and its group: politely, then not."""
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        # Also where the worker itself is gone: its children may be left.
        self._signal(signal.SIGKILL)
        self._process.wait()
        for file in (self._in, self._out, self._log):
            with contextlib.suppress(OSError):
                file.close()

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
