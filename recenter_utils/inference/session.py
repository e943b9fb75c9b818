"""One run while it is asking: its budget, its second tries, and the answers on their way to the disk."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from recenter_utils.errors import RecenterError, SilentError
from recenter_utils.inference.cache import Cache, Work
from recenter_utils.inference.costs import cost, expected_cost
from recenter_utils.inference.engines import Engine
from recenter_utils.inference.progress import Progress
from recenter_utils.inference.requests import Answer, Questions, Request
from recenter_utils.inference.tasks import Output, Task

#: Seconds between commits: what a kill may cost, on top of the requests in flight, stays under twice this.
COMMIT_EVERY = 0.05

#: Seconds between notes on how fast answers come: what a kill may cost of these.
RECORD_EVERY = 60.0

#: At temperature 0 the same question gets the same answer, so an answer that does not parse is asked once more,
#: ever; at other temperatures once more a run.
TRIES = 2

#: Errors that lie in the answer itself. They are stored with their raw text; the others are worth nothing later.
_IN_THE_ANSWER = ("unparsed", "truncated", "refused")

T = TypeVar("T")


def parse(task: Task, answer: Answer, slots: Mapping[str, Any] | None = None) -> Output | None:
    """Return the answer's fields; where it does not fit the task, None, with the reason put into the answer.

    slots: what the prompt was filled with, for tasks whose answers must fit it.
    """
    if answer.error or answer.text is None:
        return None
    try:
        fields = task.output.from_text(answer.text)
        if slots is not None:
            fields.check(slots)
        return fields
    except ValidationError as problem:
        fault = problem.errors(include_url=False)[0]
        place = ".".join(map(str, fault["loc"]))
        answer.error, answer.detail = "unparsed", f"{place + ': ' if place else ''}{fault['msg']}"
    except ValueError as problem:
        answer.error, answer.detail = "unparsed", str(problem)
    answer.score = None
    return None


class Session:
    """Asks what is pending, and holds what comes back. `tries` starts with the unusable answers of earlier runs."""

    def __init__(
        self,
        questions: Questions,
        pending: list[Request],
        tries: dict[bytes, int],
        store: Cache | None,
        max_cost: float | None,
        progress: bool,
    ) -> None:
        self.questions, self.pending, self.tries, self.store = questions, pending, tries, store
        self.max_cost = max_cost
        self.cut_short = False  # by max_cost
        self.answers: dict[bytes, Answer] = {}
        self.parsed: dict[bytes, Output] = {}
        self.cost: dict[bytes, float] = {}
        self.held = set[bytes]()  # answered by another run meanwhile
        self._spent = self._reserved = 0.0
        self._in_flight: dict[bytes, float] = {}
        self._unstored: list[tuple[bytes, Answer]] = []
        self._work = Work(0, 0, 0, 0.0)
        self._since = 0.0
        self._bar = Progress(questions.task, questions.model, len(pending), progress)

    async def ask_all(self, engine: Engine, batch: bool) -> None:
        """Ask until every request has its answer or the budget is spent; end early where nothing can be stored."""
        self._bar.watch(engine)
        self._since = time.monotonic() - engine.loading  # what it is yet to load is taken off
        asking = asyncio.create_task(self._ask(engine, batch))
        storing = asyncio.create_task(self._commit_often(engine))
        try:
            await asyncio.wait((asking, storing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            asking.cancel()
            storing.cancel()
            outcomes = await asyncio.gather(asking, storing, return_exceptions=True)
            self._bar.close()
            try:
                self._commit()
                if not batch:  # a batch waits for its turn: how long says nothing of the model
                    self._record(engine)
            finally:
                await engine.close()
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
        if engine.unusable and not self.parsed:
            raise SilentError(engine.unusable)

    async def _ask(self, engine: Engine, batch: bool) -> None:
        asking: Sequence[Request] = self.pending
        while asking:
            self.cut_short = False
            source = self._within_budget(engine.order(asking))
            if batch:
                await engine.ask_batch(source, self._deliver, self.store)
            else:
                await engine.ask(source, self._deliver)
            self._commit()
            if batch and self.store:
                self.store.forget_batches(request.key for request in asking)
            again = [request for request in asking if self._worth_another_try(request)]
            self._bar.extend(len(again))
            # The budget may have been held by requests that then cost less than was expected of them.
            left = [request for request in asking if request.key not in self.answers] if self.cut_short else []
            asking = again + left if not left or self._affordable(expected_cost(engine.model, left[0])) else again

    def _within_budget(self, requests: Sequence[Request]) -> Iterator[Request]:
        for request in requests:
            if self._answered_meanwhile(request):
                continue
            if self.max_cost is not None:
                expected = expected_cost(self.questions.model, request)
                if not self._affordable(expected):
                    self.cut_short = True
                    return
                self._in_flight[request.key] = expected
                self._reserved += expected
            yield request

    def _answered_meanwhile(self, request: Request) -> bool:
        """Take the answer that another run has stored since this one began, if there is one."""
        if self.store is None or not self.store.answered_meanwhile(request.key):
            return False
        self.answers[request.key] = self.store.look_up([request.key])[request.key].answer
        self.held.add(request.key)
        self._bar.extend(-1)
        return True

    def _affordable(self, expected: float) -> bool:
        return self.max_cost is None or self._spent + self._reserved + expected <= self.max_cost

    def _worth_another_try(self, request: Request) -> bool:
        answer = self.answers.get(request.key)
        return answer is not None and answer.error == "unparsed" and self.tries[request.key] < TRIES

    def _deliver(self, request: Request, answer: Answer) -> None:
        key = request.key
        answer.text, answer.detail = _encodable(answer.text), _encodable(answer.detail) or ""
        fields = parse(self.questions.task, answer, request.slots)
        if fields is not None:
            self.parsed[key] = fields
        self.tries[key] = self.tries.get(key, 0) + 1
        self.answers[key] = answer
        dollars = cost(self.questions.model, request, answer)
        self.cost[key] = self.cost.get(key, 0.0) + dollars
        self._spent += dollars
        self._reserved -= self._in_flight.pop(key, 0.0)
        if self.store and (answer.error is None or answer.error in _IN_THE_ANSWER):
            self._unstored.append((key, answer))
        self._bar.step(answer, self._spent)
        if answer.completion_tokens:
            self._work.requests += 1
            self._work.prompt_tokens += answer.prompt_tokens
            self._work.completion_tokens += answer.completion_tokens

    async def _commit_often(self, engine: Engine) -> None:
        # On the event loop, not in a thread: a writer thread starves while the loop is busy, and a kill
        # then costs everything that waits for it.
        while True:
            await asyncio.sleep(COMMIT_EVERY)
            self._commit()
            if time.monotonic() - self._since - engine.loading > RECORD_EVERY:
                self._record(engine)

    def _commit(self) -> None:
        if self.store and self._unstored:
            self.store.store(self.questions.model.name, self._unstored)
            self._unstored = []

    def _record(self, engine: Engine) -> None:
        """Note how fast answers came since the last time; without a cache, or where it cannot be, leave it."""
        now, work = time.monotonic(), self._work
        if not work.requests:
            return  # it may still be loading
        work.seconds, work.gpus = now - self._since - engine.loading, engine.gpus
        if self.store and work.seconds > 0:
            with contextlib.suppress(RecenterError):
                self.store.record(self.questions.model.name, self.questions.task.name, work)
        self._work, self._since = Work(0, 0, 0, 0.0), now - engine.loading


def _encodable(text: str | None) -> str | None:
    # JSON can carry half a surrogate pair; no file can.
    return text if text is None or text.isascii() else text.encode("utf-8", "replace").decode()


def on_own_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in a thread of its own: a notebook's kernel already runs a loop in this one."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(work)
    # Not Thread.join: once interrupted, Python 3.11 takes a thread that still runs for one that has ended.
    ended = threading.Event()

    def target() -> None:
        asyncio.set_event_loop(loop)
        with contextlib.suppress(BaseException):  # the task keeps it
            loop.run_until_complete(task)
        loop.close()
        ended.set()

    try:
        threading.Thread(target=target, name="recenter-run", daemon=True).start()
        _wait(ended)
    except KeyboardInterrupt:
        # Cancel, and wait: the answers that have arrived are stored on the way out.
        with contextlib.suppress(RuntimeError):  # the loop has just ended by itself
            loop.call_soon_threadsafe(task.cancel)
        _wait(ended)
        raise
    return task.result()


def _wait(ended: threading.Event) -> None:
    # In slices, since a wait without a limit cannot be interrupted on every system.
    while not ended.wait(0.2):
        pass
