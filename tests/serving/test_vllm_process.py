"""How the `vllm` engine starts, watches and ends its process, with a stand-in for the vLLM package."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import stand_in
from asking import ask, question

from recenter_utils.inference.engines.vllm import VLLMEngine
from recenter_utils.inference.engines.vllm_replica import RESTARTS
from recenter_utils.inference.models import Model
from recenter_utils.inference.requests import Request
from recenter_utils.inference.tasks import RELEVANCE_JUDGMENT

MakeEngine = Callable[..., VLLMEngine]


class Loads:
    """What the stand-in wrote down: a line for each time that a model was loaded."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __len__(self) -> int:
        return len(self.file.read_text().splitlines()) if self.file.is_file() else 0

    def alive(self) -> list[int]:
        """Return the workers and their children that still run, after a moment's patience."""
        pids = [int(pid) for pid in self.file.read_text().split()]
        for _ in range(100):
            if not (running := [pid for pid in pids if _runs(pid)]):
                return []
            time.sleep(0.05)
        return running


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loads:
    stand_in.write(tmp_path / "packages")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"))
    return Loads(tmp_path / "loads")


@pytest.fixture
def make(loads: Loads) -> Iterator[MakeEngine]:
    engines = []

    def make(window: int = 4, timeout: float = 20.0, **options: object) -> VLLMEngine:
        model = Model(
            name="tiny",
            engine="vllm",
            served_name=str(loads.file),
            context_length=1000,
            timeout=timeout,
            options={"requests_in_flight": window, **options},
        )
        engines.append(VLLMEngine(model))
        return engines[-1]

    yield make
    for engine in engines:
        asyncio.run(engine.close())


def test_every_request_gets_its_own_answer_whatever_vllm_prints(make: MakeEngine) -> None:
    questions = [question(number) for number in range(50)]
    answers = ask(make(), questions)
    assert {key: answer.text for key, answer in answers.items()} == {
        q.key: q.messages[-1]["content"] for q in questions
    }


def test_requests_are_pulled_only_as_far_ahead_as_the_window(make: MakeEngine) -> None:
    pulled, answered, ahead = 0, 0, []

    def source() -> Iterator[Request]:
        nonlocal pulled
        for number in range(40):
            pulled += 1
            ahead.append(pulled - answered)
            yield question(number)

    def deliver(request: Request, answer: object) -> None:
        nonlocal answered
        answered += 1

    asyncio.run(make(window=4).ask(source(), deliver))
    assert answered == 40
    assert max(ahead) == 4


def test_shared_beginnings_stand_side_by_side(make: MakeEngine) -> None:
    mixed = [question(number, text) for number, text in enumerate(["long history A", "long history B"] * 3)]
    ordered = [request.messages[-1]["content"][:14] for request in make().order(mixed)]
    assert ordered == ["long history A"] * 3 + ["long history B"] * 3


def test_a_prompt_without_room_for_its_answer_never_reaches_the_engine(make: MakeEngine) -> None:
    fits, over = question(1, "die", max_tokens=64), question(2, "die" + "x" * 1000, max_tokens=64)
    engine = make(window=1)
    answer = ask(engine, [over])[over.key]
    assert (answer.error, answer.asked) == ("context_length", 0)
    assert ask(engine, [fits])[fits.key].error == "server"


def test_a_worker_that_dies_costs_what_it_held_and_says_why(make: MakeEngine, loads: Loads) -> None:
    questions = [question(number, "die" if number == 10 else "live") for number in range(30)]
    answers = ask(make(window=4), questions)
    lost = [key for key, answer in answers.items() if answer.error]
    assert len(answers) == 30
    assert b"10" in lost
    assert len(lost) <= 4
    assert "exit code 3" in answers[b"10"].detail
    assert "MemoryError: no room" in answers[b"10"].detail
    assert len(loads) == 2


def test_a_model_that_keeps_dying_is_given_up(make: MakeEngine, loads: Loads) -> None:
    engine = make(window=1)
    answers = ask(engine, [question(number, "die") for number in range(10)])
    assert [answer.error for answer in answers.values()] == ["server"] * 10
    assert len(loads) == 1 + RESTARTS
    assert "MemoryError" in engine.unusable


