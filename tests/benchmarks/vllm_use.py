"""What each way of keeping vLLM busy buys, as ratios of requests a second within one run, on the CPU build.

    python -m tests.benchmarks.vllm_use [--groups 16] [--rounds 3] [--only order]

A tiny model of random weights answers questions of which eight at a time share a long beginning, as those about one
user's chats do. The store of computed prefixes holds an eighth of all beginnings, as on a GPU with thousands of users.
On a model so small, handing requests around weighs more than on a GPU, and computing weighs less.

Each pair of ways takes turns on the same loaded engine, with texts that it has not seen. A ratio is the median over
rounds of neighbours in time. The table of all also goes to data/measured/vllm.csv, from where the book shows it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "serving"))

import environment
from asking import ask, question
from tiny_model import CONTEXT_LENGTH, make_model

from recenter_utils.inference.engines.vllm import VLLMEngine
from recenter_utils.inference.engines.vllm_order import ordered
from recenter_utils.inference.models import Model
from recenter_utils.inference.requests import Request
from tests.benchmarks import table
from tests.workspaces import ROOT

TABLE = ROOT / "data" / "measured" / "vllm.csv"

SHARING, BLOCK = 8, 128  # questions with one beginning; tokens of a block of vLLM's cache on processors
WORDS = ("bread", "garden", "letter", "flour", "kettle", "window", "recipe", "question", "morning", "river")

Measured = Callable[[], tuple[float, float]]
Row = dict[str, Any]


class Kept(VLLMEngine):
    """Stays loaded between questions."""

    async def close(self) -> None:
        """Do nothing."""


def texts(groups: int, draw: random.Random, words: int = 300) -> list[Request]:
    """Return questions in groups with a long shared beginning of so many words, in a drawn order."""
    found = []
    for _ in range(groups):
        beginning = " ".join(draw.choices(WORDS, k=words)) + f" {draw.random()} "
        found += [question(draw.randrange(10**9), beginning, task=None, max_tokens=8) for _ in range(SHARING)]
    draw.shuffle(found)
    return found


@contextmanager
def loaded(model: Path, groups: int, replicas: int = 1, window: int = 256) -> Iterator[Kept]:
    """Return an engine that has answered once; ends it."""
    options = {
        "python": str(environment.VENV / "bin" / "python"),
        "enforce_eager": True,
        "distributed_executor_backend": "uni",
        "replicas": replicas,
        "requests_in_flight": window,
        # Room for an eighth of the beginnings, which have some 1,000 tokens each; at least for the longest request.
        "num_gpu_blocks_override": max(groups * 1000 // BLOCK // 8, CONTEXT_LENGTH // BLOCK + 1),
    }
    settings = {"name": "tiny", "engine": "vllm", "served_name": str(model), "context_length": CONTEXT_LENGTH}
    engine = Kept(Model(**settings, options=options))
    try:
        while len([replica for replica in engine.replicas if replica.worker]) < replicas:
            ask(engine, texts(2 * window // SHARING, random.Random(0), 5))
        yield engine
    finally:
        asyncio.run(VLLMEngine.close(engine))


def speed(engine: Kept, requests: Sequence[Request]) -> tuple[float, float]:
    """Return requests a second, and the share of the prompts' tokens that were computed before."""
    engine.prefix_tokens = engine.read_tokens = 0
    started = time.perf_counter()
    answers = ask(engine, requests)
    seconds = time.perf_counter() - started
    assert not [answer.detail for answer in answers.values() if answer.error not in (None, "truncated")]
    return len(requests) / seconds, engine.prefix_tokens / engine.read_tokens


def compare(name: str, other: str, one: Measured, two: Measured, rounds: int) -> Row:
    """Return, and print, how much faster the first way is, with the speeds and shares of prefixes."""
    pairs = []
    for number in range(rounds):
        if number % 2:
            second, first = two(), one()
        else:
            first, second = one(), two()
        pairs.append((first, second))
    row = {"way": name, "beside": other, "ratio": statistics.median(first[0] / second[0] for first, second in pairs)}
    for place, whose in enumerate(("", "beside_")):
        row[f"{whose}requests_a_second"] = statistics.median(pair[place][0] for pair in pairs)
        row[f"{whose}computed_before"] = statistics.median(pair[place][1] for pair in pairs)
    print(table.rounded(row), flush=True)
    return row | {"rounds": rounds}


def order(model: Path, groups: int, rounds: int) -> Iterable[Row]:
    """Yield what it buys to keep shared beginnings side by side, and to begin with what is long."""
    draw = random.Random(1)

    def mixed() -> list[Request]:
        return [one for words in (20, 60, 180, 540) for one in texts(groups // 4, draw, words)]

    with loaded(model, groups) as engine:
        yield compare(
            "sorted", "shuffled", lambda: speed(engine, ordered(texts(groups, draw))),
            lambda: speed(engine, texts(groups, draw)), rounds,
        )  # fmt: skip
        yield compare(
            "longest first", "longest last", lambda: speed(engine, ordered(mixed())),
            lambda: speed(engine, ordered(mixed())[::-1]), rounds,
        )  # fmt: skip


def windows(model: Path, groups: int, rounds: int) -> Iterable[Row]:
    """Yield what it buys to have many requests in flight."""
    draw = random.Random(2)

    def within(engine: Kept, size: int) -> tuple[float, float]:
        engine._window = size
        return speed(engine, ordered(texts(groups, draw)))

    with loaded(model, groups) as engine:
        for size in (1, 8, 64):
            fewer = partial(within, engine, size)
            yield compare("256 in flight", str(size), partial(within, engine, 256), fewer, rounds)


def replicas(model: Path, groups: int, rounds: int, number: int = 2) -> Iterable[Row]:
    """Yield what it buys to have a replica on each half of the processors, beside one on all of them."""
    draw = random.Random(3)
    with loaded(model, groups) as one, loaded(model, groups, number) as several:
        yield compare(
            f"{number} replicas", "1, on all cores", lambda: speed(several, ordered(texts(groups, draw))),
            lambda: speed(one, ordered(texts(groups, draw))), rounds,
        )  # fmt: skip


PARTS = {"order": order, "windows": windows, "replicas": replicas}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--groups", type=int, default=16, help=f"of {SHARING} questions with one beginning")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=PARTS)
    given = parser.parse_args()
    if reason := environment.unsupported():
        sys.exit(f"vLLM cannot run here: {reason}.")
    environment.make()
    os.environ |= {"HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_HOST_IP": "127.0.0.1"}
    os.environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}  # a process less to load
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    about, rows = {"groups": given.groups} | table.circumstances(), []
    with tempfile.TemporaryDirectory() as folder:
        tiny = make_model(Path(folder) / "tiny")
        for name, part in PARTS.items():
            if given.only in (None, name):
                rows += [row | about for row in part(tiny, given.groups, given.rounds)]
    if given.only is None:
        table.save(rows, TABLE)
        print(f"The table is in {TABLE}.")
