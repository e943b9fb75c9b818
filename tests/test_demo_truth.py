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


def test_there_is_something_to_find_of_every_kind_in_both_kinds_of_source(read: list[dict]) -> None:
    for real in (True, False):
        own = [row for row in read if row["user_id"].startswith("chat/") is real]
        assert {row["label"] for row in own} == {"accepted", "uncertain", "rejected"}
        assert {row["failure_mode"] for row in own} == {None, *FAILURE_MODES}
