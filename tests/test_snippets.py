"""Snippets: what is read beside an attribute holds its evidence, says whose words they are, and is never too long."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recenter_utils.attributes.snippets import GAP, OPENING, SCHEMA, cut, plain_text, snippets
from recenter_utils.tables import TABLES


def chat(name: str, *contents: str) -> dict:
    turns = [{"role": "assistant" if i % 2 else "user", "content": text} for i, text in enumerate(contents)]
    return {"conversation_id": name, "user_id": "u", "source": "s", "language": None, "turns": turns}


def chats(*rows: dict) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=TABLES["conversations"].columns)


def extracted(name: str, conversation: str, turns: list[int], reason: str = "The user says so.") -> dict:
    said = {"attribute": f"Attribute {name}.", "reason": reason, "confidence": 0.9, "model": "m"}
    return {"attribute_id": name, "user_id": "u", "conversation_id": conversation, "evidence_turns": turns} | said


def attributes(*rows: dict) -> pl.DataFrame:
    return pl.DataFrame(list(rows)).select(list(TABLES["attributes"].columns))


def item(name: str, *members: str, attribute: str = "Keeps bees.") -> pl.DataFrame:
    row = {"attribute_id": name, "user_id": "u", "attribute": attribute, "members": list(members or (name,))}
    return pl.DataFrame([row])


def test_a_snippet_holds_evidence_its_neighbours_and_the_opening() -> None:
    talk = chat("c", *(f"turn {i}" for i in range(9)))
    row = snippets(item("a"), attributes(extracted("a", "c", [6])), chats(talk)).row(0, named=True)
    assert [turn["content"] for turn in row["snippet"]] == ["turn 0", "turn 5", "turn 6", "turn 7"]
    assert [turn["role"] for turn in row["snippet"]] == ["user", "assistant", "user", "assistant"]
    assert [turn["turn"] for turn in row["snippet"]] == [0, 1, 2, 3]
    assert row["evidence_turns"] == [2]
    assert row["places"][2] == {"conversation_id": "c", "turn": 6}


def test_evidence_of_all_members_is_there_and_the_representative_comes_first() -> None:
    found = snippets(
        item("b", "a", "b"),
        attributes(extracted("a", "first", [0], "The one."), extracted("b", "second", [0], "The other.")),
        chats(chat("first", "I keep bees", "ok"), chat("second", "my hives", "ok")),
    )
    row = found.row(0, named=True)
    assert [turn["content"] for turn in row["snippet"]] == ["my hives", "ok", "I keep bees", "ok"]
    assert [turn["conversation"] for turn in row["snippet"]] == [0, 0, 1, 1]
    assert row["reason"] == "The other."
    assert plain_text(row["snippet"], [2]).startswith("user: I keep bees\n")


def test_a_reason_of_its_own_replaces_the_extractors() -> None:
    given_reason = item("a").with_columns(reason=pl.lit("Revised."))
    found = snippets(given_reason, attributes(extracted("a", "c", [0])), chats(chat("c", "hello")))
    assert found["reason"].to_list() == ["Revised."]


def test_what_is_not_there_adds_nothing_and_fails_nothing() -> None:
    table = attributes(extracted("a", "gone", [0]), extracted("b", "c", [7, -1]))
    both = pl.concat([item("a"), item("b"), item("unknown")])
    found = snippets(both, table, chats(chat("c", "hello")))
    assert found.schema == pl.Schema(SCHEMA)
    assert found["snippet"].list.len().to_list() == [0, 0, 0]
    assert snippets(item("a").clear(), table, chats()).is_empty()


@given(
    st.lists(st.text(max_size=900), min_size=1, max_size=12),
    st.lists(st.integers(0, 11), min_size=1, max_size=6),
    st.integers(60, 2000),
)
def test_a_snippet_is_never_too_long_and_shows_some_evidence(texts: list[str], turns: list[int], longest: int) -> None:
    cited = sorted({turn for turn in turns if turn < len(texts)}) or [0]
    row = snippets(item("a"), attributes(extracted("a", "c", cited)), chats(chat("c", *texts)), longest=longest).row(
        0, named=True
    )
    assert sum(len(turn["content"]) for turn in row["snippet"]) <= longest
    assert row["evidence_turns"]
    assert set(row["evidence_turns"]) <= {turn["turn"] for turn in row["snippet"]}
    for turn, place in zip(row["snippet"], row["places"], strict=True):
        for piece in turn["content"].split(GAP):
            assert piece in texts[place["turn"]] or GAP in texts[place["turn"]]


def test_a_long_turn_is_cut_around_the_words_that_the_attribute_shares() -> None:
    pasted = "filler text " * 400 + "I keep bees behind the shed. " + "more filler " * 400
    row = snippets(item("a"), attributes(extracted("a", "c", [2])), chats(chat("c", "hi", "yes", pasted)), longest=600)
    shown = row.row(0, named=True)["snippet"][2]["content"]
    assert "I keep bees behind the shed." in shown
    assert shown.startswith("filler text")
    assert len(shown) <= 600


def test_an_opening_is_short_where_it_is_no_evidence() -> None:
    talk = chat("c", "You play a pirate. " * 200, "Arr.", "x", "y", "I love rum", "Arr.")
    row = snippets(item("a"), attributes(extracted("a", "c", [4])), chats(talk)).row(0, named=True)
    assert row["snippet"][0]["content"].startswith("You play a pirate.")
    assert len(row["snippet"][0]["content"]) <= OPENING


@pytest.mark.parametrize("room", [0, 1, 30, 31, 50, 200, 5000])
@given(text=st.text(max_size=400), words=st.sets(st.text(min_size=3, max_size=6), max_size=3))
def test_a_cut_text_fits(room: int, text: str, words: set[str]) -> None:
    assert len(cut(text, room, words)) <= room
