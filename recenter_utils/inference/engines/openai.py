"""Any server that speaks the OpenAI chat protocol: vLLM, OpenAI, Anthropic's compatible endpoint, and others."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from typing import Any

import openai

from recenter_utils.inference.cache import Cache
from recenter_utils.inference.engines import failures
from recenter_utils.inference.engines.base import Deliver, Engine
from recenter_utils.inference.models import Model
from recenter_utils.inference.requests import Answer, ErrorKind, Request
from recenter_utils.inference.scores import ALTERNATIVES, openai_tokens, score

#: Seconds before the first retry; doubles with each.
BACKOFF = 0.5

#: Seconds to wait for a connection; a server that is there takes milliseconds.
CONNECT = 10.0

#: Requests that fail one after another, retries included, before the rest is spared: at least these, and as many as
#: are in flight at once. A server that hangs would otherwise cost minutes a row.
GIVE_UP_AFTER = 10

#: How many alternatives to a token a request may ask for, one after the other; None: no log-probabilities at all.
_ASK_FOR: tuple[int | None, ...] = (*ALTERNATIVES, None)

#: The first of these that a server takes, by address and model: what one run learns, the next need not.
_taken: dict[tuple[str, str], int] = {}


class OpenAIEngine(Engine):
    """Asks over HTTP with a pool of workers that share one iterator of requests.

    Workers, and not a task a request: a task for each of a million requests costs a quarter of the speed
    and holds them all in memory. The client's aiohttp transport saves most of the rest.
    """

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self._key = model.key()
        timeout = openai.Timeout(model.timeout, connect=min(CONNECT, model.timeout))
        self.client = openai.AsyncOpenAI(
            api_key=self._key or "none",
            base_url=model.base_url,
            max_retries=0,  # our own loop counts tries and lets Retry-After hold back every worker
            timeout=timeout,
            http_client=openai.DefaultAioHttpClient(timeout=timeout),
        )
        self._resume_at = 0.0
        self._answered = self._failed_in_a_row = 0
        self._given_up = ""
        self._graded = False  # whether a request with log-probabilities was ever answered
        self._server = (str(model.base_url), model.asked_name)

    async def ask(self, requests: Iterator[Request], deliver: Deliver) -> None:
        """See `Engine.ask`."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self.model.concurrency):
                group.create_task(self._work(requests, deliver))

    async def ask_batch(self, requests: Iterator[Request], deliver: Deliver, cache: Cache | None) -> None:
        """See `Engine.ask_batch`: uploads what is new, waits, and reads the results."""
        from recenter_utils.inference.engines.openai_batch import ask_batch

        await ask_batch(self, list(requests), deliver, cache)

    async def close(self) -> None:
        """Close the connections."""
        await self.client.close()

    async def _work(self, requests: Iterator[Request], deliver: Deliver) -> None:
        for request in requests:
            deliver(request, await self._answer(request))

    async def _answer(self, request: Request) -> Answer:
        step = self.step(request)
        body = self.body(request, step)
        asked = tries = 0
        answered = self._answered
        while True:
            await self._wait_while_held_back()
            if self.unusable or self._given_up:
                return Answer(error="server", detail=self.unusable or self._given_up, asked=asked)
            asked, tries = asked + 1, tries + 1
            try:
                async with asyncio.timeout(self.model.timeout):
                    content = await self.client.post("/chat/completions", body=body, cast_to=object)
            except Exception as problem:  # whatever a client raises for a request is that row's, and nobody else's
                if isinstance(problem, openai.RateLimitError) and self._answered > answered:
                    # The server is limiting us, not failing: others were answered meanwhile.
                    tries, answered = 0, self._answered
                pause = self._pause(problem, tries)
                if self._minds_logprobs(problem, step):
                    step, tries, pause = step + 1, 0, 0.0
                    body = self.body(request, step)
                if pause is None:
                    answer = self._failure(problem)
                    answer.asked = asked
                    return answer
            else:
                self._answered, self._failed_in_a_row = self._answered + 1, 0
                self.learn(request, step)
                answer = self.read(content, request)
                answer.asked = asked
                return answer
            await asyncio.sleep(pause)

    def step(self, request: Request) -> int:
        """Return how a request asks for log-probabilities: its place in `_ASK_FOR`, the last for not at all."""
        last = len(_ASK_FOR) - 1
        return _taken.get(self._server, 0) if request.line and self.model.logprobs else last

    def wants_logprobs(self, request: Request) -> bool:
        """Tell whether a request is asked with log-probabilities."""
        return _ASK_FOR[self.step(request)] is not None

    def spare_logprobs(self) -> None:
        """Remember that the server takes none: for batches, where a try costs a night."""
        _taken[self._server] = len(_ASK_FOR) - 1

    def learn(self, request: Request, step: int) -> None:
        """Remember that the server takes requests of this step."""
        if request.line and self.model.logprobs:
            self._graded = self._graded or _ASK_FOR[step] is not None
            _taken[self._server] = max(step, _taken.get(self._server, 0))

    def _minds_logprobs(self, problem: Exception, step: int) -> bool:
        if _ASK_FOR[step] is None or not isinstance(problem, openai.APIStatusError):
            return False
        return failures.minds_logprobs(problem.status_code, failures.words(problem), self._graded)

    def body(self, request: Request, step: int | None = None) -> dict[str, Any]:
        """Return the request as the protocol has it. A model's options may rename or leave out fields.

        step: see `step`; by default that of what the server is known to take.
        """
        body: dict[str, Any] = {
            "model": self.model.asked_name,
            "messages": request.messages,
            **request.sampling,
        }
        if request.schema and self.model.json_schema:
            schema = {"name": request.task, "schema": request.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        if alternatives := _ASK_FOR[self.step(request) if step is None else step]:
            body |= {"logprobs": True, "top_logprobs": alternatives}
        for name, other in self.model.options.get("rename", {}).items():
            if name in body:
                body[other] = body.pop(name)
        for name in self.model.options.get("omit", []):
            body.pop(name, None)
        return body | self.model.options.get("extra_body", {})

    def read(self, content: Any, request: Request) -> Answer:
        """Return what a chat completion says; a body of another shape is a server's error, not ours."""
        try:
            choice = content["choices"][0]
            message = choice["message"]
            text, refusal, reason = message.get("content"), message.get("refusal"), choice.get("finish_reason")
        except (KeyError, IndexError, TypeError, AttributeError):
            return Answer(error="server", detail=self.clean(f"the answer is no chat completion: {content!r}"))
        usage = content.get("usage")
        answer = Answer(
            self._without_key(text) if isinstance(text, str) else None,
            prompt_tokens=failures.count(usage, "prompt_tokens"),
            completion_tokens=failures.count(usage, "completion_tokens"),
        )
        if refusal or reason == "content_filter":
            answer.error, answer.detail = "refused", self.clean(str(refusal or "content filter"))
        elif reason == "length":
            answer.error, answer.detail = "truncated", "the answer reached max_tokens"
        elif not answer.text:
            answer.error, answer.detail = "unparsed", "the answer is empty"
        elif request.line:
            answer.score = score(text, openai_tokens(choice), request.line)
        return answer

    def clean(self, text: str) -> str:
        """Return a message from outside fit to be shown: short, and without the key that some servers echo."""
        return self._without_key(text)[:500]

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text

    async def _wait_while_held_back(self) -> None:
        while (seconds := self._resume_at - time.monotonic()) > 0:
            await asyncio.sleep(seconds)

    def _pause(self, problem: Exception, tries: int) -> float | None:
        """Return seconds to wait before the next try, or None where another try makes no sense."""
        if tries > self.model.retries or not failures.is_passing(problem):
            return None
        if failures.nobody_listens(problem) and not self._answered:
            return None  # a wrong address, or no server: better said at once than after every retry
        pause = min(BACKOFF * 2 ** max(tries - 1, 0), failures.LONGEST_PAUSE) * random.uniform(0.8, 1.2)
        told = failures.told_to_wait(problem)
        if told is None and not isinstance(problem, openai.RateLimitError):
            return pause
        # One such answer speaks for the whole account, so every worker waits.
        self._resume_at = max(self._resume_at, time.monotonic() + (pause if told is None else told))
        return 0.0

    def _failure(self, problem: Exception) -> Answer:
        kind: ErrorKind = "server"
        name = f"model '{self.model.name}'"
        if isinstance(problem, openai.APIStatusError):
            status = problem.status_code
            detail = f"{status}: {failures.words(problem)}"
            kind = failures.kind_of(status, failures.words(problem))
            if status in (401, 403) and kind == "server":
                variable = self.model.key_env
                remedy = f"check the environment variable {variable}" if variable else "it wants a key: set key_env"
                self._stop(f"The server of {name} refused the key", detail, remedy)
            elif status in (404, 405):
                remedy = "check served_name and base_url in the models file"
                self._stop(f"The server of {name} does not know '{self.model.asked_name}'", detail, remedy)
            elif failures.out_of_money(problem):
                self._stop(f"The account behind {name} is out of credit", detail, "top it up")
        elif failures.nobody_listens(problem):
            detail = f"no connection: {failures.root(problem)}"
            remedy = "start the server, or correct base_url in the models file"
            self._stop(f"Nothing answers at {self.model.base_url} ({name})", detail, remedy)
        elif isinstance(failures.root(problem), TimeoutError):
            detail = f"no answer within {self.model.timeout:g} s"
        elif isinstance(problem, openai.APIConnectionError):
            detail = f"the connection failed: {failures.root(problem)}"
        else:
            detail = f"the answer is not readable: {problem}"
        if failures.is_passing(problem):
            self._failed_in_a_row += 1
            if self._failed_in_a_row >= max(GIVE_UP_AFTER, self.model.concurrency):
                self._given_up = self.clean(f"not asked: the server failed too often in a row (last: {detail})")
        else:
            self._failed_in_a_row = 0
        return Answer(error=kind, detail=self.clean(detail))

    def _stop(self, what: str, detail: str, remedy: str) -> None:
        self.unusable = self.clean(f"{what} ({detail}): {remedy}.")
