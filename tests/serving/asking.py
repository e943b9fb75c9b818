"""What the tests ask, and one way to ask it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from recenter_utils.inference.engines import Engine
from recenter_utils.inference.requests import Answer, Request
from recenter_utils.inference.tasks import LANGUAGE_CHECK, Task


def question(
    number: int, text: str = "Is this English?", *, task: Task | None = LANGUAGE_CHECK, **sampling: object
) -> Request:
    """Return a request like those of the runner; `task` None asks for free text."""
    return Request(
        key=str(number).encode(),
        task=task.name if task else "free",
        messages=[{"role": "system", "content": "Answer."}, {"role": "user", "content": f"{text} ({number})"}],
        schema=task.schema if task else None,
        sampling={"temperature": 0.0, "max_tokens": 64, **sampling},
        line=task.line if task else None,
    )


def ask(
    engine: Engine,
    requests: Sequence[Request],
    after_each: Callable[[int], None] = lambda _: None,
    *,
    then_close: bool = False,
) -> dict[bytes, Answer]:
    """Ask and return the answers by key; `after_each` hears how many have come. No request is answered twice.

    then_close: For engines that hold connections, which belong to the event loop that ends with this call.
    """
    answers: dict[bytes, Answer] = {}

    def deliver(request: Request, answer: Answer) -> None:
        assert request.key not in answers
        answers[request.key] = answer
        after_each(len(answers))

    async def asking() -> None:
        try:
            await engine.ask(iter(requests), deliver)
        finally:
            if then_close:
                await engine.close()

    asyncio.run(asking())
    return answers
