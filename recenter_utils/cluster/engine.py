"""An engine on a cluster: blocks of requests go through Ray Data to actors, each of which holds our own engine.

What comes back is stored by the run that asks, block by block, in the cache that a run on one machine uses: a run that
was killed on a cluster goes on without one, and the other way round.
"""

from __future__ import annotations

import asyncio
import pickle
import platform
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import recenter_utils
from recenter_utils.cluster import connection
from recenter_utils.cluster.dataset import mapped
from recenter_utils.inference.engines.base import Deliver, Engine
from recenter_utils.inference.models import Model
from recenter_utils.inference.requests import Answer, Request

#: Engines that work where their process runs. The work of the others is done by their server, which a cluster of
#: clients would not make quicker.
SPREAD = ("embedded", "vllm")

#: Requests of a block, by engine: what a killed run asks again, at most, for each actor. The embedded engine reads as
#: many at once; vLLM has its own window full until the last requests of a block, so that longer ones waste less.
BLOCK = {"embedded": 256, "vllm": 2048}


class RayEngine(Engine):
    """Asks engines in actors of a Ray cluster. Options of the model's entry: those of its engine, and `replicas`,
    the most actors to start (default: as many as the cluster has GPUs for, or processors where it has none)."""

    def __init__(self, model: Model, cache: Path | None = None) -> None:
        super().__init__(model, cache)
        from recenter_utils.inference.engines import local_engine

        self._here = local_engine(model)
        self._gpus = 0

    @property
    def gpus(self) -> int:
        """See `Engine.gpus`: those of all actors."""
        return self._gpus

    def order(self, requests: Sequence[Request]) -> Sequence[Request]:
        """Return the requests as the engine in an actor likes them: a block holds neighbours."""
        return self._here.order(requests)

    async def ask(self, requests: Iterator[Request], deliver: Deliver) -> None:
        """See `Engine.ask`. Answers come a block at a time; an actor that dies is started again, with its block."""
        held: dict[bytes, Request] = {}
        blocks = []
        while block := list(islice(requests, BLOCK[self.model.engine])):
            held |= {request.key: request for request in block}
            blocks.append(pickle.dumps(block))
        if not blocks:
            return
        # In a thread, because the loop also commits answers while the cluster works.
        found = await asyncio.to_thread(self._mapped, blocks)
        while (part := await asyncio.to_thread(next, found, None)) is not None:
            unusable, answers = pickle.loads(part)
            self.unusable = self.unusable or unusable
            for key, answer in answers:
                deliver(held.pop(key), answer)
        for request in held.values():
            deliver(request, Answer(error="server", detail="its actor died again and again: see Ray's own log"))

    def _mapped(self, blocks: list[bytes]) -> Iterator[bytes]:
        each = resources(self.model)
        most = self.model.options.get("replicas")
        size = min(len(blocks), connection.workers(each, int(most) if most else None))
        self._gpus = size * int(each.get("GPU", 0))
        return mapped(blocks, Asking, (self.model.model_dump(), recenter_utils.__version__), each, size)


def resources(model: Model) -> dict[str, float]:
    """Return what an actor takes of the cluster: the GPUs that vLLM splits the model over, or else a processor."""
    total = connection.connect().cluster_resources()
    if model.engine == "vllm":
        # Without a GPU in the cluster vLLM takes every processor of a machine.
        return {"GPU": model.gpus_each} if total.get("GPU") else {"CPU": max(1, int(total["CPU"]) // _machines())}
    return {"CPU": 1}


def _machines() -> int:
    return sum(node["Alive"] for node in connection.connect().nodes())


class Asking:
    """What an actor holds: the engine, opened once, and asked a block at a time."""

    def __init__(self, model: dict[str, Any], version: str) -> None:
        from recenter_utils.inference.engines import local_engine

        self.wrong = connection.same_package(version, platform.node())
        self.engine = local_engine(Model.model_validate(model), replicas=1)

    def __call__(self, block: bytes) -> bytes:
        """Return a block's answers, each with its request's key, and why no more can succeed, if so."""
        requests: list[Request] = pickle.loads(block)
        if self.wrong:
            return pickle.dumps((self.wrong, [(r.key, Answer(error="server", detail=self.wrong)) for r in requests]))
        answers: list[tuple[bytes, Answer]] = []

        async def ask() -> None:
            await self.engine.ask(iter(requests), lambda request, answer: answers.append((request.key, answer)))

        asyncio.run(ask())
        return pickle.dumps((self.engine.unusable, answers))
