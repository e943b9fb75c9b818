"""The `openai` engine, and a whole run with its cache, against the real vLLM server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from asking import ask, question
from conftest import Server
from tiny_model import CONTEXT_LENGTH

from recenter_utils.inference.engines.openai import OpenAIEngine
from recenter_utils.inference.models import Model
from recenter_utils.inference.requests import Answer, Request
from recenter_utils.inference.run import run
from recenter_utils.inference.tasks import ASSISTANT_USE, LANGUAGE_CHECK

pytestmark = pytest.mark.vllm


def _model(server: Server, **settings: object) -> Model:
    entry = {"name": "tiny", "engine": "openai", "base_url": server.base_url, "retries": 1, **settings}
    return Model.model_validate(entry)


def _answers(server: Server, requests: Sequence[Request], **settings: object) -> dict[bytes, Answer]:
    return ask(OpenAIEngine(_model(server, **settings)), requests, then_close=True)


def test_128_at_once_are_answered_and_fit_the_schema(vllm_server: Server) -> None:
    answers = _answers(vllm_server, [question(number) for number in range(512)], concurrency=128)
    assert len(answers) == 512
    for answer in answers.values():
        assert answer.error is None, answer.detail
        assert answer.text
        LANGUAGE_CHECK.output.model_validate_json(answer.text)
        assert answer.prompt_tokens > 0
        assert answer.completion_tokens > 0


def test_an_over_long_prompt_is_a_row_of_its_own(vllm_server: Server) -> None:
    too_long, good = question(1, "bread " * CONTEXT_LENGTH), question(2)
    answers = _answers(vllm_server, [too_long, good])
    assert answers[too_long.key].error == "context_length"
    assert answers[too_long.key].asked == 1, "asking it again would change nothing"
    assert answers[good.key].error is None


def test_an_answer_cut_at_max_tokens_is_truncated_and_keeps_its_text(vllm_server: Server) -> None:
    (answer,) = _answers(vllm_server, [question(0, task=ASSISTANT_USE, max_tokens=12)]).values()
    assert answer.error == "truncated"
    assert answer.text
    assert answer.completion_tokens == 12


def test_an_unknown_model_is_named(vllm_server: Server) -> None:
    (answer,) = _answers(vllm_server, [question(0)], served_name="no-such-model").values()
    assert answer.error == "server"
    assert "no-such-model" in answer.detail


class _Watched(OpenAIEngine):
    """Tells after how many answers it is."""

    def __init__(self, model: Model, after_each: Callable[[int], None]) -> None:
        super().__init__(model)
        self._answers, self._after_each = 0, after_each

    def read(self, content: object, request: Request) -> Answer:
        answer = super().read(content, request)
        self._answers += 1
        self._after_each(self._answers)
        return answer


def test_after_a_killed_server_the_next_run_asks_only_what_is_missing(vllm_server: Server, tmp_path: Path) -> None:
    items = [{"conversation": [{"turn": 0, "role": "user", "content": f"Hello {number}"}]} for number in range(200)]
    model, cache = _model(vllm_server, concurrency=16), tmp_path / "cache.sqlite"
    killer = _Watched(model, lambda answered: vllm_server.kill() if answered == 60 else None)
    first = run(LANGUAGE_CHECK, items, model, cache=cache, progress=False, engine=killer)
    assert len(first) == 200
    answered = first["error"].isna()
    assert 60 <= answered.sum() < 60 + 16
    assert set(first.loc[~answered, "error"]) == {"server"}

    vllm_server.start()
    second = run(LANGUAGE_CHECK, items, model, cache=cache, progress=False)
    assert second["error"].isna().all()
    assert second["cached"].tolist() == answered.tolist()
    assert second.loc[answered, "is_english"].tolist() == first.loc[answered, "is_english"].tolist()
    assert vllm_server.requests_seen() == 200 - answered.sum()
    assert run(LANGUAGE_CHECK, items, model, cache=cache, progress=False)["cached"].all()
    assert vllm_server.requests_seen() == 200 - answered.sum()
