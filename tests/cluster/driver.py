"""Does the same work here and on a Ray cluster of two workers on the loopback, and leaves what came of it.

    python -m tests.cluster.driver FOLDER WORK ...

A process of its own: Ray leaves threads and sockets that a test's process should not have. Each piece of WORK is a
function of this module's; what it returns goes to FOLDER/<work>.pickle.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import psutil

from recenter_utils.attributes.users import collect
from recenter_utils.cluster import connection
from recenter_utils.cluster.dataset import mapped
from recenter_utils.cluster.partitions import in_order
from recenter_utils.errors import RecenterError
from recenter_utils.inference import embeddings
from recenter_utils.inference.engines import open_engine
from recenter_utils.inference.models import Model, load_models
from recenter_utils.inference.run import run
from recenter_utils.inference.tasks import ATTRIBUTE_EXTRACTION, LANGUAGE_CHECK
from recenter_utils.inference.vectors import VectorStore
from recenter_utils.settings import Source, UserRules

SAID = (
    "I am a baker in Oslo and wake at three every day.",
    "Ich brauche einen Plan für die Woche.",
    "My two cats hate the vacuum cleaner.",
    "What is the capital of Peru?",
)


@contextmanager
def cluster() -> Iterator[None]:
    """Two workers with a processor each, as machines of their own, and a head that does no work."""
    os.environ.update(connection._ALONE | connection._TOLD)
    from ray.cluster_utils import Cluster

    node = {"node_ip_address": connection.LOOPBACK, "object_store_memory": 100_000_000}
    head = {"num_cpus": 0, "include_dashboard": False, **node}
    nodes = connection.started(lambda: Cluster(initialize_head=True, head_node_args=head))
    try:
        for _ in range(2):
            connection.started(lambda: nodes.add_node(num_cpus=1, **node))
        os.environ["RAY_ADDRESS"] = nodes.address
        with connection.running_on("ray"):
            yield
    finally:
        nodes.shutdown()


@contextmanager
def here() -> Iterator[None]:
    """Meanwhile work is done in this process."""
    where = os.environ.pop(connection.VARIABLE)
    yield
    os.environ[connection.VARIABLE] = where


def chats(count: int) -> list[dict[str, Any]]:
    """Return items of both tasks that are asked here."""
    return [
        {"conversation": turns, "user_turns": turns, "user_id": f"u{n}"} for n in range(count) for turns in [said(n)]
    ]


def said(number: int) -> list[dict[str, Any]]:
    """Return a chat of one turn."""
    return [{"turn": 0, "role": "user", "content": f"{SAID[number % len(SAID)]} That is number {number // 4}."}]


def asking(folder: Path) -> dict[str, Any]:
    """Two tasks of many blocks, on the cluster first; then again from its cache, with nobody to ask."""
    model, found = load_models()["embedded-broad"], {}
    for task in (LANGUAGE_CHECK, ATTRIBUTE_EXTRACTION):
        cache = folder / f"{task.name}.sqlite"
        found[task.name] = {"cluster": run(task, chats(700), model, cache=cache, progress=False)}
        with here():
            found[task.name] |= {
                "again": run(task, chats(700), model, cache=cache, progress=False),
                "here": run(task, chats(700), model, progress=False),
            }
    found["engine"] = type(open_engine(model)).__name__
    return found


def encoding(folder: Path) -> dict[str, Any]:
    """Embeddings in a few batches, and how many of them the cache file then has."""
    embeddings.FIRST = 300  # type: ignore[misc]  # else it takes thousands before a cluster is asked
    texts = [f"{SAID[n % len(SAID)]} {n}" for n in range(700)]
    cache = folder / "vectors.sqlite"
    spread = embeddings.embed(texts, cache=cache)
    with here():
        again = embeddings.embed(texts, cache=cache)
        alone = embeddings.embed(texts)
    with VectorStore(cache, embeddings.MINILM) as store:
        stored = sum(len(places) for places, _ in store.look_up(texts))
    return {"cluster": spread, "again": again, "here": alone, "stored": stored}


def sifting(folder: Path) -> dict[str, Any]:
    """The filters of the users' stage over several files, there and here."""
    corpus = folder / "corpus"
    corpus.mkdir()
    for part in range(3):
        rows = [
            {
                "user_id": f"u{n % 40}",
                "conversation_id": f"c{part}-{n}",
                "messages": [turn | {"turn": 0} for turn in said(n)],
            }
            for n in range(200)
        ]
        pd.DataFrame(rows).to_json(corpus / f"{part}.jsonl", orient="records", lines=True)
    source = Source(name="s", format="chatlog", path=str(corpus))
    rules = UserRules(min_conversations=2, min_user_turns=2)

    def tables(name: str) -> tuple[pl.DataFrame, ...]:
        pool = collect([source], rules, folder, folder / name)
        return pool.conversations.collect(), pool.users, pool.funnel, pool.problems

    there = tables("there")
    with here():
        return {"cluster": there, "here": tables("here")}


