"""What a careful reader says of the demo's attributes: a line for each, in accord with what was planted."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from recenter_utils.inference.embeddings import embed
from tests.workspaces import ROOT

TRUTH = ROOT / "data" / "demo" / "truth"
FAILURE_MODES = {"overgeneralization", "missing_evidence", "task_context_confusion", "not_standalone"}

#: Planted and extracted attributes that read alike but deserve different labels: (user, planted, extracted).
DIFFERENT: set[tuple[str, str, str]] = set()


def lines(name: str) -> list[dict]:
    return [json.loads(line) for line in (TRUTH / name).read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def read() -> list[dict]:
    """The careful reader's lines."""
    return lines("attributes.jsonl")


def test_every_merged_attribute_has_one_line_in_the_order_of_the_table(finished_demo: Path, read: list[dict]) -> None:
    merged = pl.read_parquet(finished_demo / "data" / "demo" / "tables" / "merged_attributes.parquet")
    found = merged.select("user_id", "attribute").sort("user_id", maintain_order=True).rows()
    written = [(row["user_id"], row["attribute"]) for row in read]
    assert not set(found) - set(written), "attributes without a line in truth/attributes.jsonl"
    assert not set(written) - set(found), "lines in truth/attributes.jsonl about attributes that nothing extracts"
    assert written == found


def test_a_failure_mode_is_given_exactly_where_the_label_is_not_accepted(read: list[dict]) -> None:
    for row in read:
        assert list(row) == ["user_id", "attribute", "label", "failure_mode", "why"]
        assert row["label"] in {"accepted", "uncertain", "rejected"}, row
        if row["label"] == "accepted":
            assert row["failure_mode"] is None, row
        else:
            assert row["failure_mode"] in FAILURE_MODES, row


def test_every_line_has_a_ground_in_one_short_sentence(read: list[dict]) -> None:
    for row in read:
        assert row["why"].endswith("."), row
        assert 2 < len(row["why"]) <= 120, row


def test_what_was_planted_and_found_nearly_verbatim_has_the_planted_label(read: list[dict]) -> None:
    planted = lines("planted.jsonl")
    wanted = embed([row["attribute"] for row in planted])
    written = embed([row["attribute"] for row in read])
    alike = [
        (plant, row)
        for plant, vector in zip(planted, wanted, strict=True)
        for row, own in zip(read, written, strict=True)
        if row["user_id"] == plant["user_id"] and own @ vector >= 0.9
    ]
    accepted = [plant for plant, _ in alike if plant["label"] == "accepted"]
    assert len(accepted) >= 20
    assert len(alike) > len(accepted)
    for plant, row in alike:
        if (row["user_id"], plant["attribute"], row["attribute"]) not in DIFFERENT:
            assert (row["label"], row["failure_mode"]) == (plant["label"], plant["failure_mode"]), (plant, row)


@pytest.fixture(scope="module")
def relevance() -> list[dict]:
    """The careful reader's lines about relevance."""
    return lines("relevance.jsonl")


def test_every_attribute_of_a_chat_user_was_read_against_the_requests(read: list[dict], relevance: list[dict]) -> None:
    chat = list(dict.fromkeys(row["attribute"] for row in read if row["user_id"].startswith("chat/")))
    known = list(dict.fromkeys(row["attribute"] for row in relevance))
    assert not set(chat) - set(known), "attributes without a line in truth/relevance.jsonl"
    assert not set(known) - set(chat), "lines in truth/relevance.jsonl about attributes that no chat user has"
    assert known == chat


def test_every_request_of_the_demo_was_read(relevance: list[dict]) -> None:
    prompts = (TRUTH.parent / "prompts.jsonl").read_text(encoding="utf-8").splitlines()
    asked = {json.loads(line)["prompt_id"] for line in prompts}
    assert {row["prompt_id"] for row in relevance} - {None} == asked


def test_a_line_of_relevance_is_a_strength_or_says_that_nothing_is_affected(relevance: list[dict]) -> None:
    seen = [(row["prompt_id"], row["attribute"]) for row in relevance]
    assert len(set(seen)) == len(seen)
    touched = {row["attribute"] for row in relevance if row["prompt_id"]}
    for row in relevance:
        assert list(row) == ["prompt_id", "attribute", "strength"]
        if row["prompt_id"] is None:
            assert row["strength"] == 0, row
            assert row["attribute"] not in touched, row
        else:
            assert row["strength"] in {1, 2, 3}, row


def test_about_a_sixth_of_what_can_meet_matters_clearly_and_advice_more_than_facts(
    read: list[dict], relevance: list[dict]
) -> None:
    """People say yes to about a fifth (§5.2), slight effects and noise included."""
    chat = [row["attribute"] for row in read if row["user_id"].startswith("chat/")]
    clear = {(row["prompt_id"], row["attribute"]) for row in relevance if row["strength"] >= 2}
    prompts = sorted({row["prompt_id"] for row in relevance} - {None})
    share = {prompt: sum((prompt, words) in clear for words in chat) / len(chat) for prompt in prompts}
    assert 0.13 < sum(share.values()) / len(share) < 0.25
    assert max(share[fact] for fact in ("q02", "q06", "q08", "q12", "q20", "q24")) < min(
        share[advice] for advice in ("q01", "q03", "q05", "q11", "q17", "q19", "q21", "q23")
    )


def test_there_is_something_to_find_of_every_kind_in_both_kinds_of_source(read: list[dict]) -> None:
    for real in (True, False):
        own = [row for row in read if row["user_id"].startswith("chat/") is real]
        assert {row["label"] for row in own} == {"accepted", "uncertain", "rejected"}
        assert {row["failure_mode"] for row in own} == {None, *FAILURE_MODES}
