"""How fast an embedded model reads conversations, beside itself one at a time and beside MiniLM's part alone.

`python -m tests.benchmarks.embedded [--conversations 500]`; at one size, every embedded model is measured too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from recenter_utils.inference.embeddings import BATCH, encoder
from recenter_utils.inference.engines.embedded import EmbeddedEngine
from recenter_utils.inference.models import load_models
from recenter_utils.inference.requests import Answer, Request
from recenter_utils.inference.rules import TEXTS, topics
from tests.benchmarks.embeddings import warm
from tests.benchmarks.table import alone
from tests.benchmarks.timing import Row, Way, compare

PART, UNIT = "embedded models", "conversations"
SIZES = {"small": (10, 20, 40), "full": (50, 150, 450)}

#: The one that has MiniLM see every conversation.
MODEL = "embedded-eager"

TURNS = (
    "I'm a nurse and I work nights, row {row}. What can I cook that keeps until 3am, without milk?",
    "A lentil stew keeps well in a flask.",
    "nice. shorter please, and what about something for my two kids?",
    "Pasta bake, twenty minutes.",
    'now a thank-you card for my boss, as her dog: "I am {row} years old and I love sausages"',
)


def requests(rows: int) -> list[Request]:
    made = []
    for row in range(rows):
        turns = [
            {"turn": place, "role": ("user", "assistant")[place % 2], "content": text.format(row=row)}
            for place, text in enumerate(TURNS)
        ]
        made.append(Request(str(row).encode(), "attribute_extraction", [], None, {}, {"conversation": turns}))
    return made


def read(engine: EmbeddedEngine, *groups: list[Request]) -> list[Answer]:
    """Let a model read groups of requests, one group after the other, from nothing; return its answers."""
    answers: list[Answer] = []
    topics.forget()

    async def read_all() -> None:
        for group in groups:
            await engine.ask(iter(group), lambda _, answer: answers.append(answer))

    asyncio.run(read_all())
    assert all(answer.error is None for answer in answers)
    return answers


def measure(size: int) -> Row:
    topics.bank()
    warm()
    engine, asked = EmbeddedEngine(load_models()[MODEL]), requests(size)
    texts = {text for request in asked for text in TEXTS[request.task](request.slots, engine.dials)} - {""}
    gists = sorted(texts, key=len, reverse=True)
    batches = [gists[start : start + BATCH] for start in range(0, len(gists), BATCH)]
    assert read(engine, asked[:20]) == read(engine, *([one] for one in asked[:20]))
    return compare(
        PART, size, UNIT, lambda: read(engine, asked),
        Way("the same model, a conversation at a time", lambda: read(engine, *([one] for one in asked))),
        Way("MiniLM's part alone", lambda: [encoder().encode(batch) for batch in batches]),
        f"five turns each, {MODEL}; the same answers",
    )  # fmt: skip


def others(size: int) -> Iterator[str]:
    asked = requests(size)
    for name, model in load_models().items():
        if model.engine == "embedded":
            started = time.process_time()
            read(EmbeddedEngine(model), asked)
            yield f"{name:20}{size / (time.process_time() - started):9.0f} conversations a second of CPU"


if __name__ == "__main__":
    alone(UNIT, SIZES, measure, others)