def test_a_silent_worker_is_ended(make: MakeEngine, loads: Loads) -> None:
    engine = make(window=2, timeout=1.0)
    answers = ask(engine, [question(0, "hang"), question(1)])
    assert all("no sign of life" in answer.detail for answer in answers.values())
    assert not loads.alive()
    assert ask(engine, [question(2)])[b"2"].error is None


def test_a_model_that_does_not_load_says_why_in_every_row(make: MakeEngine, loads: Loads) -> None:
    engine = make(max_model_len=13)
    answers = ask(engine, [question(number) for number in range(9)])
    assert all("ValueError: the weights are broken" in answer.detail for answer in answers.values())
    assert len(loads) == 1, "what fails once to load fails again"
    assert "'tiny'" in engine.unusable


@pytest.mark.parametrize("flag", ["-S", None])
def test_an_interpreter_without_vllm_is_named_with_the_remedy(
    flag: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    if flag:
        # Without site packages, so that the test also holds where vLLM is installed.
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" {flag} "$@"\n')
        python.chmod(0o755)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setenv("RECENTER_VLLM_PYTHON", str(python))
    engine = VLLMEngine(Model(name="tiny", engine="vllm"))
    assert ask(engine, [question(0)])[b"0"].error == "server"
    asyncio.run(engine.close())
    assert str(python) in engine.unusable
    assert "RECENTER_VLLM_PYTHON" in engine.unusable


def test_scores_come_with_the_answers_that_want_them(make: MakeEngine) -> None:
    judged, plain = question(1, "judge", task=RELEVANCE_JUDGMENT), question(2, "judge")
    answers = ask(make(), [judged, plain])
    assert answers[judged.key].score == pytest.approx(1 / (1 + math.exp(-1.25)))
    assert answers[plain.key].score is None
    assert answers[plain.key].text == plain.messages[-1]["content"], "it was asked for no log-probabilities"


def test_no_key_reaches_a_row(make: MakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_a_very_secret_token")
    engine = make(window=1)
    answer = ask(engine, [question(0, "die")])[b"0"]
    assert "MemoryError: no room; ***" in answer.detail


def test_closing_ends_the_worker_and_its_children(make: MakeEngine, loads: Loads) -> None:
    engine = make()
    ask(engine, [question(0)])
    asyncio.run(engine.close())
    assert not loads.alive()


def test_a_cancelled_ask_ends_the_worker_and_the_next_gets_its_own_answers(make: MakeEngine, loads: Loads) -> None:
    engine = make()

    async def cancelled() -> None:
        asking = asyncio.create_task(engine.ask(iter([question(0), question(1, "hang")]), lambda *_: None))
        while not len(loads):
            await asyncio.sleep(0.05)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(cancelled())
    assert not loads.alive()
    assert ask(engine, [question(2)])[b"2"].text == question(2).messages[-1]["content"]


@pytest.fixture
def run(loads: Loads) -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits for an answer of its worker."""
    script = (
        "import asyncio, sys; from asking import ask, question\n"
        "from recenter_utils.inference.engines.vllm import VLLMEngine\n"
        "from recenter_utils.inference.models import Model\n"
        "ask(VLLMEngine(Model(name='tiny', engine='vllm', served_name=sys.argv[1])), [question(0, 'hang')])\n"
    )
    path = os.pathsep.join([os.environ["PYTHONPATH"], *map(str, sys.path)])
    run = subprocess.Popen([sys.executable, "-c", script, str(loads.file)], env={**os.environ, "PYTHONPATH": path})
    try:
        while not len(loads):
            assert run.poll() is None
            time.sleep(0.05)
        yield run
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()


def test_a_killed_run_leaves_no_worker(run: subprocess.Popen[bytes], loads: Loads) -> None:
    run.send_signal(signal.SIGKILL)
    assert not loads.alive()


def test_a_worker_that_is_killed_with_its_run_leaves_no_child(run: subprocess.Popen[bytes], loads: Loads) -> None:
    run.send_signal(signal.SIGSTOP)  # it sees nothing of it
    os.kill(int(loads.file.read_text().split()[0]), signal.SIGKILL)
    run.send_signal(signal.SIGKILL)
    assert not loads.alive()
