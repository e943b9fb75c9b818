"""Responses, preferences and mentions on the real vLLM with a model of random weights: all paths are real, and what it
says means nothing.

A random model never ends by itself. Guided by a regular expression it does, and chooses among what that leaves open.
"""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest
from conftest import KeptEngine, Server

from recenter_utils.inference.models import Model
from recenter_utils.inference.run import run
from recenter_utils.inference.tasks import GENERIC_RESPONSE, MENTION, PERSONALISED_RESPONSE, PREFERENCE_JUDGMENT, Task
from recenter_utils.responses import comparisons, generation, instances, judging, mentions
from recenter_utils.settings.responses import Responses
from recenter_utils.tables import check, table

pytestmark = pytest.mark.vllm

ROOT = Path(__file__).parents[2]
RULES = Responses(max_tokens=48)
SAYS = {
    "response": r"(Since you have a cat, take|Take|First take|You could take) the (slow|fast|early|late|next) train\.",
    "preference": r'\{"reasoning": "(It fits|It does not|So so)\.", "rating": [1-5]\}',
    "mention": r'\{"quote": "(train|the)", "explicit": (true|false)\}',
}
REQUESTS, USERS = 12, 2


class Done(NamedTuple):
    """Stage 3 up to the mentions."""

    responses: pl.DataFrame
    comparisons: pl.DataFrame
    preferences: judging.Preferences
    mentions: pl.DataFrame
    waiting: int


def model(base_url: str, says: str | None, **more: Any) -> Model:
    """Return an entry that is guided to what `SAYS` names, or not at all."""
    guide = {"max_tokens": 48} | ({"structured_outputs": {"regex": SAYS[says]}} if says else {})
    # A server takes one guide at a time: with a regular expression it cannot take the task's JSON schema.
    entry = {"name": "tiny", "engine": "openai", "base_url": base_url, "retries": 1, "json_schema": False}
    return Model.model_validate(entry | {"sampling": guide} | more)


def stage_three(base_url: str, cache: Path) -> Done:
    """Ask for responses, for preferences between them, and for mentions in them."""
    names = [(f"q{request:02}", f"chat/u{user}") for request in range(REQUESTS) for user in range(USERS)]
    rows = [
        {"prompt_id": request, "user_id": user, "attribute_ids": [f"{user}-a"], "attributes": ["Has a cat."]}
        for request, user in names
    ]
    prompts = table("prompts").frame(
        [{"prompt_id": f"q{n:02}", "source": "prompts", "text": f"How do I get to town number {n}?"} for n in range(12)]
    )
    pairs = table("pairs").frame(
        [
            {
                "pair_id": f"{request}/{user}-a",
                "prompt_id": request,
                "attribute_id": f"{user}-a",
                "user_id": user,
                "attribute": "Has a cat.",
                "place": 0,
            }
            for request, user in names
        ]
    )
    chosen = pl.DataFrame(rows, schema=instances.COLUMNS)
    said, waiting = generation.ask(chosen, prompts, [model(base_url, "response")], RULES, cache=cache, progress=False)
    compared = comparisons.comparisons(comparisons.pages(said, 1), pairs)
    judges = [model(base_url, "preference")]
    items = judging.worded(compared, prompts, said)
    preferred = judging.ask(items, judges, both_orders=0.5, cache=cache, progress=False)
    detector = model(base_url, "mention")
    found, more = mentions.detect(compared, said, detector, cache=cache, progress=False)
    return Done(said, compared, preferred, found, waiting + judging.worth_asking(preferred.failures) + more)


def test_stage_three_runs_from_requests_to_mentions(vllm_server: Server, tmp_path: Path) -> None:
    done = stage_three(vllm_server.base_url, tmp_path / "answers.sqlite")
    check("responses", done.responses)
    assert done.waiting == 0
    assert done.responses["status"].unique().to_list() == ["answered"]
    assert len(done.responses) == REQUESTS * (1 + USERS)
    assert done.responses["text"].n_unique() > 2
    assert not done.comparisons.is_empty()
    assert len(done.preferences.judgments) == len(done.comparisons)
    assert done.preferences.judgments["score"].is_between(1, 5).all()
    assert done.preferences.judgments["first_shown"].n_unique() == 2
    assert len(done.preferences.swapped) >= len(done.comparisons) // 2
    read = done.mentions.filter(detector_kind="llm")
    assert len(read) == len(done.comparisons)
    assert read["explicit"].null_count() == 0
    seen = vllm_server.requests_seen()
    again = stage_three(vllm_server.base_url, tmp_path / "answers.sqlite")
    assert again.responses.equals(done.responses)
    assert again.mentions.equals(done.mentions)
    assert vllm_server.requests_seen() == seen, "everything was in the cache"


