"""Every way in which a server can fail costs its own row and nothing else."""

from __future__ import annotations

import email.utils
import json
import socket
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import openai
import pandas as pd
import pytest

from recenter_utils.errors import RecenterError
from recenter_utils.inference.engines import failures
from recenter_utils.inference.engines import openai as engine
from recenter_utils.inference.requests import Request
from recenter_utils.inference.run import run
from recenter_utils.inference.tasks import LANGUAGE_CHECK
from tests.fake_server import Asked, FakeServer, Reply, completion, english, error, items

GOOD = '{"is_english": true}'
KEY = "sk-very/secret+key=1234567890"


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BACKOFF", 0.01)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


def ask(server: FakeServer, number: int = 8, cache: Path | None = None, **changes: Any) -> pd.DataFrame:
    return run(LANGUAGE_CHECK, items(number), server.model(**changes), cache=cache, progress=False)


# What item 3 gets; the error of its row (None: none), words of the detail, and how often it is asked in the first run.
FAULTS: dict[str, tuple[list[Reply], str | None, str, int]] = {
    "500": ([error(500, "boom")], "server", "500: boom", 3),
    "503 once": ([error(503, "busy"), Reply(completion(GOOD))], None, "", 2),
    "429 for ever": ([error(429, "slow down", **{"retry-after": "0.01"})], "server", "429: slow down", -3),
    "429 twice": ([error(429, "slow"), error(429, "slow"), Reply(completion(GOOD))], None, "", 3),
    "hangs": ([Reply(completion(GOOD), after=30)], "server", "no answer within 0.5 s", 3),
    "drips": ([Reply(completion(GOOD), drip=0.1)], "server", "no answer within 0.5 s", 3),
    "cut in the body": ([Reply(completion(GOOD), cut=True)], "server", "the connection failed", 3),
    "hangs up": ([Reply(status=0)], "server", "the connection failed: Server disconnected", 3),
    "hangs up once": ([Reply(status=0), Reply(completion(GOOD))], None, "", 2),
    "invalid JSON": ([Reply(b"{not json")], "server", "not readable", 3),
    "bad encoding": ([Reply(b"abcd", headers={"content-encoding": "gzip"})], "server", "connection failed", 3),
    "a page": ([Reply(b"<html>", headers={"content-type": "text/html"})], "server", "no chat completion", 1),
    "null": ([Reply(None)], "server", "no chat completion", 1),
    "a list": ([Reply([1])], "server", "no chat completion", 1),
    "other keys": ([Reply({"answer": 1})], "server", "no chat completion", 1),
    "no choices": ([Reply({"choices": []})], "server", "no chat completion", 1),
    "odd choice": ([Reply({"choices": [{"message": "x"}]})], "server", "no chat completion", 1),
    "truncated": ([Reply(completion('{"is_eng', finish="length"))], "truncated", "max_tokens", 1),
    "refusal": ([Reply(completion(None, refusal="I will not"))], "refused", "I will not", 1),
    "filter": ([Reply(completion(GOOD, finish="content_filter"))], "refused", "content filter", 1),
    "empty": ([Reply(completion(""))], "unparsed", "empty", 2),
    "no text": ([Reply(completion(None))], "unparsed", "empty", 2),
    "parts": ([Reply(completion([{"type": "text"}]))], "unparsed", "empty", 2),  # type: ignore[arg-type]
    "other answer": ([Reply(completion('{"language": "en"}'))], "unparsed", "is_english", 2),
    "half a surrogate": ([Reply(completion("\ud800 {"))], "unparsed", "JSON", 2),
    "huge usage": ([Reply(completion(GOOD, usage={"prompt_tokens": 10**30}))], None, "", 1),
    "odd usage": ([Reply(completion(GOOD, usage={"prompt_tokens": "many", "completion_tokens": -3}))], None, "", 1),
    "usage is a list": ([Reply(completion(GOOD, usage=[1]))], None, "", 1),
    "no usage": ([Reply(completion(GOOD, usage=None))], None, "", 1),
    "400": ([error(400, "bad temperature")], "server", "400: bad temperature", 1),
    "400 filter": ([error(400, "filtered", "content_filter")], "refused", "content_filter", 1),
    "403 flagged": ([error(403, "your input was flagged by moderation")], "refused", "flagged", 1),
    "413": ([error(413, "Request exceeds the maximum size")], "context_length", "413", 1),
    "vLLM's length": (
        [Reply({"object": "error", "message": "This model's maximum context length is 8 tokens.", "code": 400}, 400)],
        "context_length",
        "maximum context length",
        1,
    ),
    "vLLM's other length": (
        [error(400, "The decoder prompt (length 90) is longer than the maximum model length of 8.")],
        "context_length",
        "longer",
        1,
    ),
    "OpenAI's length": (
        [error(400, "Input tokens exceed the configured limit.", "context_length_exceeded")],
        "context_length",
        "exceed",
        1,
    ),
    "Anthropic's length": ([error(400, "prompt is too long: 9 tokens > 8 maximum")], "context_length", "too long", 1),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_costs_one_row_which_the_next_run_asks_again(server: FakeServer, tmp_path: Path, fault: str) -> None:
    replies, kind, words, times = FAULTS[fault]
    server.script["item-3"] = list(replies)
    cache = tmp_path / "answers.sqlite"
    slow = {"timeout": 0.5} if fault in ("hangs", "drips") else {}
    frame = ask(server, cache=cache, sampling={"temperature": 0.5}, **slow)
    row = frame.loc[3]
    assert (None if pd.isna(row.error) else row.error) == kind
    assert words in row.detail
    # A 429 while others are answered is no failed try, so there may be more than the three.
    assert server.counts["item-3"] == times or (times < 0 and server.counts["item-3"] >= -times)
    assert frame.drop(3).is_english.tolist() == [True, False, True, True, False, True, False]
    others = {name: count for name, count in server.counts.items() if name != "item-3"}
    assert others == {f"item-{i}": 1 for i in range(8) if i != 3}

    server.script.clear()
    server.asked.clear()
    healed = ask(server, cache=cache, sampling={"temperature": 0.5})
    assert healed.error.isna().all()
    assert server.counts == ({"item-3": 1} if kind else {})


def test_what_is_no_http_at_all_costs_its_rows(tmp_path: Path) -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def mumble() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(10_000)
                connection.sendall(b"hello there\r\n\r\n")

    threading.Thread(target=mumble, daemon=True).start()
    silent = FakeServer()
    silent.port = listener.getsockname()[1]
    frame = ask(silent, 3)
    listener.close()
    assert frame.error.tolist() == ["server"] * 3
    assert frame.detail.str.contains("Bad status line").all()


def test_one_429_holds_back_every_worker(server: FakeServer) -> None:
    server.script["item-0"] = [error(429, "slow", **{"retry-after": "1"}), Reply(completion(GOOD))]
    frame = ask(server, 200, concurrency=4)
    told = next(asked.answered_at for asked in server.asked if asked.name == "item-0")
    assert told is not None
    early = [asked for asked in server.asked if told < asked.came_at < told + 0.9]
    # Those already under way: without the pause, all 200 would come at once.
    assert len(early) <= 8
    assert frame.error.isna().all()


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        ("2", 2, 2),
        ("0.25", 0.25, 0.25),
        ("-5", 0, 0),
        ("99999", 60, 60),
        ("inf", None, None),
        ("nan", None, None),
        ("soon", None, None),
        ("", None, None),
        # Named, because processes that share the tests must call them the same.
        pytest.param(email.utils.formatdate(time.time() + 3600, usegmt=True), 60, 60, id="in an hour"),
        pytest.param(email.utils.formatdate(time.time() - 3600, usegmt=True), 0, 0, id="an hour ago"),
    ],
)
def test_retry_after_is_read_as_seconds_or_date(value: str, low: float | None, high: float | None) -> None:
    request = httpx2.Request("POST", "http://x")
    response = httpx2.Response(429, headers={"retry-after": value}, request=request)
    told = failures.told_to_wait(openai.RateLimitError("slow", response=response, body=None))
    assert told is None if low is None else told is not None and low <= told <= high


