"""Two replicas of the real vLLM beside each other."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from asking import ask, question
from conftest import GUIDED, KeptEngine
from tiny_model import CONTEXT_LENGTH

from recenter_utils.inference.models import Model
from recenter_utils.inference.requests import Request

pytestmark = pytest.mark.vllm


@pytest.fixture(scope="module")
def pair(vllm_python: Path, tiny_model: Path, vllm_settings: dict[str, str]) -> Iterator[KeptEngine]:
    """Two replicas, a core each where there are two."""
    options = {
        "python": str(vllm_python),
        "replicas": 2,
        "enforce_eager": True,
        "structured_outputs_config": GUIDED,
        "distributed_executor_backend": "uni",
        "requests_in_flight": 32,
    }
    model = Model(
        name="tiny", engine="vllm", served_name=str(tiny_model), context_length=CONTEXT_LENGTH, options=options
    )
    with pytest.MonkeyPatch.context() as patch:
        # All of a replica in one process, which starts in half the time.
        patch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        engine = KeptEngine(model)
        yield engine
        asyncio.run(engine.end())


def _pids(engine: KeptEngine) -> list[int]:
    return [replica.worker.pid for replica in engine.replicas if replica.worker]


def _questions(number: int, tokens: int = 16) -> list[Request]:
    return [question(place, f"A recipe for bread number {place}.", max_tokens=tokens) for place in range(number)]


def test_two_replicas_give_the_answers_of_one(pair: KeptEngine, vllm_engine: KeptEngine) -> None:
    questions = [*_questions(80), question(1000, "bread " * CONTEXT_LENGTH)]
    two, one = ask(pair, questions), ask(vllm_engine, questions)
    assert len(_pids(pair)) == 2
    assert {key: (answer.text, answer.error) for key, answer in two.items()} == {
        key: (answer.text, answer.error) for key, answer in one.items()
    }
    assert two[b"1000"].error == "context_length"
    assert two[b"1000"].asked == 0, "what does not fit never reaches the model"


def test_a_replica_that_is_killed_loses_what_it_held_and_the_run_goes_on(pair: KeptEngine) -> None:
    ask(pair, _questions(40))
    before = _pids(pair)
    assert len(before) == 2

    def kill(answered: int) -> None:
        if answered == 20:
            os.kill(before[0], signal.SIGKILL)

    questions = _questions(300, tokens=64)
    answers = ask(pair, questions, kill)
    lost = [key for key, answer in answers.items() if answer.error == "server"]
    assert len(answers) == len(questions)
    assert 0 < len(lost) <= 32, "no more than the replica held"
    assert before[1] in _pids(pair), "the other one worked on"
    assert not pair.unusable


def test_a_shared_beginning_is_computed_once(pair: KeptEngine) -> None:
    pair.prefix_tokens = pair.read_tokens = 0
    beginning = "how do I bake bread at home, and which flour is best? " * 30
    ask(pair, pair.order([question(number, beginning, max_tokens=4) for number in range(24)]))
    assert pair.prefix_tokens / pair.read_tokens > 0.5
    assert pair.note().endswith("% of prompts shared")
