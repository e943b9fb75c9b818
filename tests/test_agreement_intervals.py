"""Intervals of agreement: the vectorised bootstrap is the plain loop over resampled clusters, and it covers."""

from __future__ import annotations

import math
import warnings
from itertools import combinations

import krippendorff
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import aggregate_raters
from statsmodels.stats.inter_rater import fleiss_kappa as statsmodels_fleiss

from recenter_utils.stats import pairs, ranks, resampling
from recenter_utils.stats.agreement import MEASUREMENTS, PAIR_STATISTICS, overall, pairwise
from recenter_utils.stats.resampling import interval, intervals, multinomial_counts, resampled, resampled_totals

pytestmark = pytest.mark.filterwarnings("error")

DRAWS = 30
LABELS = [0, 1, 2, 3]


def panel(seed: int, items: int = 120, raters: int = 4, clusters: int = 9, missing: float = 0.2):
    """Answers on a scale of four that lean on a truth, some missing, in clusters of unequal size."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(4, size=items)
    codes = np.where(rng.random((items, raters)) < 0.5, truth[:, None], rng.integers(4, size=(items, raters)))
    wide = pd.DataFrame(np.where(rng.random(codes.shape) < missing, np.nan, codes), columns=[*"abcdefgh"[:raters]])
    return wide, np.sort(rng.integers(clusters, size=items))


def resamples(clusters: np.ndarray, seed: int):
    """The rows of each resample: every row of a cluster, as often as the cluster is drawn."""
    names = np.unique(clusters)
    for counts in np.concatenate(list(multinomial_counts(len(names), DRAWS, seed))).astype(int):
        yield np.concatenate([np.flatnonzero(clusters == name) for name in np.repeat(names, counts)])


def plain(statistic: str, a: np.ndarray, b: np.ndarray) -> float:
    if statistic in ("spearman", "pearson"):
        return float(getattr(stats, f"{statistic}r")(a, b).statistic)
    if statistic == "agreement":
        return float((a == b).mean())
    if statistic == "ac1":
        share = np.array([((a == label).mean() + (b == label).mean()) / 2 for label in LABELS])
        chance = (share * (1 - share)).sum() / 3
        return float(((a == b).mean() - chance) / (1 - chance))
    weights = {"kappa": None, "linear_kappa": "linear", "quadratic_kappa": "quadratic"}[statistic]
    return float(cohen_kappa_score(a, b, labels=LABELS, weights=weights))


@pytest.mark.parametrize("statistic", PAIR_STATISTICS)
def test_the_interval_of_a_pair_is_that_of_the_plain_loop(statistic):
    wide, clusters = panel(1)
    found = pairwise(wide, LABELS, statistic=statistic, clusters=clusters, draws=DRAWS, seed=7)
    for row in found.itertuples():
        two = wide[[row.rater_a, row.rater_b]].to_numpy()
        draws = [plain(statistic, *two[rows][~np.isnan(two[rows]).any(axis=1)].T) for rows in resamples(clusters, 7)]
        assert (row.low, row.high) == pytest.approx(interval(draws))


@pytest.mark.parametrize("measurement", MEASUREMENTS)
def test_the_interval_of_alpha_is_that_of_the_plain_loop(measurement):
    """The ordinal metric depends on how often each label occurs, and so changes with every resample."""
    wide, clusters = panel(2)
    found = overall(wide, LABELS, measurement=measurement, clusters=clusters, draws=DRAWS, seed=3)
    row = found.set_index("statistic").loc["krippendorff_alpha"]
    data = wide.to_numpy()
    draws = [
        krippendorff.alpha(data[rows].T, level_of_measurement=measurement, value_domain=LABELS)
        for rows in resamples(clusters, 3)
    ]
    assert (row["low"], row["high"]) == pytest.approx(interval(draws))


def test_the_intervals_of_fleiss_and_of_the_mean_kappa_are_those_of_the_plain_loop():
    wide, clusters = panel(3, missing=0)
    found = overall(wide, LABELS, clusters=clusters, draws=DRAWS, seed=4).set_index("statistic")
    codes = wide.to_numpy().astype(int)
    fleiss, kappas = [], []
    for rows in resamples(clusters, 4):
        fleiss.append(statsmodels_fleiss(aggregate_raters(codes[rows], n_cat=4)[0]))
        kappas.append(np.mean([plain("kappa", codes[rows, a], codes[rows, b]) for a, b in combinations(range(4), 2)]))
    assert tuple(found.loc["fleiss_kappa", ["low", "high"]]) == pytest.approx(interval(fleiss))
    assert tuple(found.loc["mean_kappa", ["low", "high"]]) == pytest.approx(interval(kappas))


def test_spearman_of_numbers_ranks_every_resample_anew(monkeypatch):
    rng = np.random.default_rng(5)
    wide = pd.DataFrame(rng.normal(size=(60, 3)).round(2), columns=list("abc"))
    wide["b"] += wide["a"]
    wide["c"] = wide["c"].where(rng.random(60) < 0.8)
    clusters = rng.integers(8, size=60)
    monkeypatch.setattr(ranks, "HELD", 500)
    found = pairwise(wide, None, statistic="spearman", clusters=clusters, draws=DRAWS, seed=6)
    for row in found.itertuples():
        two = wide[[row.rater_a, row.rater_b]].to_numpy()
        draws = [plain("spearman", *two[rows][~np.isnan(two[rows]).any(axis=1)].T) for rows in resamples(clusters, 6)]
        assert (row.low, row.high) == pytest.approx(interval(draws))


def test_few_and_many_labels_have_the_same_ranks(monkeypatch):
    wide, clusters = panel(4)
    few = pairwise(wide, LABELS, statistic="spearman", clusters=clusters, draws=DRAWS)
    monkeypatch.setattr(pairs, "FEW_LABELS", 0)
    pd.testing.assert_frame_equal(pairwise(wide, LABELS, statistic="spearman", clusters=clusters, draws=DRAWS), few)


def test_drawing_in_pieces_changes_nothing(monkeypatch):
    wide, clusters = panel(5)
    whole = pairwise(wide, LABELS, clusters=clusters, draws=DRAWS)
    # Counts are still drawn in one piece; it is their products with the sums that are cut.
    monkeypatch.setattr(resampling, "HELD", 9 * DRAWS)
    pd.testing.assert_frame_equal(pairwise(wide, LABELS, clusters=clusters, draws=DRAWS), whole)


def test_the_order_of_rows_and_the_names_of_raters_do_not_matter():
    wide, clusters = panel(6)
    order = np.random.default_rng(0).permutation(len(wide))
    one = pairwise(wide, LABELS, clusters=clusters, draws=200)
    other = pairwise(wide.iloc[order], LABELS, clusters=clusters[order].astype(str), draws=200)
    pd.testing.assert_frame_equal(one, other)


def test_all_pairs_are_resampled_together():
    """A copy of a rater has the same interval with everybody, draw for draw."""
    wide, clusters = panel(7, missing=0)
    wide["copy"] = wide["a"]
    found = pairwise(wide, LABELS, clusters=clusters, draws=100).set_index(["rater_a", "rater_b"])
    assert tuple(found.loc[("b", "copy"), ["low", "high"]]) == tuple(found.loc[("a", "b"), ["low", "high"]])


def test_copies_of_an_item_within_its_cluster_do_not_narrow_the_interval():
    wide, clusters = panel(8)
    once = pairwise(wide, LABELS, clusters=clusters, draws=200)
    copied = pairwise(pd.concat([wide] * 5), LABELS, clusters=np.tile(clusters, 5), draws=200)
    pd.testing.assert_frame_equal(copied.drop(columns="n"), once.drop(columns="n"))


def test_one_cluster_has_a_value_but_no_interval():
    wide, _ = panel(9)
    found = pairwise(wide, LABELS, clusters=["one"] * len(wide), draws=50)
    assert found["value"].notna().all()
    assert found[["low", "high"]].isna().all(axis=None)
    assert found["reason"].str.contains("one cluster has no spread").all()
    alpha = overall(wide, LABELS, clusters=["one"] * len(wide), draws=50).set_index("statistic").loc["gwet_ac1"]
    assert math.isnan(alpha["low"])
    assert "one cluster" in alpha["reason"]


def test_a_pair_that_meets_in_one_cluster_has_no_interval():
    wide, clusters = panel(10, missing=0)
    wide["guest"] = wide["a"].where(clusters == clusters[0])
    found = pairwise(wide, LABELS, clusters=clusters, draws=50).set_index(["rater_a", "rater_b"])
    assert math.isnan(found.loc[("b", "guest"), "low"])
    assert "one cluster" in found.loc[("b", "guest"), "reason"]
    assert found.loc[("a", "b"), "reason"] is None


def test_pairs_that_share_few_items_do_not_count_in_a_mean():
    wide, clusters = panel(12, missing=0)
    without = overall(wide, LABELS, clusters=clusters, draws=DRAWS).set_index("statistic").loc["mean_kappa"]
    guest = wide.assign(guest=np.where(np.arange(len(wide)) < 5, 3 - wide["a"], np.nan))
    found = overall(guest, LABELS, clusters=clusters, draws=DRAWS).set_index("statistic").loc["mean_kappa"]
    assert tuple(found[["value", "low", "high"]]) == pytest.approx(tuple(without[["value", "low", "high"]]))
    assert found["reason"] == "4 of 10 pairs share fewer than 20 items and are left out"
    every = overall(guest, LABELS, clusters=clusters, draws=DRAWS, least_shared=1).set_index("statistic")
    assert every["value"]["mean_kappa"] < without["value"]


def test_where_no_pair_shares_enough_all_count_and_that_is_said():
    wide, clusters = panel(13, items=15, missing=0)
    found = overall(wide, LABELS, clusters=clusters, draws=0).set_index("statistic").loc["mean_kappa"]
    assert found["value"] == pytest.approx(pairwise(wide, LABELS, draws=0)["value"].mean())
    assert found["reason"] == "no pair shares 20 items, so all count"


def crowd(seed: int, users: int = 77, each: int = 8, raters: int = 12):
    """Three of twelve raters a user, whose attributes are misread more often for some users; and the kappa of this."""
    rng = np.random.default_rng(seed)
    flips = np.array([0.1, 0.3])
    truth = rng.random((users, each, 1)) < 0.3
    answers = truth ^ (rng.random((users, each, raters)) < rng.choice(flips, size=(users, 1, 1)))
    asked = rng.random((users, 1, raters)).argsort(axis=2).argsort(axis=2) < 3
    codes = np.where(np.broadcast_to(asked, answers.shape), answers, np.nan).reshape(users * each, raters)
    yes = (0.3 * (1 - flips) + 0.7 * flips).mean()
    chance = yes**2 + (1 - yes) ** 2
    kappa = (((1 - flips) ** 2 + flips**2).mean() - chance) / (1 - chance)
    return pd.DataFrame(codes, columns=[f"r{n}" for n in range(raters)]), np.repeat(np.arange(users), each), kappa


def test_a_crowd_of_whom_three_judge_a_user_has_an_interval_that_covers_the_truth():
    covered = []
    for seed in range(60):
        wide, users, kappa = crowd(seed)
        row = overall(wide, [0, 1], clusters=users, draws=300, seed=seed).set_index("statistic").loc["mean_kappa"]
        assert row["low"] < row["value"] < row["high"]
        covered.append(row["low"] <= kappa <= row["high"])
    assert "share fewer than 20 items" in row["reason"]
    assert "resamples lack some of the pairs" in row["reason"]
    assert np.mean(covered) >= 0.85


def test_resamples_without_a_value_are_left_out_and_counted():
    wide = pd.DataFrame({"a": ["x", "y", "x"], "b": ["x", "y", "y"]})
    row = pairwise(wide, ["x", "y"], clusters=["p", "q", "q"], draws=800).iloc[0]
    left_out = int(row["reason"].split()[0])
    # Kappa is undefined where only p is drawn: one resample in four.
    assert left_out == pytest.approx(200, abs=50)
    assert "of 800 resamples leave it undefined and are left out" in row["reason"]


@pytest.mark.parametrize("statistic", ["spearman", "pearson"])
def test_a_resample_in_which_a_rater_is_constant_has_no_correlation_whatever_rounding_leaves(statistic):
    wide = pd.DataFrame({"a": [0.1, 0.1, 0.1, 0.7, 0.3], "b": [1.3, 0.2, 0.7, 0.4, 0.9]})
    row = pairwise(wide, None, statistic=statistic, clusters=list("pppqq"), draws=800).iloc[0]
    only_p = sum(int((counts[:, 1] == 0).sum()) for counts in multinomial_counts(2, 800, seed=0))
    assert row["reason"] == f"{only_p} of 800 resamples leave it undefined and are left out"


def test_intervals_of_columns_are_those_of_each():
    draws = np.random.default_rng(0).normal(size=(200, 4))
    draws[::3, 1] = np.nan
    draws[1:, 2] = np.nan
    low, high = intervals(draws, 0.8)
    for column in range(4):
        assert (low[column], high[column]) == pytest.approx(interval(draws[:, column], 0.8), nan_ok=True)


def test_a_statistic_of_sums_uses_the_draws_of_the_totals():
    table = np.random.default_rng(0).normal(size=(7, 2, 3))
    found = resampled(table, lambda sums: sums[..., 0], 50, seed=3)
    np.testing.assert_allclose(found, resampled_totals(table[..., 0], 50, seed=3))


def simulated(seed: int, people: int = 40, each: int = 12):
    """Two raters who flip the truth more often for some people than for others; with the kappa this makes."""
    rng = np.random.default_rng(seed)
    flips = np.array([0.05, 0.4])
    truth = rng.random((people, each)) < 0.3
    flip = rng.choice(flips, size=(people, 1))
    wide = pd.DataFrame({name: (truth ^ (rng.random(truth.shape) < flip)).ravel().astype(int) for name in "ab"})
    agreed = ((1 - flips) ** 2 + flips**2).mean()
    yes = (0.3 * (1 - flips) + 0.7 * flips).mean()
    chance = yes**2 + (1 - yes) ** 2
    return wide, np.repeat(np.arange(people), each), (agreed - chance) / (1 - chance)


def test_about_95_of_100_intervals_over_people_cover_the_truth_and_fewer_over_items():
    over_people = over_items = of_alpha = 0
    for seed in range(300):
        wide, clusters, kappa = simulated(seed)
        one = pairwise(wide, [0, 1], clusters=clusters, draws=400, seed=seed).iloc[0]
        over_people += one["low"] <= kappa <= one["high"]
        two = pairwise(wide, [0, 1], draws=400, seed=seed).iloc[0]
        over_items += two["low"] <= kappa <= two["high"]
        if seed % 2:
            table = overall(wide, [0, 1], clusters=clusters, draws=400, seed=seed).set_index("statistic")
            row = table.loc["krippendorff_alpha"]
            of_alpha += row["low"] <= kappa <= row["high"]
    # 95% of 300 is 285 with a standard deviation of 3.8; percentile intervals fall somewhat short with 40 clusters.
    assert 268 <= over_people <= 297
    assert 132 <= of_alpha <= 149
    assert over_items < over_people - 10


def test_no_resamples_means_no_interval_and_no_warning():
    wide, clusters = panel(11)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = pairwise(wide, LABELS, clusters=clusters, draws=0)
    assert found["value"].notna().all()
    assert found["low"].isna().all()
    assert found["reason"].isna().all()
