"""Blocks of a matrix of raters: the published means, the plain loop's intervals, and what is left out said."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from recenter_utils import published
from recenter_utils.relevance.agreement import DIFFERENCES, GROUPS, groups, published_blocks
from recenter_utils.stats.agreement import overall, pairwise
from recenter_utils.stats.blocks import block_means, block_means_of
from recenter_utils.stats.resampling import interval, multinomial_counts

pytestmark = pytest.mark.filterwarnings("error")

DRAWS = 40
LABELS = ["no", "yes"]
SIDES = {"a": "people", "b": "people", "c": "people", "x": "models", "y": "models"}


def answers(seed: int, items: int = 200, clusters: int = 9, missing: float = 0.15):
    """Five raters who lean on a truth, some answers missing, in clusters of unequal size."""
    rng = np.random.default_rng(seed)
    truth = rng.random(items) < 0.4
    said = truth[:, None] ^ (rng.random((items, 5)) < [0.1, 0.2, 0.2, 0.3, 0.4])
    labels = np.where(said, "yes", "no").astype(object)
    labels[rng.random(labels.shape) < missing] = None
    return pd.DataFrame(labels, columns=list(SIDES)), np.sort(rng.integers(clusters, size=items))


def kappa(wide: pd.DataFrame, a: str, b: str) -> float:
    both = wide[[a, b]].dropna()
    return float(cohen_kappa_score(both[a], both[b], labels=LABELS))


def plain(wide: pd.DataFrame) -> dict[str, float]:
    """Every block and difference by a loop over scikit-learn's kappa."""
    pairs = {
        "people with people": [("a", "b"), ("a", "c"), ("b", "c")],
        "models with models": [("x", "y")],
        "people with models": [(one, other) for one in "abc" for other in "xy"],
    }
    means = {block: float(np.mean([kappa(wide, *pair) for pair in of])) for block, of in pairs.items()}
    for first, second in DIFFERENCES:
        one, other = " with ".join(first), " with ".join(second)
        means[f"{one} - {other}"] = means[one] - means[other]
    return means


def test_blocks_and_their_differences_are_those_of_the_plain_loop_over_the_same_resamples():
    wide, clusters = answers(1)
    found = block_means(wide, LABELS, SIDES, differences=DIFFERENCES, clusters=clusters, draws=DRAWS, seed=5)
    draws = [
        plain(wide.iloc[np.concatenate([np.flatnonzero(clusters == name) for name in np.repeat(np.arange(9), counts)])])
        for counts in np.concatenate(list(multinomial_counts(9, DRAWS, 5))).astype(int)
    ]
    assert list(found["block"]) == list(plain(wide))
    for row in found.itertuples():
        assert row.value == pytest.approx(plain(wide)[row.block])
        assert (row.low, row.high) == pytest.approx(interval([draw[row.block] for draw in draws]))
    assert list(found["n_pairs"]) == [3, 1, 6, 9, 4]
    assert found["reason"].isna().all()


def test_the_published_cells_give_the_published_means():
    """The text has .426, .597 and .300; the printed cells are rounded, and give these."""
    found = published_blocks(published.read("figure-3"))
    assert [round(value, 3) for value in found["value"]] == [0.427, 0.598, 0.299, 0.127, 0.171]
    assert found["n_pairs"].to_list()[:3] == [3, 10, 15]
    assert found["in_the_text"].to_list() == [0.426, 0.597, 0.300, None, None]
    assert set(found["tag"]) == {"derived from printed cells"}


def test_answers_and_a_table_of_their_pairs_go_through_the_same_code():
    wide, clusters = answers(2)
    table = pairwise(wide, LABELS, clusters=clusters, draws=0)
    one = block_means(wide, LABELS, SIDES, differences=DIFFERENCES, clusters=clusters, draws=0)
    pd.testing.assert_frame_equal(one, block_means_of(table, SIDES, differences=DIFFERENCES))


def test_a_block_of_everybody_is_the_mean_kappa_of_the_panel():
    wide, clusters = answers(3)
    block = block_means(wide, LABELS, dict.fromkeys(wide, "all"), clusters=clusters, draws=DRAWS, seed=1).iloc[0]
    mean = overall(wide, LABELS, clusters=clusters, draws=DRAWS, seed=1).set_index("statistic").loc["mean_kappa"]
    assert tuple(block[["value", "low", "high"]]) == pytest.approx(tuple(mean[["value", "low", "high"]]))


