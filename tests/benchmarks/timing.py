"""Times that can be compared on a busy machine: ours, the tool instead and the limit take turns in one process."""

from __future__ import annotations

import gc
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import psutil

#: Turns of each; fewer where one turn of all three takes longer than PATIENCE leaves room for.
ROUNDS, PATIENCE = 3, 12.0


class Way(NamedTuple):
    """Another way to the same end. share: the part of the work that `work` does; its time is scaled up to all of it."""

    name: str
    work: Callable[[], Any]
    share: float = 1.0


@dataclass(frozen=True)
class Row:
    """One part at one size.

    seconds are medians over the rounds, and context; results are `quicker`, the median over rounds of the tool's time
    by ours, and `over_limit`, that of ours by the limit's. peak_mb: memory of the whole process and its children at its
    peak while ours ran, libraries and inputs included.
    """

    part: str
    size: int
    unit: str
    seconds: float
    instead: str
    instead_seconds: float
    quicker: float
    limit: str
    limit_seconds: float
    over_limit: float
    peak_mb: float
    rounds: int
    note: str = ""


class Peak(threading.Thread):
    """The most memory this process and its children hold at once, in bytes, while the block runs."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.bytes, self._done = resident(), threading.Event()

    def run(self) -> None:
        while not self._done.wait(0.05):
            self.bytes = max(self.bytes, resident())

    def __enter__(self) -> Peak:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self.join()
        self.bytes = max(self.bytes, resident())


def resident() -> int:
    """Return the bytes of memory that this process and its children hold."""
    this, total = psutil.Process(), 0
    for process in (this, *this.children(recursive=True)):
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def seconds(work: Callable[[], Any]) -> float:
    """Return the time on the clock that something takes."""
    gc.collect()
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def compare(part: str, size: int, unit: str, ours: Callable[[], Any], instead: Way, limit: Way, note: str = "") -> Row:
    """Let the three take turns, every other time in reverse, and return their row."""
    turns: list[dict[str, float]] = []
    peak, began = 0, time.monotonic()
    ways = {"ours": Way("ours", ours), "instead": instead, "limit": limit}
    while len(turns) < ROUNDS and (not turns or (time.monotonic() - began) * (1 + 1 / len(turns)) < PATIENCE):
        took = {}
        for name in list(ways) if len(turns) % 2 == 0 else reversed(ways):
            with Peak() as watch:
                took[name] = seconds(ways[name].work) / ways[name].share
            peak = max(peak, watch.bytes) if name == "ours" else peak
        turns.append(took)
    middle = {name: statistics.median(took[name] for took in turns) for name in ways}
    if instead.share < 1:
        note = "; ".join(filter(None, (note, f"the tool's time is scaled up from {instead.share:.2%} of the work")))
    return Row(
        part, size, unit, middle["ours"],
        instead.name, middle["instead"], statistics.median(took["instead"] / took["ours"] for took in turns),
        limit.name, middle["limit"], statistics.median(took["ours"] / took["limit"] for took in turns),
        peak / 1e6, len(turns), note,
    )  # fmt: skip