def test_responses_that_do_not_come_to_an_end_are_failures_and_are_counted(vllm_server: Server) -> None:
    rows = [{"prompt_id": "q", "user_id": "u", "attribute_ids": ["a"], "attributes": ["Has a cat."]}]
    prompts = table("prompts").frame([{"prompt_id": "q", "source": "prompts", "text": "How do I get to town?"}])
    asked = pl.DataFrame(rows, schema=instances.COLUMNS)
    found, waiting = generation.ask(asked, prompts, [model(vllm_server.base_url, None)], RULES, progress=False)
    assert set(found.select("status", "error").rows()) <= {("failed", "truncated"), ("answered", None), ("empty", None)}
    assert waiting == 0
    pages = comparisons.pages(found, 1)
    assert comparisons.summary(pages, ["tiny"]).drop("generator", "n_pages").sum_horizontal()[0] >= len(pages)


def test_a_response_that_is_too_long_to_ask_for_is_recorded(vllm_server: Server) -> None:
    rows = [{"prompt_id": "q", "user_id": "u", "attribute_ids": ["a"], "attributes": ["Likes bread. " * 4000]}]
    prompts = table("prompts").frame([{"prompt_id": "q", "source": "prompts", "text": "How do I get to town?"}])
    asked = pl.DataFrame(rows, schema=instances.COLUMNS)
    found, waiting = generation.ask(asked, prompts, [model(vllm_server.base_url, "response")], RULES, progress=False)
    assert found.select("condition", "status", "error").rows() == [
        ("generic", "answered", None),
        ("personalised", "failed", "context_length"),
    ]
    assert waiting == 0
    assert comparisons.pages(found, 1)["outcome"].to_list() == ["failed"]


def test_a_killed_run_is_taken_up_where_it_ended(vllm_server: Server, tmp_path: Path) -> None:
    """kill -9 in the midst of it: what was stored is not asked again, and nothing is missing in the end."""
    cache = tmp_path / "answers.sqlite"
    code = (
        "import sys; from pathlib import Path; from test_responses_on_vllm import stage_three\n"
        "while True: stage_three(sys.argv[1], Path(sys.argv[2]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, vllm_server.base_url, str(cache)], cwd=Path(__file__).parent
    )
    give_up = time.monotonic() + 300
    while stored(cache) < 10 and time.monotonic() < give_up and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept, before = stored(cache), seen_by(vllm_server)
    assert kept >= 10
    done = stage_three(vllm_server.base_url, cache)
    assert done.waiting == 0
    assert (done.responses["status"] == "answered").all()
    assert len(done.preferences.judgments) == len(done.comparisons)
    assert vllm_server.requests_seen() - before == stored(cache) - kept, "what is new in the cache, and nothing else"


def test_the_tasks_own_schemas_are_taken_by_the_server(vllm_server: Server) -> None:
    """Guided by the schema a random model fills texts without end; those that end have the shape."""
    slots = {
        "prompt": "How?",
        "attribute": "Has a cat.",
        "response": "Take it.",
        "response_a": "A.",
        "response_b": "B.",
    }
    for task in (PREFERENCE_JUDGMENT, MENTION):
        frame = run(task, [slots] * 4, model(vllm_server.base_url, None, json_schema=True), progress=False)
        assert frame["error"].isin(["truncated", "unparsed"]).sum() + frame["error"].isna().sum() == 4
        assert frame["raw"].str.startswith('{"').all()


@pytest.mark.parametrize("task", [GENERIC_RESPONSE, PERSONALISED_RESPONSE], ids=["generic", "personalised"])
def test_the_engine_without_a_server_writes_responses_too(vllm_engine: KeptEngine, task: Task) -> None:
    guide = {"max_tokens": 48, "structured_outputs": {"regex": SAYS["response"]}}
    items = [{"prompt": f"How do I get to town {n}?", "attributes": [{"attribute": "Has a cat."}]} for n in range(4)]
    frame = run(task, items, vllm_engine.model, sampling=guide, progress=False, engine=vllm_engine)
    assert frame["error"].isna().all(), frame["detail"].tolist()
    assert frame["text"].str.endswith("train.").all()


def stored(cache: Path) -> int:
    """How many answers the cache holds."""
    if not cache.is_file():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{cache}?mode=ro", uri=True)) as db:
            return int(db.execute("SELECT count(*) FROM answers WHERE error IS NULL").fetchone()[0])
    except sqlite3.OperationalError:  # it is just being made
        return 0


def seen_by(server: Server) -> int:
    """How many requests the server has answered, once it has done with those of a process that is gone."""
    before = -1
    while (now := server.requests_seen()) != before:
        before = now
        time.sleep(1)
    return now
