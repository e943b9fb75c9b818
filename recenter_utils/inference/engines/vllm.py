"""vLLM on this machine's own GPUs: the model is loaded for a run, and its memory comes back at the end."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from recenter_utils.inference.engines.base import Deliver, Engine
from recenter_utils.inference.engines.vllm_order import ordered
from recenter_utils.inference.engines.vllm_replica import Replica
from recenter_utils.inference.engines.vllm_shares import shares
from recenter_utils.inference.models import Model
from recenter_utils.inference.requests import Request

#: Options of the model's entry that are for us; all others go to vLLM's `LLM` as they are.
_OURS = ("python", "replicas", "requests_in_flight", "load_timeout", "chat_template_kwargs")

#: Of its window, what one of several replicas pulls at a time: neighbours with a shared beginning stay together, and
#: the window stays nearly full.
_BLOCKS = 8


class VLLMEngine(Engine):
    """Asks worker processes of its own, so that killing them is all it takes to free the GPUs.

    Options in the models file: `replicas` (processes that serve the model side by side, each with GPUs of its own, at
    most; default: as many as the GPUs allow, without a GPU 1), `python` (interpreter that has vLLM; else the
    environment variable RECENTER_VLLM_PYTHON, else this one), `requests_in_flight` (handed to each replica ahead of
    their answers, default 256: what a crash costs), `load_timeout` (seconds, default 7200: a first use downloads),
    `chat_template_kwargs`, and any argument of vLLM's `LLM` (tensor_parallel_size, dtype, ...).
    """

    def __init__(self, model: Model, cache: Path | None = None, replicas: int | None = None) -> None:
        """Take the model to ask. replicas: the most processes, whatever the entry says.

        Raises RecenterError where the entry's `replicas` is no number of replicas.
        """
        super().__init__(model, cache)
        options = model.options
        self.python = str(options.get("python") or os.environ.get("RECENTER_VLLM_PYTHON") or sys.executable)
        self.load_timeout = float(options.get("load_timeout", 7200))
        self.prefix_tokens = self.read_tokens = 0  # of prompts: those that vLLM had computed before, and all
        self.replicas = [Replica(self, share) for share in shares(model, replicas)]
        self._window = int(options.get("requests_in_flight", 256))

    @property
    def gpus(self) -> int:
        """How many GPUs it has used; see `Engine.gpus`."""
        return sum(replica.share.gpus for replica in self.replicas if replica.loaded_in is not None)

    @property
    def loading(self) -> float:
        """Seconds until the first replica was ready; see `Engine.loading`."""
        return min((replica.loaded_in for replica in self.replicas if replica.loaded_in is not None), default=0.0)

    def note(self) -> str:
        """See `Engine.note`: the share of the prompts' tokens that vLLM had computed before."""
        return f"{self.prefix_tokens / self.read_tokens:.0%} of prompts shared" if self.read_tokens else ""

    def order(self, requests: Sequence[Request]) -> Sequence[Request]:
        """See `vllm_order.ordered`."""
        return ordered(requests)

    async def ask(self, requests: Iterator[Request], deliver: Deliver) -> None:
        """See `Engine.ask`. A replica that dies takes only the requests it holds with it."""
        block = max(1, self._window // _BLOCKS) if len(self.replicas) > 1 else None
        try:
            async with asyncio.TaskGroup() as group:
                for replica in self.replicas:
                    group.create_task(replica.serve(requests, deliver, self._window, block))
        except BaseExceptionGroup as problems:
            self._stop()
            raise problems.exceptions[0] from None
        except BaseException:
            # Cancelled with answers under way: the next `ask` would read them as its own.
            self._stop()
            raise

    async def close(self) -> None:
        """End the workers and every process vLLM started."""
        self._stop()

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of vLLM's `LLM`."""
        arguments = {name: value for name, value in self.model.options.items() if name not in _OURS}
        if self.model.context_length:
            arguments.setdefault("max_model_len", self.model.context_length)
        arguments.setdefault("model", self.model.asked_name)
        return arguments

    def lost_replica(self, why: str) -> None:
        """Note that a replica is given up; with the last one, nothing more can be asked."""
        if all(replica.given_up for replica in self.replicas):
            self.unusable = why

    def _stop(self) -> None:
        # All are told before any is waited for: each may take seconds.
        for replica in self.replicas[1:]:
            if replica.worker:
                replica.worker.ask_to_end()
        for replica in self.replicas:
            replica.stop()