def test_a_server_that_limits_the_rate_gets_all_the_time_it_needs() -> None:
    came = iter(range(10_000))

    def limited(asked: Asked) -> Reply:
        return english(asked) if next(came) % 5 == 4 else error(429, "slow", **{"retry-after": "0.005"})

    with FakeServer(limited) as server:
        frame = ask(server, 60, concurrency=16, retries=4)
    assert frame.error.isna().all()


def test_at_most_so_many_are_asked_at_once() -> None:
    with FakeServer(lambda asked: Reply(english(asked).body, after=0.05)) as server:
        frame = ask(server, 40, concurrency=8)
    assert server.most_at_once == 8
    assert frame.error.isna().all()


STOPS = {
    "a refused key": (error(401, f"Incorrect API key provided: {KEY}"), "refused the key.*check .*FAKE_KEY"),
    "a forbidden key": (error(403, "no access"), "refused the key.*check .*FAKE_KEY"),
    "an unknown model": (error(404, "The model `fake` does not exist", "model_not_found"), "does not know 'fake'"),
    "a spent account": (error(429, "You exceeded your quota", "insufficient_quota"), "out of credit"),
}


@pytest.mark.parametrize("stop", STOPS)
def test_what_no_row_can_answer_for_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: str) -> None:
    monkeypatch.setenv("FAKE_KEY", KEY)
    reply, sentence = STOPS[stop]
    with FakeServer(lambda asked: reply) as server:
        with pytest.raises(RecenterError, match=sentence) as caught:
            ask(server, 300, tmp_path / "answers.sqlite", key_env="FAKE_KEY", concurrency=4)
        assert len(server.asked) <= 4
        assert KEY not in "".join(traceback.format_exception(caught.value))
        server.behave = english
        assert not ask(server, 300, tmp_path / "answers.sqlite", key_env="FAKE_KEY").cached.any()


