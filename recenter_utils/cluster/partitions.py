"""Partitions of a corpus on a cluster: one function over many of them, in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from recenter_utils.cluster import connection

Part = TypeVar("Part")
Result = TypeVar("Result")

#: Partitions on their way for each processor: while one is worked on, the next arrives.
AHEAD = 2


def in_order(work: Callable[[Part], Result], parts: Iterable[Part]) -> Iterator[Result]:
    """Yield what `work` makes of each part, in their order: here, or on the cluster that is wanted.

    work: a function that can be pickled and depends on its argument alone. parts: pulled as room comes free, so that
    memory holds no more than AHEAD a processor of the cluster. These are Ray tasks and not a Ray dataset, because a
    dataset is known before it starts, and what a corpus holds is known when it has been read.
    """
    if connection.wanted() is None:
        yield from map(work, parts)
        return
    ray = connection.connect()
    remote, told = ray.remote(_applied), ray.put(work)
    room = AHEAD * connection.workers({"CPU": 1})
    under_way: deque[Any] = deque()
    for part in parts:
        if len(under_way) == room:
            yield ray.get(under_way.popleft())
        under_way.append(remote.remote(told, part))
    while under_way:
        yield ray.get(under_way.popleft())


def _applied(work: Callable[[Part], Result], part: Part) -> Result:
    return work(part)
