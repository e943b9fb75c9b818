"""One of the processes that serve a model: what it holds, its second lives, and what it has done."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import count, islice
from typing import TYPE_CHECKING, Any

from recenter_utils.inference.engines.base import Deliver
from recenter_utils.inference.engines.vllm_process import GoneError, Worker
from recenter_utils.inference.engines.vllm_shares import Share
from recenter_utils.inference.requests import Answer, Request
from recenter_utils.inference.scores import ALTERNATIVES, TAIL, Token, score

if TYPE_CHECKING:
    from recenter_utils.inference.engines.vllm import VLLMEngine

#: Times a worker that died with requests in hand is replaced; a model that keeps dying would load for ever.
RESTARTS = 2


class Replica:
    """Asks a worker process of its own. Replicas of a model share its requests, and none waits for another."""

    def __init__(self, engine: VLLMEngine, share: Share) -> None:
        self.engine, self.share = engine, share
        self.model = engine.model
        self.worker: Worker | None = None
        self.given_up = ""  # why no further worker is started
        self.loaded_in: float | None = None  # seconds, the first time
        self._deaths = 0

    async def serve(self, requests: Iterator[Request], deliver: Deliver, window: int, block: int | None) -> None:
        """Pull requests and deliver an answer to each. A worker that dies takes only the requests it holds with it.

        window: requests in hand. block: pull so many at a time, where other replicas pull from the same requests:
        neighbours share a beginning, and belong to one replica. None: as many as there is room for.
        """
        held: dict[int, Request] = {}
        numbers = count()
        while True:
            # One that is given up leaves the rest to the others; the last one says of each why there is no answer.
            if self.given_up and not self.engine.unusable:
                return
            room = window - len(held)
            least = block or 1
            fresh = dict(zip(numbers, islice(requests, (block or room) if room >= least else 0), strict=False))
            held |= fresh
            if not held:
                return
            try:
                worker = await self._start()
                await worker.send([self._line(number, request) for number, request in fresh.items()])
                if block and len(fresh) == block and window - len(held) >= block:
                    continue
                answers = (await worker.receive(self.model.timeout))["answers"]
            except GoneError as problem:
                self._lose_worker(str(problem))
                for request in held.values():
                    deliver(request, Answer(error="server", detail=str(problem)))
                held.clear()
                continue
            for said in answers:
                deliver(*self._read(held.pop(said.pop("number")), said))

    def stop(self) -> None:
        """End the worker and every process vLLM started."""
        if self.worker is not None:
            self.worker.end()
            self.worker = None

    def _read(self, request: Request, said: dict[str, Any]) -> tuple[Request, Answer]:
        tokens = [Token(*token) for token in said.pop("tokens", ())]
        self.engine.prefix_tokens += said.pop("shared", 0)
        answer = Answer(**said)
        self.engine.read_tokens += answer.prompt_tokens
        if request.line and not answer.error:
            answer.score = score(answer.text, tokens, request.line)
        return request, answer

    async def _start(self) -> Worker:
        if self.given_up:
            raise GoneError(self.given_up)
        if self.worker is None:
            started = time.monotonic()
            try:
                self.worker = Worker(self.engine.python, self.share.environment)
                await self.worker.send([json.dumps(self._setup())])
                said = await self.worker.receive(self.engine.load_timeout)
            except GoneError as problem:
                self._give_up(f"vLLM did not load model '{self.model.name}' ({self.engine.python}): {problem}")
                raise GoneError(self.given_up) from None
            if "unusable" in said:
                self._give_up(
                    f"Model '{self.model.name}' runs in vLLM, and {self.engine.python} cannot: {said['unusable']} "
                    "in the environment variable RECENTER_VLLM_PYTHON."
                )
                raise GoneError(self.given_up)
            if self.loaded_in is None:
                self.loaded_in = time.monotonic() - started
        return self.worker

    def _line(self, number: int, request: Request) -> str:
        schema = request.schema if self.model.json_schema else None
        line = {"number": number, "messages": request.messages, "schema": schema, "sampling": dict(request.sampling)}
        if request.line and self.model.logprobs:
            allowed = int(self.model.options.get("max_logprobs", ALTERNATIVES[0]))
            line |= {"tokens": TAIL, "alternatives": min(ALTERNATIVES[0], allowed)}
        return json.dumps(line)

    def _setup(self) -> dict[str, Any]:
        template = self.model.options.get("chat_template_kwargs", {})
        return {"llm": self.engine.arguments(), "template": template, "processors": self.share.processors}

    def _lose_worker(self, detail: str) -> None:
        self.stop()
        self._deaths += 1
        if self._deaths > RESTARTS and not self.given_up:
            self._give_up(f"vLLM ended {self._deaths} times serving model '{self.model.name}': {detail}")

    def _give_up(self, why: str) -> None:
        self.given_up = why
        self.engine.lost_replica(why)
