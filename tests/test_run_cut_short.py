"""A run that is killed, interrupted, out of disk, or not alone with its cache loses nothing and ends."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from recenter_utils.errors import RecenterError
from recenter_utils.inference import session
from recenter_utils.inference.cache import Cache
from recenter_utils.inference.engines.base import Deliver
from recenter_utils.inference.requests import Answer, Request
from recenter_utils.inference.run import run
from recenter_utils.inference.tasks import ASSISTANT_USE, LANGUAGE_CHECK
from tests.fake_server import Asked, FakeServer, Reply, completion, english, items, score_items
from tests.instant import Instant


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "answers.sqlite"


def check(engine: Instant, rows: Sequence[Any], **more: Any) -> pd.DataFrame:
    return run(LANGUAGE_CHECK, rows, engine.model, engine=engine, progress=False, **more)


ASKER = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.fake_server import items
from recenter_utils.inference.models import Model
from recenter_utils.inference.run import run
from recenter_utils.inference.tasks import LANGUAGE_CHECK
_, _, entry, cache, rows = sys.argv
print("ready", flush=True)
run(LANGUAGE_CHECK, items(int(rows)), Model.model_validate_json(entry), cache=Path(cache), progress=False)
"""


def asker(server: FakeServer, cache: Path, rows: int, **entry: Any) -> subprocess.Popen[str]:
    arguments = [str(Path(__file__).parents[1]), server.model(**entry).model_dump_json(), str(cache), str(rows)]
    process = subprocess.Popen(
        [sys.executable, "-c", ASKER, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def wait_for(server: FakeServer, answered: int, process: subprocess.Popen[str]) -> None:
    while sum(asked.answered_at is not None for asked in list(server.asked)) < answered:
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.002)


def test_a_run_killed_twice_loses_nothing(server: FakeServer, cache: Path, tmp_path: Path) -> None:
    # An answer takes two commits' time. So of each worker at most one answer waits for its commit when the kill
    # comes, and one request is under way, however slowly this machine lets the run proceed.
    rows, workers = 600, 16
    most_lost = 2 * workers
    server.behave = lambda asked: Reply(english(asked).body, after=2 * session.COMMIT_EVERY)
    chance = random.Random()
    for _ in range(2):
        before = set(server.counts)
        first = len(server.asked)
        process = asker(server, cache, rows, concurrency=workers)
        wait_for(server, first + chance.randrange(100, 200), process)
        process.kill()
        process.communicate()
        time.sleep(0.1)  # what was on its way to the server comes in
        assert len({asked.name for asked in server.asked[first:]} & before) <= most_lost
    before = set(server.counts)
    assert len(before) < rows  # both kills came in mid-run
    first = len(server.asked)
    frame = run(LANGUAGE_CHECK, items(rows), server.model(), cache=cache, progress=False)
    assert len({asked.name for asked in server.asked[first:]} & before) <= 2 * most_lost
    assert len(server.asked) <= rows + 2 * most_lost
    assert set(server.counts) == {f"item-{i}" for i in range(rows)}
    undisturbed = run(LANGUAGE_CHECK, items(rows), server.model(), cache=tmp_path / "other.sqlite", progress=False)
    changing = ["cached", "cost"]
    pd.testing.assert_frame_equal(frame.drop(columns=changing), undisturbed.drop(columns=changing))


def test_an_interrupted_run_stores_what_had_arrived(server: FakeServer, cache: Path) -> None:
    server.behave = lambda asked: Reply(english(asked).body, after=0 if int(asked.name[5:]) < 40 else 600)
    process = asker(server, cache, 60, concurrency=8, timeout=600)
    wait_for(server, 40, process)
    while len(server.asked) < 48:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)  # an answer would take ten minutes
    assert "KeyboardInterrupt" in said
    assert "never retrieved" not in said
    assert "Unclosed" not in said
    server.asked.clear()
    server.behave = english
    frame = run(LANGUAGE_CHECK, items(60), server.model(), cache=cache, progress=False)
    assert frame.cached.tolist() == [True] * 40 + [False] * 20


def test_an_interrupt_in_this_process_comes_through_and_closes_the_engine(cache: Path) -> None:
    def interrupts(request: Request) -> Answer:
        if len(engine.asked) == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return Answer('{"is_english": true}')

    class Lingers(Instant):
        async def ask(self, requests: Iterator[Request], deliver: Deliver) -> None:
            await super().ask(requests, deliver)
            await asyncio.sleep(600)

    engine = Lingers(interrupts)
    with pytest.raises(KeyboardInterrupt):
        check(engine, items(10), cache=cache)
    assert engine.closed
    assert check(Instant(), items(10), cache=cache).cached.sum() >= 5


# --- Two at once, and disks ---------------------------------------------------------------------------------


def test_two_runs_on_one_cache_end_with_the_same_answers(cache: Path) -> None:
    def guess(asked: Asked) -> Reply:
        text = json.dumps({"reasoning": os.urandom(8).hex(), "score": round(random.random(), 4)})
        return Reply(completion(text if random.random() < 0.9 else "no JSON"), after=random.uniform(0, 0.2))

    code = ASKER.replace("run(LANGUAGE_CHECK, items(int(rows))", "frame = run(ASSISTANT_USE, score_items(int(rows))")
    code = code.replace("LANGUAGE_CHECK", "ASSISTANT_USE").replace("import items", "import score_items")
    code = code.replace("progress=False)", "progress=False, sampling={'temperature': 1.0})\nprint(frame.to_json())")
    with FakeServer(guess) as server:
        arguments = [str(Path(__file__).parents[1]), server.model(concurrency=16).model_dump_json(), str(cache), "300"]
        command = [sys.executable, "-c", code, *arguments]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        both = [subprocess.Popen(command, **pipes) for _ in range(2)]
        said = [process.communicate() for process in both]
        assert [process.returncode for process in both] == [0, 0], said
        frames = [json.loads(out.splitlines()[-1]) for out, _ in said]
        asked_twice = sum(count > 1 for count in server.counts.values())
        held = run(
            ASSISTANT_USE, score_items(300), server.model(), cache=cache, sampling={"temperature": 1.0}, progress=False
        )
    assert asked_twice  # they were at it at the same time
    for frame in frames:
        good = [i for i in range(300) if frame["error"][str(i)] is None]
        assert len(good) > 250
        assert held.cached[good].all()
        for column in ("raw", "score", "reasoning"):
            assert [frame[column][str(i)] for i in good] == held.loc[good, column].tolist()


def test_a_full_disk_stops_the_run_with_one_sentence(
    server: FakeServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Cache(cache):
        pass
    opened = Cache.__init__

    def on_a_small_disk(self: Cache, path: Path) -> None:
        opened(self, path)
        self._db.execute("PRAGMA max_page_count=12")

    monkeypatch.setattr(Cache, "__init__", on_a_small_disk)
    server.behave = lambda asked: Reply(english(asked).body, after=0.01)
    with pytest.raises(RecenterError, match="full") as caught:
        run(LANGUAGE_CHECK, items(20_000), server.model(), cache=cache, progress=False)
    assert str(cache) in str(caught.value)
    assert len(server.asked) < 10_000  # what cannot be stored is not asked
    monkeypatch.undo()
    with sqlite3.connect(cache) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_an_unusable_cache_is_said_before_anything_is_asked(server: FakeServer, cache: Path) -> None:
    cache.mkdir(parents=True)
    with pytest.raises(RecenterError, match=str(cache)):
        run(LANGUAGE_CHECK, items(3), server.model(), cache=cache, progress=False)
    assert not server.asked
