"""Pages of attribute quality: who is judged, what an annotator sees, and check items that only a careless one fails."""

from __future__ import annotations

import random

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recenter_utils.annotation import pages
from recenter_utils.annotation.quality_pages import CHECK_LABELS, quality_pages, sample_users
from recenter_utils.settings import Annotation

CHATS = {
    "ann": ["I train for a marathon in Leeds.", "My sourdough never rises."],
    "bob": ["Fix this Rust borrow checker error."],
    "cy": ["Translate my letter to the landlord.", "Which orchid likes shade?"],
}
SAID = {
    "ann": ["Runs marathons.", "Bakes sourdough bread.", "Lives in Leeds."],
    "bob": ["Programs in Rust daily.", "Debugs borrow checker errors."],
    "cy": ["Grows orchids indoors.", "Rents from a landlord."],
}


def tables(chats: dict[str, list[str]] = CHATS) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Conversations of two turns each, and attributes that rest on the first turn of each conversation in turn."""
    conversations, attributes, merged = [], [], []
    for user, texts in chats.items():
        for number, text in enumerate(texts):
            turns = [{"role": "user", "content": text}, {"role": "assistant", "content": "Certainly."}]
            conversations.append({"conversation_id": f"{user}-c{number}", "user_id": user, "turns": turns})
        for number, attribute in enumerate(SAID[user]):
            names = [f"{user}-c{place}#{number}" for place in range(len(texts))]
            for place, name in enumerate(names):
                attributes.append(
                    {
                        "attribute_id": name,
                        "user_id": user,
                        "conversation_id": f"{user}-c{place}",
                        "reason": f"because of {name}",
                        "evidence_turns": [0],
                    }
                )
            merged.append({"attribute_id": names[-1], "user_id": user, "attribute": attribute, "members": names})
    return pl.DataFrame(conversations), pl.DataFrame(attributes), pl.DataFrame(merged)


def users(real: int, synthetic: int, kept: bool = True) -> pl.DataFrame:
    rows = [(f"r{n:02}", "chat", "real", kept) for n in range(real)]
    rows += [
        (f"{source}{n:02}", source, "synthetic", kept) for source in ("cupid", "prefeval") for n in range(synthetic)
    ]
    return pl.DataFrame(rows, schema=["user_id", "source", "kind", "kept"], orient="row")


def test_so_many_users_of_each_source_are_judged_as_the_rules_say_for_its_kind() -> None:
    rules = Annotation(real_users=7, synthetic_users=3)
    chosen = users(20, 9).filter(pl.col("user_id").is_in(sample_users(users(20, 9), rules, 1)))
    assert dict(chosen.group_by("source").len().iter_rows()) == {"chat": 7, "cupid": 3, "prefeval": 3}
    assert sample_users(users(20, 9), Annotation(real_users=0, synthetic_users=0), 1) == []
    assert sample_users(users(20, 9, kept=False), rules, 1) == []


@given(st.integers(0, 1000), st.randoms())
def test_who_is_judged_and_when_does_not_depend_on_the_order_of_users_or_on_other_sources(
    seed: int, shuffled: random.Random
) -> None:
    rules = Annotation(real_users=5, synthetic_users=4)
    table = users(12, 6)
    chosen = sample_users(table, rules, seed)
    order = list(range(len(table)))
    shuffled.shuffle(order)
    assert sample_users(table[order], rules, seed) == chosen
    alone = sample_users(table.filter(source="chat"), rules, seed)
    assert alone == [user for user in chosen if user in alone]


def test_a_pilot_on_the_first_pages_sees_real_and_synthetic_users() -> None:
    mixed = 0
    for seed in range(20):
        first = sample_users(users(27, 7), Annotation(), seed)[:10]
        mixed += any(user.startswith("r") for user in first) and not all(user.startswith("r") for user in first)
    assert mixed >= 19


def test_a_page_shows_all_of_a_users_chats_and_the_evidence_of_all_members() -> None:
    conversations, attributes, merged = tables()
    ann, bob = quality_pages(conversations, attributes, merged, ["ann", "bob"], seed=1)
    assert [page.page_id for page in (ann, bob)] == ["ann", "bob"]
    assert [chat.conversation_id for chat in ann.conversations] == ["ann-c0", "ann-c1"]
    assert [chat.turns[0].content for chat in ann.conversations] == CHATS["ann"]
    marathon = next(item for item in ann.items if item.attribute == "Runs marathons.")
    assert marathon.item_id == "ann-c1#0"
    assert marathon.reason == "because of ann-c1#0"
    assert [(spot.conversation, spot.turn) for spot in marathon.evidence] == [(0, 0), (1, 0)]


def test_pages_do_not_depend_on_the_order_of_attributes_and_others_stay_when_users_are_added() -> None:
    conversations, attributes, merged = tables()
    known = quality_pages(conversations, attributes, merged, ["ann", "bob", "cy"], seed=3, checks=3)
    again = quality_pages(conversations, attributes.reverse(), merged.reverse(), ["ann", "bob", "cy"], seed=3, checks=3)
    assert known == again
    assert quality_pages(conversations, attributes, merged, ["bob"], seed=3)[0].items == tuple(
        item for item in known[1].items if item.expected is None
    )


def test_items_stand_in_another_order_with_another_seed() -> None:
    orders = {
        tuple(item.item_id for item in quality_pages(*tables(), ["ann"], seed=seed)[0].items) for seed in range(20)
    }
    assert len(orders) > 3
    assert len({frozenset(order) for order in orders}) == 1


@given(st.lists(st.integers(0, 9), max_size=4))
def test_no_page_cites_a_turn_that_is_not_there(turns: list[int]) -> None:
    conversations, attributes, merged = tables()
    cited = pl.lit(turns, dtype=pl.List(pl.Int64))
    made = quality_pages(conversations, attributes.with_columns(evidence_turns=cited), merged, list(CHATS), seed=1)
    pages.check(made, "attribute_quality", "here")
    for item in made[1].items:
        assert [spot.turn for spot in item.evidence] == sorted({turn for turn in turns if turn < 2})


def test_users_without_attributes_or_chats_have_no_page() -> None:
    conversations, attributes, merged = tables()
    made = quality_pages(conversations.filter(user_id="ann"), attributes, merged, ["ann", "bob", "nobody"], seed=1)
    assert [page.page_id for page in made] == ["ann"]


def test_check_items_are_others_attributes_of_which_the_users_chats_have_no_word() -> None:
    made = quality_pages(*tables(), list(CHATS), seed=5, checks=3)
    checks = [(page.page_id, item) for page in made for item in page.items if item.expected is not None]
    assert {user for user, _ in checks} == set(CHATS)  # one a page before any has two
    for user, item in checks:
        assert item.expected == CHECK_LABELS
        assert item.attribute not in SAID[user]
        words = {word.lower()[:6] for word in item.attribute.rstrip(".").split() if len(word) > 3}
        assert not words & {word.lower()[:6] for text in CHATS[user] for word in text.split()}
    pages.check(made, "attribute_quality", "here")


def test_a_check_item_looks_like_any_other() -> None:
    made = quality_pages(*tables(), list(CHATS), seed=5, checks=3)
    places = set()
    for page in made:
        for place, item in enumerate(page.items):
            assert item.reason
            assert item.evidence
            if item.expected is not None:
                places.add(place)
                turn = page.conversations[item.evidence[0].conversation].turns[item.evidence[0].turn]
                assert turn.role == "user"
    assert len(places) > 1
    plain = quality_pages(*tables(), list(CHATS), seed=5)
    versions = {item.item_id: page.item_version(item) for page in made for item in page.items}
    assert all(versions[item.item_id] == page.item_version(item) for page in plain for item in page.items)


@pytest.mark.parametrize("wanted", [0, 1, 100])
def test_there_are_never_more_checks_than_wanted_and_fewer_where_no_more_fit(wanted: int) -> None:
    made = quality_pages(*tables(), list(CHATS), seed=5, checks=wanted)
    checks = [item.item_id for page in made for item in page.items if item.expected is not None]
    assert len(checks) == min(wanted, len(checks))
    assert len(set(checks)) == len(checks)
    assert (len(checks) == wanted) == (wanted < 100)


def test_users_who_talk_of_the_same_things_are_no_source_of_checks() -> None:
    same = {user: [" ".join([*SAID["ann"], *SAID["bob"], *SAID["cy"]])] for user in CHATS}
    made = quality_pages(*tables(same), list(CHATS), seed=5, checks=5)
    assert not [item for page in made for item in page.items if item.expected is not None]
