"""The graded score from a server to the cache: asked for, kept beside the label, and no reason to fail."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from recenter_utils.inference.cache import Cache
from recenter_utils.inference.engines import openai as engine
from recenter_utils.inference.models import Model
from recenter_utils.inference.requests import Answer, Questions
from recenter_utils.inference.run import run
from recenter_utils.inference.scores import ALTERNATIVES
from recenter_utils.inference.tasks import LANGUAGE_CHECK, RELEVANCE_JUDGMENT
from tests.fake_server import Asked, FakeServer, Reply, completion, error, items, logprobs

YES = "It would.\nAnswer: YES"


@pytest.fixture(autouse=True)
def _nothing_known_of_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_taken", {})
    monkeypatch.setattr(engine, "BACKOFF", 0.01)


def pairs(number: int) -> list[dict[str, str]]:
    return [{"attribute": "Is a baker.", "prompt": f"item-{i}"} for i in range(number)]


def judge(server: FakeServer, number: int = 4, cache: Path | None = None, **more: Any) -> pd.DataFrame:
    batch = {"options": {"batch_poll": 0.01}} if more.get("batch") else {}
    model = server.model(**batch, **more.pop("entry", {}))
    return run(RELEVANCE_JUDGMENT, pairs(number), model, cache=cache, progress=False, **more)


def graded(asked: Asked) -> Reply:
    """Answer as a model that is sure of yes to .8, and lists what it was asked to list."""
    lists = logprobs("It", " would", ".", "\n", "Answer", ":", {" YES": 0.8, " NO": 0.2})
    return Reply(completion(YES, logprobs=lists if asked.body.get("logprobs") else None))


# --- From a server to the cache -----------------------------------------------------------------------------


def test_scores_are_asked_for_kept_and_found_again(tmp_path: Path) -> None:
    with FakeServer(graded) as server:
        frame = judge(server, cache=tmp_path / "answers.sqlite")
        assert frame["score"].tolist() == pytest.approx([0.8] * 4)
        assert frame["label"].tolist() == ["yes"] * 4
        body = server.asked[0].body
        assert (body["logprobs"], body["top_logprobs"]) == (True, ALTERNATIVES[0])
        assert "response_format" not in body
        again = judge(server, cache=tmp_path / "answers.sqlite")
        assert again["cached"].all()
        assert again["score"].tolist() == frame["score"].tolist()
        assert len(server.asked) == 4


def test_an_answer_that_does_not_parse_has_no_score() -> None:
    with FakeServer(lambda asked: Reply(completion("YES", logprobs=logprobs({"YES": 0.9, "NO": 0.1})))) as server:
        frame = judge(server, 2)
    assert frame["error"].tolist() == ["unparsed"] * 2
    assert frame["score"].tolist() == [None] * 2


def test_other_tasks_ask_for_none_and_keep_their_own_column_of_that_name() -> None:
    with FakeServer() as server:
        frame = run(LANGUAGE_CHECK, items(2), server.model(), progress=False)
        assert not {"logprobs", "top_logprobs"} & set(server.asked[0].body)
    assert "score" not in frame


REFUSALS = {
    "OpenAI": error(403, "You are not allowed to request logprobs from this model"),
    "OpenAI's other": error(400, "Unsupported parameter: 'logprobs' is not supported with this model."),
    "vLLM": error(400, "Requested sample logprobs of 20, which is greater than max allowed: 0"),
    "pydantic": Reply({"detail": [{"loc": ["body", "top_logprobs"], "msg": "Extra inputs are not permitted"}]}, 422),
    "no words": error(400, "Bad request"),
    "not implemented": error(501, "logprobs are not implemented"),
    "a server that fails": error(500, "logprobs not implemented"),
    "a server that finds nothing": error(404, "logprobs unsupported"),
}


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("entry", [{"concurrency": 1}, {"concurrency": 16}], ids=["one", "many"])
def test_a_server_that_refuses_is_asked_without_and_that_is_remembered(refusal: str, entry: dict[str, Any]) -> None:
    def behave(asked: Asked) -> Reply:
        return REFUSALS[refusal] if asked.body.get("logprobs") else graded(asked)

    entry |= {"retries": 0}
    with FakeServer(behave) as server:
        frame = judge(server, 40, entry=entry)
        assert frame["error"].isna().all(), frame["detail"].tolist()
        assert frame["label"].tolist() == ["yes"] * 40
        assert frame["score"].tolist() == [None] * 40
        # Each of those in flight at the start learns it for itself.
        assert len(server.asked) <= 40 + len(ALTERNATIVES) * entry["concurrency"]
        server.asked.clear()
        judge(server, 40, entry=entry)
        assert len(server.asked) == 40, "the next run knows"


def test_a_server_that_lists_fewer_is_asked_for_fewer() -> None:
    def behave(asked: Asked) -> Reply:
        if asked.body["top_logprobs"] > 5:
            return error(400, "top_logprobs must be at most 5")
        return graded(asked)

    with FakeServer(behave) as server:
        frame = judge(server, 20, entry={"concurrency": 2})
        assert frame["score"].tolist() == pytest.approx([0.8] * 20)
        assert len(server.asked) <= 22


def test_a_bad_row_among_good_ones_is_not_taken_for_a_refusal() -> None:
    with FakeServer(graded) as server:
        server.script["item-3"] = [error(400, "I do not like bakers")]
        frame = judge(server, 8, entry={"concurrency": 1})
        assert server.counts["item-3"] == 1
        assert frame["error"].notna().tolist() == [i == 3 for i in range(8)]
        assert frame["score"].drop(3).tolist() == pytest.approx([0.8] * 7)


def test_a_model_may_be_spared_the_question() -> None:
    with FakeServer(graded) as server:
        frame = judge(server, 2, entry={"logprobs": False})
        assert not any("logprobs" in asked.body for asked in server.asked)
        assert frame["score"].tolist() == [None] * 2
        assert judge(server, 2)["score"].notna().all(), "which says nothing of other entries for that server"


@pytest.mark.parametrize("refuses", [False, True])
def test_a_batch_brings_scores_too_or_is_handed_in_again_without(refuses: bool, tmp_path: Path) -> None:
    def behave(asked: Asked) -> Reply:
        if refuses and asked.body.get("logprobs"):
            return REFUSALS["OpenAI"]
        return graded(asked)

    with FakeServer(behave) as server:
        frame = judge(server, 5, tmp_path / "answers.sqlite", batch=True)
        assert frame["label"].tolist() == ["yes"] * 5
        assert len(server.batches) == 1 + refuses
        if refuses:
            assert frame["score"].tolist() == [None] * 5
        else:
            assert frame["score"].tolist() == pytest.approx([0.8] * 5)
        with Cache(tmp_path / "answers.sqlite") as cache:
            assert not cache._db.execute("SELECT * FROM batches").fetchall()
        assert judge(server, 5, tmp_path / "answers.sqlite", batch=True)["cached"].all()


def test_a_bad_line_of_a_batch_is_a_row_and_nothing_is_handed_in_again() -> None:
    with FakeServer(graded) as server:
        server.script["item-1"] = [error(400, "bakers are not supported")]
        frame = judge(server, 3, batch=True)
        assert frame["error"].notna().tolist() == [False, True, False]
        assert len(server.batches) == 1


# --- Caches made before there were scores ---------------------------------------------------------------------

BEFORE = """
CREATE TABLE answers (id INTEGER PRIMARY KEY, key BLOB NOT NULL, model TEXT NOT NULL, text TEXT, error TEXT,
    detail TEXT NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, stored_at REAL NOT NULL);
