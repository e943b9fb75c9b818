"""Ray Data, as far as it is used here: blocks of bytes through a pool of actors."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from recenter_utils.cluster import connection

#: Times a block is tried again after its actor has died of it, before it is given up.
RESTARTS = 2


class Worker(Protocol):
    """What an actor holds: made once, called with a block at a time."""

    def __call__(self, block: bytes) -> bytes:
        """Return what is made of a block."""


def mapped(
    blocks: Sequence[bytes], worker: type[Worker], arguments: tuple[Any, ...], each: dict[str, float], size: int
) -> Iterator[bytes]:
    """Yield what workers make of blocks, as they finish, in no order. What no actor survives is missing.

    worker: a class, made with `arguments` in each of `size` actors. each: what an actor takes of the cluster.
    """
    ray = connection.connect()
    from ray.data import ActorPoolStrategy, DataContext, from_items

    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setLevel(logging.ERROR)  # the run has a progress line of its own
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.max_errored_blocks = -1
    tries = ray.remote(num_cpus=0)(Tries).remote()
    rows = [{"number": number, "block": block} for number, block in enumerate(blocks)]
    data = from_items(rows, override_num_blocks=len(blocks)).map_batches(
        Actor,
        fn_constructor_args=(worker, arguments, tries),
        batch_size=1,
        compute=ActorPoolStrategy(size=size, max_tasks_in_flight_per_actor=2),
        num_cpus=each.get("CPU", 0),
        num_gpus=each.get("GPU", 0),
        runtime_env={"env_vars": connection.environment()},
    )
    for row in data.iter_rows():
        if row["block"]:
            yield row["block"]


class Tries:
    """Counts how often each block was begun. Ray starts an actor that died again, with its block, for ever."""

    def __init__(self) -> None:
        self.begun: Counter[int] = Counter()

    def begin(self, number: int) -> bool:
        """Count one more try of a block; return whether there may be one."""
        self.begun[number] += 1
        return self.begun[number] <= RESTARTS + 1


class Actor:
    """A worker in Ray Data's terms: a batch is a column with one block, and what is made of a hopeless one is empty."""

    def __init__(self, worker: type[Worker], arguments: tuple[Any, ...], tries: Any) -> None:
        self.worker, self.tries = worker(*arguments), tries

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        """Return the batch with what the worker made of its blocks."""
        return {"block": [self._made(*row) for row in zip(batch["number"], batch["block"], strict=True)]}

    def _made(self, number: int, block: bytes) -> bytes:
        import ray

        return self.worker(bytes(block)) if ray.get(self.tries.begin.remote(int(number))) else b""
