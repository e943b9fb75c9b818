"""Replicas of a model beside one another: what each gets, how they share the work, and what a death costs."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import stand_in
from asking import ask, question

from recenter_utils.errors import RecenterError
from recenter_utils.inference.engines import local_engine
from recenter_utils.inference.engines.vllm import VLLMEngine
from recenter_utils.inference.engines.vllm_order import ordered
from recenter_utils.inference.engines.vllm_replica import RESTARTS
from recenter_utils.inference.engines.vllm_shares import shares, visible_gpus
from recenter_utils.inference.models import Model
from recenter_utils.inference.requests import Request

MakeEngine = Callable[..., VLLMEngine]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeEngine]:
    stand_in.write(tmp_path / "packages")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"))
    engines = []

    def make(window: int = 16, **options: object) -> VLLMEngine:
        engines.append(VLLMEngine(_model(tmp_path / "loads", requests_in_flight=window, **options)))
        return engines[-1]

    yield make
    for engine in engines:
        asyncio.run(engine.close())


def _model(loads: Path | str = "tiny", **options: object) -> Model:
    return Model(name="tiny", engine="vllm", served_name=str(loads), context_length=1000, timeout=20.0, options=options)


def _pids(engine: VLLMEngine) -> list[int]:
    return [replica.worker.pid for replica in engine.replicas if replica.worker]


@pytest.mark.parametrize(
    ("shown", "options", "expected"),
    [
        ("0,1,2,3", {}, ["0", "1", "2", "3"]),
        ("GPU-a,GPU-b", {"replicas": 8}, ["GPU-a", "GPU-b"]),
        ("4,5,6,7", {"tensor_parallel_size": 2}, ["4,5", "6,7"]),
        ("4,5,6,7", {"replicas": 3}, ["4", "5", "6"]),
        ("4,5,6,7", {"tensor_parallel_size": 4}, [None]),
        ("0", {}, [None]),
    ],
)
def test_every_replica_gets_gpus_of_its_own_and_one_alone_what_it_is_shown(
    shown: str, options: dict[str, object], expected: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    found = shares(_model(**options))
    assert [share.environment.get("CUDA_VISIBLE_DEVICES") for share in found] == expected
    assert {share.gpus for share in found} == {int(options.get("tensor_parallel_size", 1))}  # type: ignore[call-overload]


def test_gpus_are_counted_where_none_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_gpus() == []
    listing = tmp_path / "nvidia-smi"
    listing.write_text("#!/bin/sh\necho 'GPU 0: A (UUID: GPU-1)'\necho '  MIG 1g'\necho 'GPU 1: A (UUID: GPU-2)'\n")
    listing.chmod(0o755)
    assert visible_gpus() == ["0", "1"]


def test_processors_are_shared_out_and_an_actor_of_a_cluster_has_one_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    assert [share.processors for share in shares(_model(replicas=2))] == [(0, 2), (1,)]
    assert [share.processors for share in shares(_model())] == [()]
    alone = local_engine(_model(replicas=2), replicas=1)
    assert isinstance(alone, VLLMEngine)
    assert [replica.share.processors for replica in alone.replicas] == [()]


@pytest.mark.parametrize("replicas", [0, -1, 1.5, "two", True])
def test_a_number_of_replicas_that_is_none_is_refused(replicas: object) -> None:
    with pytest.raises(RecenterError, match="'tiny': options.replicas is .*whole number from 1"):
        shares(_model(replicas=replicas))


def test_replicas_see_their_own_gpus_and_share_the_work(make: MakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    questions = [question(number, "where") for number in range(200)]
    engine = make()
    answers = ask(engine, questions)
    where = [str(answers[q.key].text).partition(" ")[0] for q in questions]
    assert set(where) == {"3", "5"}
    assert engine.gpus == 2
    assert engine.note() == "25% of prompts shared"
    # Neighbours share a beginning: they change replicas only where a block of two ends.
    assert all(where[place] == where[place + 1] for place in range(0, 200, 2))


def test_what_one_replica_can_hold_starts_no_other(make: MakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    engine = make(window=64)
    ask(engine, [question(number) for number in range(8)])
    assert len(_pids(engine)) == 1


def test_a_replica_that_is_killed_costs_what_it_held_and_is_started_again(make: MakeEngine) -> None:
    engine = make(window=8, replicas=2)
    ask(engine, [question(number) for number in range(8)])
    before = _pids(engine)

    def kill(answered: int) -> None:
        if answered == 20:
            os.kill(before[0], signal.SIGKILL)

    questions = [question(number) for number in range(2000)]
    answers = ask(engine, questions, kill)
    lost = [key for key, answer in answers.items() if answer.error]
    assert len(answers) == 2000
    assert 0 < len(lost) <= 8
    assert not engine.unusable
    assert len(_pids(engine)) == 2
    assert before[0] not in _pids(engine)


def test_replicas_that_keep_dying_are_given_up_and_the_last_one_says_why(make: MakeEngine, tmp_path: Path) -> None:
    engine = make(window=1, replicas=2)
    answers = ask(engine, [question(number, "die") for number in range(30)])
    assert [answer.error for answer in answers.values()] == ["server"] * 30
    assert all("MemoryError" in answer.detail for answer in answers.values())
    assert "MemoryError" in engine.unusable
    assert len((tmp_path / "loads").read_text().splitlines()) == 2 * (1 + RESTARTS)


def test_a_replica_that_is_given_up_leaves_the_work_to_the_others(make: MakeEngine, tmp_path: Path) -> None:
    engine = make(window=4, replicas=2)
    engine.replicas[0].given_up = "its GPU is broken"
    answers = ask(engine, [question(number) for number in range(40)])
    assert not any(answer.error for answer in answers.values())
    assert len((tmp_path / "loads").read_text().splitlines()) == 1


def test_an_interrupted_run_ends_every_replica(make: MakeEngine) -> None:
    engine = make(window=2, replicas=2)
    ask(engine, [question(number) for number in range(40)])
    pids = _pids(engine)

    async def cancelled() -> None:
        asking = asyncio.create_task(engine.ask(iter([question(n, "hang") for n in range(9)]), lambda *_: None))
        await asyncio.sleep(0.5)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(cancelled())
    assert len(pids) == 2
    assert not _pids(engine)


def test_a_fault_of_whoever_takes_the_answers_is_raised_as_it_is(make: MakeEngine) -> None:
    engine = make(window=2, replicas=2)

    def broken(_: int) -> None:
        raise RecenterError("the disk is full")

    with pytest.raises(RecenterError, match="the disk is full"):
        ask(engine, [question(number) for number in range(9)], broken)
    assert not _pids(engine)


def test_what_is_long_comes_first_and_shared_beginnings_stay_together() -> None:
    long, short = "a long history " * 40, "short "
    mixed = [question(number, text) for number, text in enumerate([short, long, short + "x" * 30, long, short, long])]
    texts = [request.messages[-1]["content"] for request in ordered(mixed)]
    assert [text.startswith("a long") for text in texts] == [True] * 3 + [False] * 3
    assert sorted(texts) == sorted(request.messages[-1]["content"] for request in mixed)


def test_no_request_is_lost_by_ordering() -> None:
    nothing: list[Request] = []
    assert ordered(nothing) == []
    same = [question(1), question(1), question(2)]
    assert len(ordered(same)) == 3