class Dying:
    """Dies of the block `once` the first time that it meets it, and of the block `ever` each time."""

    def __init__(self, folder: str) -> None:
        self.met = Path(folder) / "met"

    def __call__(self, block: bytes) -> bytes:
        if block == b"ever" or (block == b"once" and not self.met.exists()):
            self.met.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return block.upper()


def dying(folder: Path) -> dict[str, Any]:
    """Blocks of which one kills its actor once."""
    blocks = [b"once", *(f"block {n}".encode() for n in range(6))]
    return {"survived": sorted(mapped(blocks, Dying, (str(folder),), {"CPU": 1}, 2))}


def unending(folder: Path) -> dict[str, Any]:
    """A block that kills every actor, beside one that does not."""
    return {"survived": list(mapped([b"ever", b"fine"], Dying, (str(folder),), {"CPU": 1}, 1))}


def double(number: int) -> int:
    """Return twice the number."""
    return 2 * number


def ordered(folder: Path) -> dict[str, Any]:
    """What is pulled ahead while partitions are worked on."""
    pulled = 0

    def parts() -> Iterator[int]:
        nonlocal pulled
        for number in range(40):
            pulled += 1
            yield number

    found = in_order(double, parts())
    first = next(found)
    ahead = pulled
    return {"all": [first, *found], "ahead": ahead, "workers": connection.workers({"CPU": 1})}


def listening(folder: Path) -> dict[str, Any]:
    """Addresses on which anything of this cluster listens."""
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    ends = [end.laddr.ip for process in family for end in process.net_connections("inet") if end.status == "LISTEN"]
    return {"addresses": sorted(set(ends)), "ends": len(ends), "machines": connection.connect().nodes()}


def vllm(folder: Path) -> dict[str, Any]:
    """The model that the environment names, in vLLM, there and here."""
    options = {"model": os.environ["TINY_MODEL"], "enforce_eager": True, "distributed_executor_backend": "uni"}
    sampling = {"temperature": 0, "max_tokens": 24}
    entry = {"name": "tiny", "engine": "vllm", "options": options, "sampling": sampling, "context_length": 1024}
    model = Model.model_validate(entry)
    there = run(LANGUAGE_CHECK, chats(12), model, cache=folder / "vllm.sqlite", progress=False)
    with here():
        return {"cluster": there, "here": run(LANGUAGE_CHECK, chats(12), model, progress=False)}


def versions(folder: Path) -> dict[str, Any]:
    """What is said of a worker with another version."""
    return {"version": connection.same_package("0.0.1", "node-7")}


def main() -> None:
    """Do the work that the command line names."""
    folder = Path(sys.argv[1])
    with cluster():
        for name in sys.argv[2:]:
            try:
                found: Any = globals()[name](folder)
            except RecenterError as problem:
                found = {"problem": str(problem)}
            (folder / f"{name}.pickle").write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    main()