def test_an_unreachable_server_is_one_sentence_without_retries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BACKOFF", 3600.0)  # a single retry would hang the test
    with socket.create_server(("127.0.0.1", 0)) as probe:
        free = probe.getsockname()[1]
    nowhere = FakeServer()
    nowhere.port = free
    with pytest.raises(RecenterError, match=rf"Nothing answers at http://127.0.0.1:{free}/v1 .*start the server"):
        ask(nowhere, 300, tmp_path / "answers.sqlite")


def test_a_server_killed_in_mid_run_ends_it_and_the_next_run_asks_the_rest(tmp_path: Path) -> None:
    cache = tmp_path / "answers.sqlite"
    first = FakeServer()

    def dies(asked: Asked) -> Reply:
        if len(first.asked) == 150:
            threading.Thread(target=first.kill).start()
        return Reply(english(asked).body, after=0.01)

    first.behave = dies
    with first:
        frame = ask(first, 800, cache, concurrency=16)
    missing = {f"item-{i}" for i in frame.index[frame.error.notna()]}
    assert set(frame.error.dropna()) == {"server"}
    assert len(missing) > 400
    with FakeServer() as second:
        whole = ask(second, 800, cache, concurrency=16)
        assert second.counts == dict.fromkeys(missing, 1)
    assert whole.is_english.tolist() == [i % 2 == 0 for i in range(800)]


@pytest.mark.parametrize("reply", [error(500, "boom"), error(429, "slow", **{"retry-after": "0"}), Reply(status=0)])
def test_a_server_that_only_fails_is_not_asked_for_every_row(reply: Reply) -> None:
    with FakeServer(lambda asked: reply) as server:
        frame = ask(server, 500, concurrency=4, retries=1)
    assert frame.error.tolist() == ["server"] * 500
    assert len(server.asked) <= 2 * (engine.GIVE_UP_AFTER + 4)
    assert "too often in a row" in frame.detail[499]


def test_the_key_reaches_nothing_that_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FAKE_KEY", f"  {KEY}\n")
    echoes = {
        "item-0": Reply(completion(f"Your key is {KEY}")),
        "item-1": Reply(completion(GOOD, refusal=f"not with {KEY}")),
        "item-2": error(500, f"upstream said {KEY}"),
        "item-3": Reply({"your": KEY}),
        "item-4": error(400, f"{KEY} is too long"),
        "item-5": Reply(completion(json.dumps({KEY: 1}))),
        "item-6": Reply(completion(GOOD)),
    }
    with FakeServer() as server:
        server.script = {name: [reply] for name, reply in echoes.items()}
        model = server.model(key_env="FAKE_KEY")
        frame = run(LANGUAGE_CHECK, items(7), model, cache=tmp_path / "answers.sqlite")
        assert {asked.headers["Authorization"] for asked in server.asked} == {f"Bearer {KEY}"}
    assert frame.error.notna().sum() == 6
    assert KEY not in frame.to_csv()
    for file in tmp_path.iterdir():
        assert KEY.encode() not in file.read_bytes()
    assert KEY not in "".join(capfd.readouterr())


def test_a_missing_key_names_its_variable(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FAKE_KEY", raising=False)
    with pytest.raises(RecenterError, match="set the environment variable FAKE_KEY"):
        ask(server, key_env="FAKE_KEY")
    monkeypatch.setenv("FAKE_KEY", "sk-with\nline")
    with pytest.raises(RecenterError, match="FAKE_KEY holds characters") as caught:
        ask(server, key_env="FAKE_KEY")
    assert "sk-with" not in str(caught.value)
    assert not server.asked


def test_a_request_says_what_the_entry_says(server: FakeServer) -> None:
    options = {"rename": {"max_tokens": "max_completion_tokens"}, "omit": ["temperature"], "extra_body": {"seed": 7}}
    ask(server, 1, served_name="org/fake", options=options)
    body = server.asked[0].body
    assert body["model"] == "org/fake"
    assert body["max_completion_tokens"] == 64
    assert body["seed"] == 7
    assert not {"max_tokens", "temperature"} & set(body)
    assert body["response_format"]["json_schema"]["schema"] == LANGUAGE_CHECK.schema
    ask(server, 1, json_schema=False, sampling={"temperature": None})
    assert not {"response_format", "temperature"} & set(server.asked[1].body)


def test_an_odd_error_body_has_words() -> None:
    for body in (None, "", {}, {"message": None}, ["x"], {"code": 5}):
        problem = SimpleNamespace(body=body, message="said")
        assert isinstance(failures.words(problem), str)  # type: ignore[arg-type]


def test_every_engine_answer_keeps_its_request(server: FakeServer) -> None:
    """`asked` counts the calls that one answer took."""
    server.script["item-0"] = [error(500, "x"), error(500, "x"), Reply(completion(GOOD))]
    seen: list[tuple[Request, int]] = []

    async def collect() -> None:
        asking = engine.OpenAIEngine(server.model())
        request = Request(b"k", "language_check", [{"role": "user", "content": "item-0"}], None, {})
        await asking.ask(iter([request]), lambda request, answer: seen.append((request, answer.asked)))
        await asking.close()

    import asyncio

    asyncio.run(collect())
    assert [(request.key, asked) for request, asked in seen] == [(b"k", 3)]
