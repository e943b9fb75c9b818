"""A server that speaks the OpenAI protocol on the loopback, counts what it is asked, and fails as it is told.

Tests run it in a thread: `with FakeServer() as server: ... server.url, server.script["item-3"] = [Reply(status=500)]`.
Benchmarks run it as a process of its own, which prints its address: `python tests/fake_server.py --after 0.2`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import re
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from recenter_utils.inference.models import Model


@dataclass(frozen=True)
class Reply:
    """How one request is answered. `body` is sent as JSON, or as it is where it is bytes; status 0: hang up."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    after: float = 0.0  # seconds
    drip: float = 0.0  # seconds between bytes
    cut: bool = False  # the connection is closed when half of the body is out


@dataclass(slots=True)
class Asked:
    """One request as it came, and when it was answered."""

    name: str  # the item it is about
    body: dict[str, Any]
    headers: dict[str, str]
    came_at: float = field(default_factory=time.monotonic)
    answered_at: float | None = None


def completion(text: str | None, **changes: Any) -> dict[str, Any]:
    """Return the body of a chat completion: `finish`, `usage`, `refusal`, `logprobs` may be changed."""
    message = {"role": "assistant", "content": text, "refusal": changes.get("refusal")}
    usage = changes.get("usage", {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110})
    choice = {"index": 0, "message": message, "finish_reason": changes.get("finish", "stop")}
    choice["logprobs"] = changes.get("logprobs")
    return {"id": "c", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}


def logprobs(*tokens: str | dict[str, float]) -> dict[str, Any]:
    """Return tokens as OpenAI lists them: a text, or one with its alternatives, probability by text, itself first."""

    def entry(text: str, share: float) -> dict[str, Any]:
        return {"token": text, "logprob": math.log(share) if share else -9999.0, "bytes": list(text.encode())}

    content = []
    for token in tokens:
        listed = {token: 1.0} if isinstance(token, str) else token
        others = [entry(text, share) for text, share in listed.items()]
        content.append(others[0] | {"top_logprobs": others})
    return {"content": content, "refusal": None}


def error(status: int, message: str, code: str | None = None, **headers: str) -> Reply:
    """Return an error as OpenAI and vLLM send it."""
    return Reply({"error": {"message": message, "type": "error", "code": code}}, status, headers)


def english(asked: Asked) -> Reply:
    """Answer the language check: items with an even number are English."""
    return Reply(completion(json.dumps({"is_english": int(asked.name[5:] or 0) % 2 == 0})))


def items(number: int) -> list[dict[str, str]]:
    """Return items for the language check, named `item-0` and so on."""
    return [{"conversation": f"item-{i}"} for i in range(number)]


def score_items(number: int) -> list[dict[str, str]]:
    """Return items of the same names for the assistant-use score."""
    return [{"user_turns": f"item-{i}"} for i in range(number)]