CREATE UNIQUE INDEX usable ON answers (key) WHERE error IS NULL;
CREATE INDEX unusable ON answers (key) WHERE error IS NOT NULL;
CREATE TABLE batches (key BLOB PRIMARY KEY, batch_id TEXT NOT NULL);
"""
OPENING = """
import sys
from pathlib import Path
from recenter_utils.inference.cache import Cache
from recenter_utils.inference.requests import Answer
print("ready", flush=True)
sys.stdin.readline()
with Cache(Path(sys.argv[1])) as cache:
    cache.store("m", [(sys.argv[2].encode(), Answer("x", score=0.25))])
    print(len(cache.look_up([b"%d" % i for i in range(50)])))
"""


def old_cache(path: Path, keys: list[bytes], text: str) -> None:
    with sqlite3.connect(path) as db:
        db.executescript(BEFORE)
        rows = [(key, "m", text, "", 1, 1, 0.0) for key in keys]
        db.executemany(
            "INSERT INTO answers (key, model, text, detail, prompt_tokens, completion_tokens, stored_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            rows,
        )


def test_a_cache_from_before_answers_without_asking_again(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    with FakeServer(graded) as server:
        questions = Questions.of(RELEVANCE_JUDGMENT, server.model(), None, 0)
        old_cache(path, questions.keys(pairs(3)), YES)
        frame = judge(server, 5, path)
        assert frame["cached"].tolist() == [True] * 3 + [False] * 2
        assert frame["label"].tolist() == ["yes"] * 5
        assert frame["score"].tolist()[:3] == [None] * 3
        assert frame["score"].tolist()[3:] == pytest.approx([0.8] * 2)
        assert len(server.asked) == 2
        assert judge(server, 5, path)["score"].tolist() == frame["score"].tolist()


def test_several_processes_may_bring_an_old_cache_up_to_date_at_once(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    old_cache(path, [b"%d" % i for i in range(50)], "old")
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, "-c", OPENING, str(path)]
    opening = [subprocess.Popen([*command, f"new-{n}"], text=True, **pipes) for n in range(4)]
    for process in opening:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in opening:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    for process in opening:
        said, wrong = process.communicate()
        assert (process.returncode, said) == (0, "50\n"), wrong
    with Cache(path) as cache:
        found = cache.look_up([b"new-0", b"new-1", b"new-2", b"new-3", b"7"])
    assert [found[b"new-%d" % n].answer.score for n in range(4)] == [0.25] * 4
    assert found[b"7"].answer.score is None


def test_a_run_that_has_the_old_file_open_goes_on_while_another_adds_the_column(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    old_cache(path, [b"1"], "old")
    with sqlite3.connect(path) as old:
        old.execute("SELECT key, text FROM answers").fetchall()
        with Cache(path) as cache:
            cache.store("m", [(b"2", Answer("new", score=0.5))])
        old.execute(
            "INSERT INTO answers (key, model, text, detail, prompt_tokens, completion_tokens, stored_at)"
            " VALUES (x'33', 'm', 'also', '', 0, 0, 0)"
        )
        old.commit()
    with Cache(path) as cache:
        found = cache.look_up([b"1", b"2", b"3"])
    assert [found[key].answer.score for key in (b"1", b"2", b"3")] == [None, 0.5, None]


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(graded) as server:
        yield server


def test_the_key_does_not_know_of_scores(server: FakeServer) -> None:
    entry = server.model().model_dump()
    keys = {
        flag: Questions.of(RELEVANCE_JUDGMENT, Model.model_validate(entry | {"logprobs": flag}), None, 0).keys(pairs(1))
        for flag in (True, False)
    }
    assert keys[True] == keys[False]
