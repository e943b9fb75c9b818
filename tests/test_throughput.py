"""How fast a model was: what a run says of it, and what it records for estimates."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from recenter_utils.inference.cache import Cache, Work
from recenter_utils.inference.engines import Engine
from recenter_utils.inference.engines.base import Deliver
from recenter_utils.inference.models import Model
from recenter_utils.inference.requests import Answer, Request
from recenter_utils.inference.run import run
from recenter_utils.inference.tasks import LANGUAGE_CHECK


class Slow(Engine):
    """Says that it was loading for an hour, and answers on three GPUs."""

    ready = False

    @property
    def gpus(self) -> int:
        """Three."""
        return 3

    @property
    def loading(self) -> float:
        """So much that no seconds are left once it is taken off, unless it was there before."""
        return 3600.0 if self.ready else 0.0

    def note(self) -> str:
        """Something that only it knows."""
        return "half of it shared"

    async def ask(self, requests: Iterator[Request], deliver: Deliver) -> None:
        """Answer each after a moment."""
        self.ready = True
        for request in requests:
            await asyncio.sleep(0.01)
            deliver(request, Answer('{"is_english": true}', prompt_tokens=100, completion_tokens=10))


def _run(engine: Engine, cache: Path) -> list[tuple[str, Work]]:
    items = [{"conversation": [{"turn": 0, "role": "user", "content": f"item {i}"}]} for i in range(5)]
    run(LANGUAGE_CHECK, items, engine.model, cache=cache, engine=engine)
    with Cache(cache) as store:
        return store.recorded(engine.model.name)


def test_a_run_records_how_fast_its_model_was(tmp_path: Path) -> None:
    engine = Slow(Model(name="slow", engine="vllm"))
    engine.ready = True  # loaded for an earlier run
    ((task, work),) = _run(engine, tmp_path / "answers.sqlite")
    assert task == "language_check"
    assert (work.requests, work.prompt_tokens, work.completion_tokens, work.gpus) == (5, 500, 50, 3)
    assert work.seconds >= 0.05
    assert len(_run(engine, tmp_path / "answers.sqlite")) == 1, "the second time nothing is asked, and nothing recorded"


def test_the_time_of_loading_is_taken_off(tmp_path: Path) -> None:
    assert not _run(Slow(Model(name="slow", engine="vllm")), tmp_path / "answers.sqlite")


def test_the_progress_line_has_tokens_a_second_and_what_the_engine_says_of_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = Slow(Model(name="slow", engine="vllm"))
    engine.ready = True
    _run(engine, tmp_path / "answers.sqlite")
    said = re.search(r"slow: 100%.* ([\d,]+) tokens/s, half of it shared", capsys.readouterr().err)
    assert said
    assert 0 < int(said[1].replace(",", "")) <= 5 * 110 / 0.05


def test_several_writers_record_beside_one_another(tmp_path: Path) -> None:
    with Cache(tmp_path / "answers.sqlite") as one, Cache(tmp_path / "answers.sqlite") as other:
        for number in range(3):
            one.record("slow", "relevance", Work(number, 1, 1, 1.0, 1))
            other.record("slow", "mention", Work(number, 1, 1, 1.0))
        assert one.recorded("slow") == other.recorded("slow")
        assert [(task, work.gpus) for task, work in one.recorded("slow")] == [("relevance", 1), ("mention", None)] * 3
        assert not one.recorded("another")