class FakeServer:
    """Answers with `behave`, or, for the names in `script`, with one reply after the other; the last one stays."""

    def __init__(self, behave: Callable[[Asked], Reply] = english) -> None:
        self.behave = behave
        self.script: dict[str, list[Reply]] = {}
        self.asked: list[Asked] = []
        self.most_at_once = self._at_once = 0
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.batches_end: str | None = "completed"  # None: they stay in progress
        self.looks_fail = 0  # how many of the next looks at a batch fail
        self.edit_results: Callable[[list[str]], list[str]] = lambda lines: lines
        self._loop: asyncio.AbstractEventLoop
        self._runner: web.AppRunner
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def model(self, **changes: Any) -> Model:
        """Return a model entry that asks this server, with little patience."""
        entry = {"name": "fake", "engine": "openai", "base_url": self.url, "timeout": 10, "retries": 2}
        return Model.model_validate(entry | changes)

    @property
    def counts(self) -> Counter[str]:
        """How often each item was asked."""
        return Counter(asked.name for asked in list(self.asked))

    def __enter__(self) -> FakeServer:
        ready = threading.Event()
        self._thread = threading.Thread(target=self.serve, args=(ready.set,), daemon=True)
        self._thread.start()
        assert ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    kill = __exit__

    def serve(self, ready: Callable[[], object]) -> None:
        """Serve until the loop is stopped; then cut every connection."""
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._start())
        ready()
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()  # or a hanging answer would be waited for
        self._loop.run_until_complete(self._runner.cleanup())
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application(client_max_size=2**28)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/files", self._upload)
        app.router.add_get("/v1/files/{id}/content", self._download)
        app.router.add_post("/v1/batches", self._hand_in)
        app.router.add_get("/v1/batches/{id}", self._look)
        self._runner = web.AppRunner(app, shutdown_timeout=0, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, backlog=1024)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]

    def _reply(self, body: dict[str, Any], headers: dict[str, str]) -> tuple[Asked, Reply]:
        found = re.search(r"item-\d+", body["messages"][-1]["content"])
        asked = Asked(found[0] if found else "", body, headers)
        self.asked.append(asked)
        script = self.script.get(asked.name)
        if not script:
            return asked, self.behave(asked)
        return asked, script.pop(0) if len(script) > 1 else script[0]

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        asked, reply = self._reply(json.loads(await request.read()), dict(request.headers))
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            if reply.after:
                await asyncio.sleep(reply.after)
            if not reply.status and request.transport:
                request.transport.abort()
            data = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            asked.answered_at = time.monotonic()
            headers = {"content-type": "application/json", **reply.headers}
            if not (reply.cut or reply.drip) or not reply.status:
                return web.Response(body=data, status=reply.status or 500, headers=headers)
            response = web.StreamResponse(status=reply.status, headers=headers)
            response.content_length = len(data)
            await response.prepare(request)
            for start in range(len(data) // 2 if reply.cut else len(data)):
                await response.write(data[start : start + 1])
                if reply.drip:
                    await asyncio.sleep(reply.drip)
            if reply.cut and request.transport:
                request.transport.abort()
            return response
        except ConnectionError:  # the client has gone
            return web.Response()
        finally:
            self._at_once -= 1

    async def _upload(self, request: web.Request) -> web.Response:
        name = f"file-{len(self.files)}"
        form = await request.post()
        self.files[name] = form["file"].file.read()  # type: ignore[union-attr]
        return web.json_response({"id": name, "object": "file", "bytes": 1, "created_at": 0, "filename": "f"})

    async def _download(self, request: web.Request) -> web.Response:
        return web.Response(body=self.files[request.match_info["id"]])

    async def _hand_in(self, request: web.Request) -> web.Response:
        name = f"batch-{len(self.batches)}"
        self.batches[name] = {"id": name, "object": "batch", "status": "in_progress", **await request.json()}
        return web.json_response(self.batches[name])

    async def _look(self, request: web.Request) -> web.Response:
        if self.looks_fail:
            self.looks_fail -= 1
            return web.json_response({"error": {"message": "busy"}}, status=503)
        batch = self.batches.get(request.match_info["id"])
        if batch is None:
            return web.json_response({"error": {"message": "no such batch"}}, status=404)
        if batch["status"] == "in_progress" and self.batches_end:
            batch["status"] = self.batches_end
            results: dict[bool, list[str]] = defaultdict(list)
            for line in self.files[batch["input_file_id"]].decode().splitlines():
                asked = json.loads(line)
                _, reply = self._reply(asked["body"], {})
                response = {"status_code": reply.status, "body": reply.body}
                result = {"custom_id": asked["custom_id"], "response": response, "error": None}
                results[reply.status == 200].append(json.dumps(result, ensure_ascii=False))
            for good, kind in ((True, "output_file_id"), (False, "error_file_id")):
                if results[good]:
                    batch[kind] = f"file-{len(self.files)}"
                    self.files[batch[kind]] = "\n".join(self.edit_results(results[good])).encode()
        return web.json_response(batch)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--after", type=float, default=0.2)
    after = parser.parse_args().after
    server = FakeServer(lambda asked: Reply(english(asked).body, after=after))
    server.serve(lambda: print(server.url, flush=True))
