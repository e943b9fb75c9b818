"""The graded score at the final word: found whatever pieces a tokeniser makes of it, and no reason to fail."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recenter_utils.inference.scores import Token, openai_tokens, score
from recenter_utils.inference.tasks import RELEVANCE_LINE
from tests.fake_server import FakeServer, Reply, completion, logprobs
from tests.test_scores import YES, _nothing_known_of_servers, judge  # noqa: F401  (a fixture that all tests here use)


def tokens(*said: Any, text: str = YES) -> float | None:
    return score(text, openai_tokens({"logprobs": logprobs(*said)}), RELEVANCE_LINE)


START = ("It", " would", ".\n", "Answer", ":")


@pytest.mark.parametrize(
    ("said", "share"),
    [
        ((*START, {" YES": 0.8, " NO": 0.2}), 0.8),
        ((*START, " ", {"YES": 0.8, "NO": 0.2}), 0.8),
        ((*START, {" Y": 0.6, " N": 0.4}, "ES"), 0.6),
        ((*START, " ", {"Y": 0.6, "N": 0.2}, {"E": 1.0}, "S"), 0.75),
        ((*START, {" YES": 0.5, "YES": 0.1, " yes": 0.1, " Yes": 0.1, " NO": 0.1, " No": 0.1}), 0.8),
        ((*START, {" YES": 0.5, " NO": 0.1, " maybe": 0.2, " **": 0.1, " Not": 0.05, " Yesterday": 0.05}), 5 / 6),
        ((*START, {" YES\n": 0.7, " NO\n": 0.3}), 0.7),
        (("It would.\n", {"Answer: YES": 0.9, "Answer: NO": 0.1}), 0.9),
        (("It would.\nAnswer", {": YES": 0.9, ": NO": 0.05, " YES": 0.05}), 0.9 / 0.95),
        ((*"It would.\nAnswer: ", {"Y": 0.8, "N": 0.2}, "E", "S"), 0.8),
        ((*START, {" YES": 0.8, " NO": 0.2}, "\n", "<|im_end|>"), 0.8),
        (("It", "would.", "Answer", ":", {"YES": 0.8, "NO": 0.2}), 0.8),  # shown without the space before
        (("▁It", "▁would.", "\n", "▁Answer", ":", {"▁YES": 0.8, "▁NO": 0.2}), 0.8),
        (("Answer", ":", {" NO": 0.9, " YES": 0.1}, "?\n", *START, {" YES": 0.8, " NO": 0.2}), 0.8),
        (("…" * 300, *START, {" YES": 0.8, " NO": 0.2}), 0.8),
    ],
)
def test_the_word_is_found_whatever_its_pieces(said: Any, share: float) -> None:
    assert tokens(*said) == pytest.approx(share)


def test_the_score_is_that_of_yes_also_where_the_answer_is_no() -> None:
    assert tokens("Answer", ":", {" NO": 0.7, " YES": 0.3}, text="Answer: NO") == pytest.approx(0.3)


def test_a_word_that_is_not_listed_counts_for_the_most_that_it_can_have() -> None:
    # Nothing beyond the list is likelier than .01, and no more than .04 is left.
    assert tokens(*START, {" YES": 0.95, " maybe": 0.01}) == pytest.approx(0.95 / 0.96)
    # Here the list leaves less than its own smallest.
    assert tokens(*START, {" YES": 0.9, " yes": 0.095}) == pytest.approx(0.995)
    assert tokens("Answer", ":", {" NO": 0.95, " maybe": 0.01}, text="Answer: NO") == pytest.approx(0.01 / 0.96)
    # Only the word itself is listed.
    assert tokens(*START, {" YES": 0.7}) == pytest.approx(0.7)


def test_a_word_that_was_forced_from_beyond_the_list_is_added_to_it() -> None:
    listed = Token(" YES", math.log(0.001), [(" the", math.log(0.5)), (" NO", math.log(0.003))])
    assert score("Answer: YES", [Token("Answer:", 0.0), listed], RELEVANCE_LINE) == pytest.approx(0.25)
    alone = Token(" YES", math.log(1e-9), [(" the", math.log(0.5)), (" a", math.log(0.3))])
    assert score("Answer: YES", [Token("Answer:", 0.0), alone], RELEVANCE_LINE) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "choice",
    [
        {},
        {"logprobs": None},
        {"logprobs": []},
        {"logprobs": {"content": None}},
        {"logprobs": {"content": []}},
        {"logprobs": {"content": "YES"}},
        {"logprobs": {"content": [None]}},
        {"logprobs": {"content": [{"token": "Answer: YES"}]}},
        {"logprobs": {"content": [{"token": "Answer: YES", "logprob": None, "top_logprobs": None}]}},
        {"logprobs": {"content": [{"token": "Answer: YES", "logprob": math.nan}]}},
        {"logprobs": {"content": [{"token": "Answer: YES", "logprob": -0.1, "top_logprobs": [1]}]}},
        {"logprobs": {"tokens": ["Answer: YES"], "token_logprobs": [-0.1]}},
        {"logprobs": logprobs("something", " else")},
    ],
    ids=str,
)
def test_an_odd_list_gives_no_score_and_the_answer_stands(choice: dict[str, Any]) -> None:
    assert score(YES, openai_tokens(choice), RELEVANCE_LINE) is None
    with FakeServer(lambda asked: Reply(completion(YES, logprobs=choice.get("logprobs")))) as server:
        frame = judge(server, 1)
    assert frame["label"].tolist() == ["yes"]
    assert frame["score"].tolist() == [None]


def test_bytes_are_believed_before_a_tokens_name() -> None:
    entries = logprobs("Answer", ":", {" YES": 0.8, " NO": 0.2})
    for number, entry in enumerate(entries["content"]):
        entry["token"] = f"token_id:{number}"
        for place, other in enumerate(entry["top_logprobs"]):
            other["token"] = f"token_id:{number + place}"
    assert score("Answer: YES", openai_tokens({"logprobs": entries}), RELEVANCE_LINE) == pytest.approx(0.8)


@settings(deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["Answer", ":", " ", "YES", " YES", "Y", "ES", "NO", " NO", "\n", "é", ""]),
            st.floats(0, 1),
            min_size=1,
        ),
        max_size=12,
    )
)
def test_any_list_gives_a_share_or_nothing(said: list[dict[str, float]]) -> None:
    text = "".join(next(iter(token)) for token in said)
    share = tokens(*said, text=text)
    assert share is None or 0 <= share <= 1
