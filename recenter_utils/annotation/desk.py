"""Between the event loop and the store: what came together is committed together, and acknowledged after that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from recenter_utils.annotation.store import Store

T = TypeVar("T")


class Desk:
    """Does what the event loop asks of the store: one thing after another, and what came together in one commit.

    Nobody hears of a result before the commit that holds it, so that fifty answers at once wait for one write to the
    disk, and the loop for none.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._waiting: list[tuple[Callable[[Store], Any], asyncio.Future[Any]]] = []
        self._busy = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="answers")
        self._task: asyncio.Task[None] | None = None

    async def do(self, work: Callable[[Store], T]) -> T:
        """Return what `work` returns, once it is on the disk; raise what it raises, and then nothing of it is kept."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._waiting.append((work, answer))
        if not self._busy:
            self._busy = True
            self._task = loop.create_task(self._serve())
        return await answer

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                outcomes = await loop.run_in_executor(self._thread, self._commit, [work for work, _ in batch])
                for (_, answer), (result, problem) in zip(batch, outcomes, strict=True):
                    if answer.done():  # whoever asked has gone
                        continue
                    if problem is None:
                        answer.set_result(result)
                    else:
                        answer.set_exception(problem)
        finally:
            self._busy = False

    def _commit(self, batch: list[Callable[[Store], Any]]) -> list[tuple[Any, Exception | None]]:
        outcomes: list[tuple[Any, Exception | None]] = []
        try:
            with self.store.transaction():
                for work in batch:
                    try:
                        with self.store.transaction():
                            outcomes.append((work(self.store), None))
                    except Exception as problem:
                        outcomes.append((None, problem))
        except Exception as problem:
            # Nothing of the batch reached the disk, whatever the parts said.
            return [(None, problem)] * len(batch)
        return outcomes

    async def close(self) -> None:
        """Finish what waits, and let go of the file."""
        if self._task:
            await self._task
        self._thread.shutdown()
        self.store.close()
