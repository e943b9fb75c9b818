"""A run that its cache answers alone, beside joblib's cache of a function and a bare SQLite select of the same rows.

`python -m tests.benchmarks.rerunning [--rows 100000]`
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from joblib import Memory

from recenter_utils.inference.engines.base import Deliver, Engine
from recenter_utils.inference.models import Model
from recenter_utils.inference.requests import Answer, Questions, Request
from recenter_utils.inference.run import run
from recenter_utils.inference.tasks import LANGUAGE_CHECK
from tests.benchmarks.asking import items
from tests.benchmarks.table import alone
from tests.benchmarks.timing import Row, Way, compare

PART, UNIT = "rerun from the cache", "rows"
SIZES = {"small": (50, 100, 200), "full": (3_000, 9_000, 27_000)}

#: Rows of which joblib is asked; its time is scaled up to all.
ASKED = 300


class Filling(Engine):
    """Fills a cache without a server."""

    async def ask(self, requests: Iterator[Request], deliver: Deliver) -> None:
        for number, request in enumerate(requests):
            deliver(request, Answer('{"is_english": true}', prompt_tokens=300, completion_tokens=10))
            if number % 1000 == 0:
                await asyncio.sleep(0)


def answer(slots: dict[str, Any]) -> dict[str, Any]:
    """Stand for a function that asks a server."""
    return {"is_english": True, "text": '{"is_english": true}', "prompt_tokens": 300, "completion_tokens": 10}


def selected(path: Path, keys: list[bytes]) -> list[Any]:
    """Return the stored rows of some keys."""
    found = []
    with closing(sqlite3.connect(path)) as database:
        for start in range(0, len(keys), 500):
            part = keys[start : start + 500]
            query = f"SELECT * FROM answers WHERE key IN ({','.join('?' * len(part))}) AND error IS NULL"
            found += database.execute(query, part).fetchall()
    return found


def measure(size: int) -> Row:
    rows, asked = items(size), min(size, ASKED)
    # Nobody listens there: a single request would end the run.
    model = Model(name="fake", engine="openai", base_url="http://127.0.0.1:9/v1")
    keys = Questions.of(LANGUAGE_CHECK, model, None, 0).keys(rows)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answers.sqlite"
        run(LANGUAGE_CHECK, rows, model, cache=path, engine=Filling(model), progress=False)
        remembered = Memory(folder, verbose=0).cache(answer)

        def joblib() -> list[Any]:
            return [remembered(slots) for slots in rows[:asked]]

        joblib()
        assert len(selected(path, keys)) == size
        return compare(
            PART, size, UNIT, lambda: run(LANGUAGE_CHECK, rows, model, cache=path, progress=False),
            Way("joblib's Memory, a call a row", joblib, asked / size),
            Way("a bare SQLite select of the same rows", lambda: selected(path, keys)),
            "0 requests; every answer checked, parsed and put into a frame",
        )  # fmt: skip


if __name__ == "__main__":
    alone(UNIT, SIZES, measure)
