"""Asking a server: `run` with its cache, beside the openai client's own loop and bare posts of the same bodies.

`python -m tests.benchmarks.asking [--requests 5000]`

One server on the loopback, in a process of its own, answers in JSON after 200 ms; prompts are about 300 tokens; 256
requests are in flight. The limit posts bodies that are ready and reads no answer. At one size, the price of storing
each answer as it comes is measured too.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import openai

from recenter_utils.inference.models import Model
from recenter_utils.inference.run import run
from recenter_utils.inference.tasks import LANGUAGE_CHECK
from tests.benchmarks.table import alone
from tests.benchmarks.timing import Row, Way, compare, seconds
from tests.workspaces import ROOT

PART, UNIT = "asking", "requests"
SIZES = {"small": (20, 40, 80), "full": (100, 300, 900)}

CONCURRENCY, DELAY = 256, 0.2
TURN = "I would like a plan for the week that leaves room for the garden, the letters and a slow breakfast. "
SCHEMA = {"name": "language_check", "schema": LANGUAGE_CHECK.schema, "strict": True}


def items(number: int) -> list[dict[str, Any]]:
    """Return chats that come to about 300 tokens with the prompt around them."""
    return [{"conversation": [{"turn": 0, "role": "user", "content": f"item-{i} {TURN * 2}"}]} for i in range(number)]


def body(model: Model, slots: dict[str, Any]) -> dict[str, Any]:
    """Return what the client is given for one item."""
    prompt = LANGUAGE_CHECK.prompt
    shape = {"type": "json_schema", "json_schema": SCHEMA}
    return {
        "model": model.asked_name, "messages": prompt.messages(slots), "response_format": shape, **prompt.sampling
    }  # fmt: skip


def by_client(model: Model, rows: list[dict[str, Any]]) -> list[Any]:
    """Ask with the client as its documentation shows it, and a semaphore."""

    async def ask_all() -> list[Any]:
        gate = asyncio.Semaphore(CONCURRENCY)
        # By itself it gives up after five seconds of connecting, which a busy machine may need.
        async with openai.AsyncOpenAI(api_key="none", base_url=model.base_url, timeout=600.0) as client:

            async def ask(slots: dict[str, Any]) -> Any:
                async with gate:
                    answer = await client.chat.completions.create(**body(model, slots))
                return LANGUAGE_CHECK.output.model_validate_json(answer.choices[0].message.content or "")

            return list(await asyncio.gather(*map(ask, rows)))

    return asyncio.run(ask_all())


def posted(model: Model, bodies: list[bytes]) -> None:
    """Post bodies that are ready, so many at once, and wait for the last byte of each answer."""

    async def post_all() -> None:
        connector = aiohttp.TCPConnector(limit=CONCURRENCY)
        async with aiohttp.ClientSession(connector=connector, headers={"content-type": "application/json"}) as client:

            async def post(data: bytes) -> None:
                async with client.post(f"{model.base_url}/chat/completions", data=data) as answer:
                    assert answer.status == 200
                    await answer.read()

            await asyncio.gather(*map(post, bodies))

    asyncio.run(post_all())


@contextmanager
def served() -> Iterator[Model]:
    """Start the server; return the model that it plays."""
    command = [sys.executable, "-m", "tests.fake_server", "--after", str(DELAY)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        try:
            assert server.stdout
            url = server.stdout.readline().strip()
            yield Model(name="fake", engine="openai", base_url=url, concurrency=CONCURRENCY)
        finally:
            server.terminate()


def measure(size: int) -> Row:
    rows = items(size)
    with served() as model, tempfile.TemporaryDirectory() as folder:
        fresh = (Path(folder) / f"{number}.sqlite" for number in itertools.count())
        bodies = [json.dumps(body(model, slots)).encode() for slots in rows]
        found = run(LANGUAGE_CHECK, rows[:CONCURRENCY], model, progress=False)
        said = by_client(model, rows[:CONCURRENCY])
        assert found["is_english"].tolist() == [answer.is_english for answer in said]
        return compare(
            PART, size, UNIT, lambda: run(LANGUAGE_CHECK, rows, model, cache=next(fresh), progress=False),
            Way("the openai client's loop", lambda: by_client(model, rows)),
            Way("bare posts of the same bodies", lambda: posted(model, bodies)),
            f"{CONCURRENCY} in flight, {DELAY * 1000:.0f} ms an answer; every answer stored as it comes",
        )  # fmt: skip


def others(size: int) -> Iterator[str]:
    rows = items(size)
    with served() as model, tempfile.TemporaryDirectory() as folder:
        stored = [Path(folder) / f"{number}.sqlite" for number in range(3)]
        took = [
            (
                seconds(lambda: run(LANGUAGE_CHECK, rows, model, progress=False)),
                seconds(lambda path=path: run(LANGUAGE_CHECK, rows, model, cache=path, progress=False)),
            )
            for path in stored
        ]
    without, with_cache = sorted(took, key=lambda pair: pair[0] / pair[1])[1]
    yield f"with storing, the speed is {without / with_cache:.2f} of that without"


if __name__ == "__main__":
    alone(UNIT, SIZES, measure, others)
