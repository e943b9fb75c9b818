"""The filter of pairs: what it reads, whom it keeps out, and that no failure of it goes uncounted."""

from __future__ import annotations

import json

import polars as pl
import pytest

from recenter_utils.errors import RecenterError
from recenter_utils.inference.requests import Answer, Request
from recenter_utils.relevance import pair_counts, pairing
from recenter_utils.settings import Pairing
from tests.instant import Instant
from tests.paired import ask, attributes, pair, requests, says


def test_a_user_without_two_potentially_relevant_attributes_meets_no_request() -> None:
    def only_some(request: Request) -> Answer:
        user = request.slots["attributes"][0]["attribute"].rpartition(" ")[2]
        return Answer(json.dumps({"relevant": {"0.": [1, 2], "1.": [3], "2.": []}.get(user, [2, 4, 5])}))

    for seed in range(8):
        made = pair(seed, brought=attributes(4), say=only_some)
        assert set(made.pairs["user_id"]) == {"chat/u0", "chat/u3"}
        assert made.pairing.filter(user_id="chat/u1")["n_potential"].to_list() == [1] * 8
        assert set(made.pairing.filter(~pl.col("kept"))["reason"]) == {"fewer than 2 potentially relevant attributes"}


def test_the_filter_reads_the_request_and_the_users_numbered_attributes_and_nothing_else() -> None:
    engine = Instant(says)
    pairing.ask(requests(1), attributes(1, 2), engine.model, 2, progress=False, engine=engine)
    (request,) = engine.asked
    numbered = [{"number": 1, "attribute": "Likes 0 of user 0."}, {"number": 2, "attribute": "Likes 1 of user 0."}]
    assert dict(request.slots) == {"prompt": "Request 0.", "attributes": numbered}
    assert "u0" not in json.dumps(request.messages)


def test_one_failed_answer_keeps_one_combination_out_and_is_counted() -> None:
    def fails_once(request: Request) -> Answer:
        marked = request.slots["prompt"] == "Request 3." and "user 1." in request.slots["attributes"][0]["attribute"]
        return Answer(error="refused", detail="no") if marked else Answer('{"relevant": [1, 2]}')

    found, worth_asking = ask(requests().filter(pl.col("prompt_id").is_in(["q03", "q05"])), attributes(), fails_once)
    assert worth_asking == 0
    out = found.filter(~pl.col("kept"))
    assert out.select("prompt_id", "user_id", "n_potential", "reason").rows() == [
        ("q03", "chat/u1", None, "no answer: refused")
    ]
    assert len(found) == 18


def test_what_is_worth_asking_again_makes_the_notebook_unfinished_and_the_page_says_why() -> None:
    def down(request: Request) -> Answer:
        if "user 1." in request.slots["attributes"][0]["attribute"]:
            return Answer(error="server", detail="down")
        return Answer('{"relevant": [1, 2]}')

    made = pair(say=down)
    assert made.unanswered == 8
    assert "chat/u1" not in set(made.pairs["user_id"])
    notes = dict(pair_counts.funnel(made).select("step", "note").iter_rows())
    assert notes["combinations with an answer"] == "8 no answer: server"
    assert "8 have no answer and pass nowhere" in pair_counts.sentence(made, Pairing(prompts="q.jsonl"), 1)


@pytest.mark.parametrize(
    "text", ['{"relevant": [99]}', '{"relevant": "all"}', "none of them", '{"relevant": [0, 1, 2]}']
)
def test_an_answer_that_names_what_is_not_there_is_no_answer(text: str) -> None:
    found, worth_asking = ask(requests(1), attributes(2), lambda _: Answer(text))
    assert found["reason"].to_list() == ["no answer: unparsed"] * 2
    assert found["n_potential"].null_count() == 2
    assert worth_asking == 0


def test_a_number_that_is_named_twice_counts_once() -> None:
    found, _ = ask(requests(1), attributes(1), lambda _: Answer('{"relevant": [3, 3, 3]}'))
    assert found.select("n_potential", "kept").rows() == [(1, False)]


def test_who_has_too_few_attributes_to_pass_is_not_asked_about() -> None:
    engine = Instant(says)
    few = pl.concat([attributes(1, 1), attributes(3).filter(pl.col("user_id") == "chat/u2")])
    found, _ = pairing.ask(requests(2), few, engine.model, 2, progress=False, engine=engine)
    assert len(engine.asked) == 2
    assert found.filter(user_id="chat/u0")["reason"].to_list() == ["fewer than 2 attributes, so not asked"] * 2


def test_a_filter_that_never_answers_stops_the_study() -> None:
    with pytest.raises(RecenterError, match="answered none of 2 requests"):
        ask(requests(1), attributes(2), lambda _: Answer(error="server", detail="down"))
