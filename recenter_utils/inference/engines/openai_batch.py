"""The OpenAI batch interface: uploaded files, half the price, answers within a day."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import openai

from recenter_utils.errors import RecenterError
from recenter_utils.inference.cache import Cache
from recenter_utils.inference.engines import failures
from recenter_utils.inference.engines.base import Deliver
from recenter_utils.inference.requests import Answer, Request

if TYPE_CHECKING:
    from recenter_utils.inference.engines.openai import OpenAIEngine

#: What one batch may hold, a little under the interface's own limits.
MOST_REQUESTS, MOST_BYTES = 50_000, 190_000_000

_ENDED = ("completed", "failed", "expired", "cancelled")
_ENDPOINT: Final = "/v1/chat/completions"


async def ask_batch(engine: OpenAIEngine, requests: list[Request], deliver: Deliver, cache: Cache | None) -> None:
    """Hand in what no open batch holds yet, wait for all of them, and deliver.

    The cache remembers in which batch each request lies before anything is waited for. So a killed run, or one
    that is stopped overnight, finds its batches again, also where further requests have come in between.
    """
    # A night's waiting must outlive a moment's failure.
    client = engine.client.with_options(max_retries=max(engine.model.retries, 2))
    without: list[Request] = []  # refused for the log-probabilities they asked for
    waiting = {request.key: request for request in requests}
    handed_in = cache.batches(waiting) if cache else {}
    try:
        for part in _parts(engine, [request for key, request in waiting.items() if key not in handed_in]):
            batch_id = await _hand_in(client, b"".join(part.values()))
            handed_in |= dict.fromkeys(part, batch_id)
            if cache:
                cache.remember_batch(part, batch_id)
        for batch_id in dict.fromkeys(handed_in.values()):
            outcome = await _outcome(engine, client, batch_id, waiting, deliver, without)
            for key in [key for key, other in handed_in.items() if other == batch_id and key in waiting]:
                deliver(waiting.pop(key), Answer(error="server", detail=engine.clean(outcome)))
    except openai.NotFoundError as problem:
        message = f"{engine.clean(str(problem))}: leave out 'batch'"
        raise RecenterError(f"Model '{engine.model.name}' has no batch interface ({message}).") from None
    except openai.OpenAIError as problem:
        raise RecenterError(
            f"The batch interface of model '{engine.model.name}' failed ({engine.clean(str(problem))}): run again, "
            "and what was handed in is found."
        ) from None
    if without:
        engine.spare_logprobs()
        if cache:
            cache.forget_batches(request.key for request in without)
        await ask_batch(engine, without, deliver, cache)


def _parts(engine: OpenAIEngine, requests: list[Request]) -> Iterator[dict[bytes, bytes]]:
    """Divide requests into batches: a line of the file by key."""
    part: dict[bytes, bytes] = {}
    size = 0
    for request in requests:
        entry = {"custom_id": request.key.hex(), "method": "POST", "url": _ENDPOINT, "body": engine.body(request)}
        line = json.dumps(entry).encode() + b"\n"
        if part and (len(part) >= MOST_REQUESTS or size + len(line) > MOST_BYTES):
            yield part
            part, size = {}, 0
        part[request.key] = line
        size += len(line)
    if part:
        yield part


async def _hand_in(client: openai.AsyncOpenAI, lines: bytes) -> str:
    file = await client.files.create(file=("requests.jsonl", lines), purpose="batch")
    batch = await client.batches.create(input_file_id=file.id, endpoint=_ENDPOINT, completion_window="24h")
    return batch.id


async def _outcome(
    engine: OpenAIEngine,
    client: openai.AsyncOpenAI,
    batch_id: str,
    waiting: dict[bytes, Request],
    deliver: Deliver,
    without: list[Request],
) -> str:
    """Wait for a batch and deliver what came of it; return what to say of the requests that it leaves out."""
    pause = float(engine.model.options.get("batch_poll", 15.0))
    try:
        while (batch := await client.batches.retrieve(batch_id)).status not in _ENDED:
            await asyncio.sleep(pause)
    except openai.NotFoundError:
        return "the server does not know the batch any more"
    for file_id in filter(None, (batch.output_file_id, batch.error_file_id)):
        text = (await client.files.content(file_id)).text
        for line in text.split("\n"):  # not splitlines(): an answer may hold U+2028
            _deliver_line(engine, line, waiting, deliver, without)
    problems = batch.errors.data if batch.errors and batch.errors.data else []
    reasons = "; ".join(problem.message or "" for problem in problems[:3])
    return f"the batch ended as '{batch.status}' without this request" + (f" ({reasons})" if reasons else "")


def _deliver_line(
    engine: OpenAIEngine, line: str, waiting: dict[bytes, Request], deliver: Deliver, without: list[Request]
) -> None:
    try:
        result: dict[str, Any] = json.loads(line)
        response, error = result.get("response") or {}, result.get("error")
        status, body = response.get("status_code"), response.get("body")
        request = waiting.pop(bytes.fromhex(result["custom_id"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return  # whichever request it was about is left waiting, and so gets an error row
    if status == 200:
        return deliver(request, engine.read(body, request))
    said = json.dumps(error or body)
    status = status if isinstance(status, int) else 0
    if engine.wants_logprobs(request) and failures.minds_logprobs(status, said, graded=True):
        without.append(request)
    else:
        deliver(request, Answer(error=failures.kind_of(status, said), detail=engine.clean(said)))
