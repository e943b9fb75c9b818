"""Ray Data, as far as it is used here: blocks of bytes through a pool of actors."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from recenter_utils.cluster import connection

#: Times an actor is started again, and its block tried, before the block is given up.
RESTARTS = 2


class Worker(Protocol):
    """What an actor holds: made once, called with a block at a time."""

    def __call__(self, block: bytes) -> bytes:
        """Return what is made of a block."""


def mapped(
    blocks: Sequence[bytes], worker: type[Worker], arguments: tuple[Any, ...], each: dict[str, float], size: int
) -> Iterator[bytes]:
    """Yield what workers make of blocks, as they finish, in no order. A block that keeps killing its actor is missing.

    worker: a class, made with `arguments` in each of `size` actors. each: what an actor takes of the cluster.
    """
    connection.connect()
    from ray.data import ActorPoolStrategy, DataContext, from_items

    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setLevel(logging.ERROR)  # the run has a progress line of its own
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.max_errored_blocks = -1
    data = from_items([{"block": block} for block in blocks], override_num_blocks=len(blocks)).map_batches(
        Actor,
        fn_constructor_args=(worker, arguments),
        batch_size=1,
        compute=ActorPoolStrategy(size=size, max_tasks_in_flight_per_actor=2),
        num_cpus=each.get("CPU", 0),
        num_gpus=each.get("GPU", 0),
        runtime_env={"env_vars": connection.environment()},
        ray_remote_args_fn=lambda: {"max_restarts": RESTARTS, "max_task_retries": RESTARTS},
    )
    for row in data.iter_rows():
        yield row["block"]


class Actor:
    """A worker in Ray Data's terms: a batch is a column with one block."""

    def __init__(self, worker: type[Worker], arguments: tuple[Any, ...]) -> None:
        self.worker = worker(*arguments)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        """Return the batch with what the worker made of its blocks."""
        return {"block": [self.worker(bytes(block)) for block in batch["block"]]}
