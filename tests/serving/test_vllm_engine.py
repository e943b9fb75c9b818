"""The `vllm` engine with the real vLLM underneath."""

from __future__ import annotations

import asyncio
import os
import signal

import psutil
import pytest
from asking import ask, question
from conftest import KeptEngine
from tiny_model import CONTEXT_LENGTH

from recenter_utils.inference.tasks import ASSISTANT_USE, LANGUAGE_CHECK

pytestmark = pytest.mark.vllm


@pytest.fixture
def engine(vllm_engine: KeptEngine) -> KeptEngine:
    return vllm_engine


def _processes(engine: KeptEngine) -> list[psutil.Process]:
    workers = [psutil.Process(replica.worker.pid) for replica in engine.replicas if replica.worker]
    assert workers
    return [process for worker in workers for process in (worker, *worker.children(recursive=True))]


def _alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    # A zombie holds no memory; who reaps it is the machine's affair.
    return [p for p in psutil.wait_procs(processes, 10)[1] if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def test_answers_fit_the_schema(engine: KeptEngine) -> None:
    answers = ask(engine, [question(number) for number in range(300)])
    assert len(answers) == 300
    for answer in answers.values():
        assert answer.error is None
        assert answer.text
        LANGUAGE_CHECK.output.model_validate_json(answer.text)
        assert answer.prompt_tokens > 0
        assert answer.completion_tokens > 0


def test_a_bad_request_is_a_bad_row_and_the_others_are_answered(engine: KeptEngine) -> None:
    too_long = question(1, "bread " * CONTEXT_LENGTH)
    no_room = question(2, max_tokens=CONTEXT_LENGTH)
    misspelt = question(3, temprature=1.0)
    surrogate = question(4, "half a character: \ud83d")
    good = question(5)
    answers = ask(engine, [too_long, no_room, misspelt, surrogate, good])
    assert [answers[r.key].error for r in (too_long, no_room, misspelt, surrogate, good)] == [
        "context_length",
        "context_length",
        "server",
        "server",
        None,
    ]
    assert answers[too_long.key].asked == 0
    assert str(CONTEXT_LENGTH) in answers[too_long.key].detail
    assert "temprature" in answers[misspelt.key].detail


def test_an_answer_cut_at_max_tokens_is_truncated_and_keeps_its_text(engine: KeptEngine) -> None:
    (answer,) = ask(engine, [question(0, task=ASSISTANT_USE, max_tokens=12)]).values()
    assert answer.error == "truncated"
    assert answer.text
    assert answer.text.startswith("{")
    assert answer.completion_tokens == 12


def test_at_temperature_0_the_same_question_gets_the_same_answer(engine: KeptEngine) -> None:
    questions = [question(number, task=None, max_tokens=16) for number in range(8)]
    first, second = ask(engine, questions), ask(engine, questions)
    assert {key: answer.text for key, answer in first.items()} == {key: answer.text for key, answer in second.items()}


def test_a_seed_fixes_what_is_drawn(engine: KeptEngine) -> None:
    def drawn(seed: int) -> str | None:
        (answer,) = ask(engine, [question(0, task=None, temperature=1.0, max_tokens=16, seed=seed)]).values()
        return answer.text

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_a_killed_worker_costs_what_was_in_flight_and_the_next_request_starts_another(
    engine: KeptEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = [question(number, task=None, max_tokens=200) for number in range(200)]
    ask(engine, questions[:1])
    first = _processes(engine)
    assert len(first) > 1, "vLLM has its engine in a process of its own"

    def kill(answered: int) -> None:
        if answered == 40:
            os.kill(first[0].pid, signal.SIGKILL)

    answers = ask(engine, questions, kill)
    lost = [request for request in questions if answers[request.key].error == "server"]
    assert len(answers) == 200
    assert 0 < len(lost) <= 64, "no more than the worker held"
    assert "killed by signal 9" in answers[lost[0].key].detail
    assert not _alive(first), "what vLLM had started is gone too"
    # All in one process this time, which starts in half the time.
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    assert "server" not in {answer.error for answer in ask(engine, lost).values()}


def test_closing_ends_every_process(engine: KeptEngine) -> None:
    ask(engine, [question(0)])
    processes = _processes(engine)
    asyncio.run(engine.end())
    assert not _alive(processes)