def test_a_difference_is_narrower_than_its_blocks_where_requests_are_hard_for_everybody():
    rng = np.random.default_rng(0)
    truth, hard = rng.random((30, 20)) < 0.4, rng.random((30, 1)) < 0.5
    said = truth[..., None] ^ (rng.random((30, 20, 5)) < np.where(hard, 0.35, 0.03)[..., None])
    wide = pd.DataFrame(np.where(said, "yes", "no").reshape(600, 5), columns=list(SIDES))
    clusters = np.repeat(np.arange(30), 20)
    found = block_means(wide, LABELS, SIDES, differences=DIFFERENCES, clusters=clusters, draws=500).set_index("block")
    width = found["high"] - found["low"]
    assert width["people with people - people with models"] < 0.6 * width["people with people"]


def test_pairs_that_share_few_items_or_are_undefined_are_left_out_and_said():
    wide, clusters = answers(4)
    wide["c"] = wide["c"].where(np.arange(200) < 12)
    row = block_means(wide, LABELS, SIDES, clusters=clusters, draws=DRAWS).set_index("block").loc["people with people"]
    assert row["value"] == pytest.approx(kappa(wide, "a", "b"))
    assert row["n_pairs"] == 1
    assert row["reason"] == "2 of 3 pairs share fewer than 20 items and are left out"
    table = pairwise(answers(4)[0], LABELS, draws=0)
    table.loc[0, "value"] = np.nan
    left = block_means_of(table, SIDES).set_index("block").loc["people with people"]
    assert left["reason"] == "1 of 3 pairs are undefined and left out"
    assert left["n_pairs"] == 2


def test_a_kappa_that_is_0_by_construction_is_counted_beside_the_mean_that_it_lowers():
    wide, clusters = answers(4, missing=0)
    wide["y"] = "yes"
    found = block_means(wide, LABELS, SIDES, clusters=clusters, draws=DRAWS).set_index("block")
    between = found.loc["people with models"]
    assert between["value"] == pytest.approx(sum(kappa(wide, one, "x") for one in "abc") / 6)
    assert between["reason"] == "3 of 6 pairs have a rater who gave one answer only: 0 by construction"
    assert found.loc["models with models", "reason"].startswith("1 of 1 pairs have a rater")
    assert found.loc["people with people", "reason"] is None
    gap = block_means(wide, LABELS, SIDES, differences=DIFFERENCES, clusters=clusters, draws=DRAWS).iloc[3]
    assert gap["reason"] == between["reason"]
    known = block_means_of(pairwise(wide, LABELS, draws=0), SIDES).set_index("block")
    assert known.loc["people with models", "reason"] == between["reason"]


@pytest.mark.parametrize(
    ("raters", "reasons"),
    [
        ("ax", ["there are no two people", "there are no two models", None]),
        ("abc", [None, "there are no two models", "there is no pair of people with models"]),
        ("xy", ["there are no two people", None, "there is no pair of people with models"]),
        ("", ["there are no two people", "there are no two models", "there is no pair of people with models"]),
    ],
)
def test_a_group_without_a_pair_has_a_block_that_says_so(raters, reasons):
    wide, clusters = answers(5)
    found = block_means(
        wide[list(raters)], LABELS, SIDES, order=GROUPS, differences=DIFFERENCES, clusters=clusters, draws=DRAWS
    )
    assert list(found["reason"][:3]) == reasons
    assert list(found["value"].isna()) == [*[reason is not None for reason in reasons], True, True]
    assert found["low"].isna().equals(found["value"].isna())
    assert found["reason"][3:].notna().all()


def test_raters_who_share_no_item_or_always_say_the_same_are_undefined_with_a_reason():
    wide, clusters = answers(6)
    apart = pd.DataFrame({"a": wide["a"].where(clusters < 4), "b": wide["b"].where(clusters >= 4)})
    row = block_means(apart, LABELS, SIDES, clusters=clusters, draws=DRAWS).iloc[0]
    assert math.isnan(row["value"])
    assert "answer from both" in row["reason"]
    same = pd.DataFrame({"a": ["yes"] * 50, "b": ["yes"] * 50})
    assert "chance agreement is complete" in block_means(same, LABELS, SIDES, draws=DRAWS).iloc[0]["reason"]


def test_one_request_gives_blocks_without_an_interval():
    wide, _ = answers(7)
    found = block_means(wide, LABELS, SIDES, differences=DIFFERENCES, clusters=["q"] * len(wide), draws=DRAWS)
    assert found["value"].notna().all()
    assert found["low"].isna().all()
    assert found["reason"].str.contains("one cluster").all()


def test_a_block_that_nobody_is_in_is_refused():
    wide, _ = answers(8)
    with pytest.raises(ValueError, match="no block 'people with dogs'"):
        block_means(wide, LABELS, SIDES, differences=[(("people", "dogs"), ("people", "people"))], draws=0)


def test_everybody_who_is_no_person_stands_with_the_models():
    kinds = {"a": "human", "b": "simulated", "x": "llm", "y": "trained"}
    assert groups(kinds) == {"a": "people", "b": "people", "x": "models", "y": "models"}
