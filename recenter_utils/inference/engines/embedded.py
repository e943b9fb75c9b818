"""The embedded engine: models made of rules and MiniLM that run anywhere, offline, on the CPU.

They truly read the text of a request and answer in the task's own schema or words, at operating points set by
dials, so that a study runs from end to end with no network, key or GPU. None is a language model.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from recenter_utils.inference.engines.base import Deliver, Engine
from recenter_utils.inference.models import Model
from recenter_utils.inference.requests import Answer, Request
from recenter_utils.inference.rules import RULES, TEXTS, Dials, Graded
from recenter_utils.inference.rules.topics import keep, remember
from recenter_utils.inference.vectors import STORE

#: Requests pulled at once: enough for MiniLM to encode in full batches.
CHUNK = 256


class EmbeddedEngine(Engine):
    """Answers each request by its task's rule. Deterministic; reads `request.slots` only."""

    def __init__(self, model: Model, cache: Path | None = None) -> None:
        super().__init__(model)
        self.vectors = cache.with_name(STORE) if cache else None
        self.dials = Dials.of(model.options, model.name)

    async def ask(self, requests: Iterator[Request], deliver: Deliver) -> None:
        """Answer every request, a chunk at a time; see `Engine.ask`."""
        while chunk := list(islice(requests, CHUNK)):
            # In a thread, because the loop also commits answers while MiniLM is busy.
            await asyncio.to_thread(self.encode, chunk)
            for request in chunk:
                deliver(request, self._answer(request))
                await asyncio.sleep(0)

    def encode(self, chunk: list[Request]) -> None:
        """Put what MiniLM must see of these requests through it in one batch."""
        wanted: list[str] = []
        for request in chunk:
            if texts := TEXTS.get(request.task):
                try:
                    wanted += texts(request.slots, self.dials)
                except (KeyError, TypeError, AttributeError):
                    continue  # its own answer will carry the error
        keep(self.vectors)
        if wanted:
            remember(wanted)

    def _answer(self, request: Request) -> Answer:
        asked = sum(len(message["content"]) for message in request.messages) // 4
        rule = RULES.get(request.task)
        if rule is None:
            detail = f"The embedded models know no task '{request.task}'; they know {', '.join(RULES)}."
            return Answer(error="server", detail=detail, prompt_tokens=asked)
        try:
            said = rule(request.slots, self.dials)
        except Exception as problem:
            detail = f"{type(problem).__name__}: {problem}"
            return Answer(error="server", detail=detail, prompt_tokens=asked)
        text = said.text if isinstance(said, Graded) else said if isinstance(said, str) else json.dumps(said)
        score = said.score if isinstance(said, Graded) else None
        return Answer(text=text, prompt_tokens=asked, completion_tokens=len(text) // 4, score=score)
