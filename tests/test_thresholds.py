"""Thresholds apart from ranking: closed forms equal brute force, intervals equal a plain loop, undefined says why."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from recenter_utils.stats.agreement import pairwise
from recenter_utils.stats.cuts import highest_kappa, kappa_of
from recenter_utils.stats.resampling import interval, multinomial_counts
from recenter_utils.stats.thresholds import ALL_PEOPLE, STATISTICS, thresholds

pytestmark = pytest.mark.filterwarnings("error")

DRAWS = 40
ITEMS = st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=2, max_size=9)


def study(
    seed: int, items: int = 150, clusters: int = 8, missing: float = 0.15, steps: int = 12, lenient: float = -0.2
):
    """Three people, their majority and two graded judges with ties, in clusters of unequal size."""
    rng = np.random.default_rng(seed)
    latent = rng.standard_normal(items)
    frame = pd.DataFrame({name: latent + 0.5 * rng.standard_normal(items) > 0.6 for name in "abc"})
    frame["majority"] = frame[["a", "b", "c"]].sum(axis=1) > 1
    scores = pd.DataFrame(index=frame.index)
    for name, noise in (("keen", 0.3), ("vague", 1.5)):
        graded = latent + noise * rng.standard_normal(items)
        scores[name] = (graded * 2).round() / 12
        frame[name] = graded > lenient
    words = frame.replace({True: "yes", False: "no"}).astype(object)
    words[rng.random(words.shape) < missing] = None
    return words, scores, np.sort(rng.integers(clusters, size=items))


def expected_kappa(truth: np.ndarray, scores: np.ndarray) -> float:
    """Kappa at the reference's yes-rate, item by item: the surest are yes, and of those that tie, some in turn."""
    wanted = int(truth.sum())
    order = np.argsort(-scores, kind="stable")
    cut = scores[order][wanted - 1] if wanted else np.inf
    sure, tied = scores > cut, scores == cut
    left = wanted - int(sure.sum())
    hits = truth[sure].sum() + left * truth[tied].mean() if left else truth[sure].sum()
    n, same = len(truth), 2 * hits + len(truth) - 2 * wanted
    chance = (wanted / n) ** 2 + (1 - wanted / n) ** 2
    return float((same / n - chance) / (1 - chance)) if chance < 1 else float("nan")


def plain(truth: np.ndarray, said: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    one_class = truth.min() == truth.max()
    most = min(truth.sum(), said.sum())
    return {
        "yes_rate": said.mean(),
        "reference_rate": truth.mean(),
        "kappa": cohen_kappa_score(truth, said, labels=[0, 1]),
        "kappa_max": float(kappa_of(len(truth), truth.sum(), said.sum(), most)),
        "kappa_matched": float("nan") if one_class else expected_kappa(truth, scores),
        "auc": float("nan") if one_class else roc_auc_score(truth, scores),
    }


def columns(words: pd.DataFrame, scores: pd.DataFrame, judge: str, reference: str, rows: np.ndarray):
    both = words[[reference, judge]].iloc[rows]
    there = both.notna().all(axis=1).to_numpy()
    truth, said = (both[name][there].eq("yes").to_numpy().astype(int) for name in (reference, judge))
    return truth, said, scores[judge].to_numpy()[rows][there]


def resamples(clusters: np.ndarray, seed: int):
    names = np.unique(clusters)
    for counts in np.concatenate(list(multinomial_counts(len(names), DRAWS, seed))).astype(int):
        yield np.concatenate([np.flatnonzero(clusters == name) for name in np.repeat(names, counts)])


def picked(table: pd.DataFrame, judge: str, reference: str) -> pd.DataFrame:
    own = table[(table["judge"] == judge) & (table["reference"] == reference)]
    return own.set_index("statistic")


def test_every_number_and_interval_is_that_of_the_plain_loop():
    words, scores, clusters = study(1)
    found = thresholds(words, scores, ["a", "b", "c"], clusters=clusters, draws=DRAWS, seed=3)
    every = np.arange(len(words))
    drawn = list(resamples(clusters, 3))
    for judge in scores:
        for reference in ("a", "b", "c", "majority"):
            own = picked(found, judge, reference)
            value = plain(*columns(words, scores, judge, reference, every))
            draws = pd.DataFrame([plain(*columns(words, scores, judge, reference, rows)) for rows in drawn])
            for name, expected in value.items():
                assert own["value"][name] == pytest.approx(expected), (judge, reference, name)
                assert (own["low"][name], own["high"][name]) == pytest.approx(interval(draws[name])), name
            assert set(own["n"][:6]) == {len(columns(words, scores, judge, reference, every)[0])}


def test_the_mean_over_people_and_the_share_are_those_of_the_plain_loop():
    words, scores, clusters = study(2, missing=0, lenient=-0.7)
    every = thresholds(words, scores, ["a", "b", "c"], clusters=clusters, draws=DRAWS, seed=4)
    found = picked(every, "keen", ALL_PEOPLE)

    def numbers(rows: np.ndarray) -> dict[str, float]:
        parts = pd.DataFrame([plain(*columns(words, scores, "keen", name, rows)) for name in "abc"]).mean()
        said = words.iloc[rows]
        people = np.mean([cohen_kappa_score(said[one], said[other]) for one, other in combinations("abc", 2)])
        gap = people - parts["kappa"]
        share = (parts["kappa_matched"] - parts["kappa"]) / gap if gap > 0 else np.nan
        return {**parts, "kappa_people": people, "threshold_share": share}

    value = numbers(np.arange(len(words)))
    draws = pd.DataFrame([numbers(rows) for rows in resamples(clusters, 4)])
    assert list(found.index) == list(STATISTICS) == list(value)
    for name, expected in value.items():
        assert found["value"][name] == pytest.approx(expected), name
        assert (found["low"][name], found["high"][name]) == pytest.approx(interval(draws[name])), name


def test_kappa_is_the_matrix_s_kappa_with_the_same_resamples():
    words, scores, clusters = study(3)
    found = thresholds(words, scores, ["a", "b", "c"], clusters=clusters, draws=DRAWS, seed=9)
    cells = pairwise(words, ["no", "yes"], clusters=clusters, draws=DRAWS, seed=9).set_index(["rater_a", "rater_b"])
    own = picked(found, "vague", "b").loc["kappa"]
    assert tuple(own[["value", "low", "high"]]) == pytest.approx(
        tuple(cells.loc[("b", "vague"), ["value", "low", "high"]])
    )


@settings(max_examples=300, deadline=None)
@given(ITEMS)
def test_a_matched_kappa_is_the_mean_over_all_choices_among_ties(items):
    truth = np.array([yes for yes, _ in items])
    scores = np.array([grade + 0.5 for _, grade in items])
    wanted = int(truth.sum())
    ranked = np.sort(scores)[::-1]
    cut = ranked[wanted - 1] if wanted else np.inf
    tied, left = np.flatnonzero(scores == cut), wanted - int((scores > cut).sum())
    kappas = []
    for chosen in combinations(tied, left):
        said = scores > cut
        said[list(chosen)] = True
        kappas.append(float(kappa_of(len(truth), wanted, said.sum(), (said & truth).sum())))
    frame = pd.DataFrame({"r": np.where(truth, "yes", "no"), "j": "yes"}, dtype=object)
    found = picked(thresholds(frame, pd.DataFrame({"j": scores}), ["r"], draws=0), "j", "r")
    assert found["value"]["kappa_matched"] == pytest.approx(np.mean(kappas), nan_ok=True)
    expected = roc_auc_score(truth, scores) if 0 < wanted < len(truth) else float("nan")
    assert found["value"]["auc"] == pytest.approx(expected, nan_ok=True)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 12), st.data())
def test_the_highest_kappa_is_the_best_of_all_tables_with_these_margins(n, data):
    truth, said = data.draw(st.integers(0, n)), data.draw(st.integers(0, n))
    tables = [kappa_of(n, truth, said, both) for both in range(max(0, truth + said - n), min(truth, said) + 1)]
    best = np.nanmax(tables) if not np.isnan(tables).all() else np.nan
    assert float(highest_kappa(n, truth, said)) == pytest.approx(best, nan_ok=True)


def test_a_shift_of_all_scores_changes_nothing_but_the_labels_do():
    words, scores, clusters = study(4)
    one = thresholds(words, scores, ["a"], clusters=clusters, draws=DRAWS)
    pd.testing.assert_frame_equal(one, thresholds(words, scores * 3 + 7, ["a"], clusters=clusters, draws=DRAWS))
    words["keen"] = "yes"
    other = picked(thresholds(words, scores, ["a"], clusters=clusters, draws=DRAWS), "keen", "a")["value"]
    assert other["kappa"] == other["kappa_max"] == 0
    assert other["yes_rate"] == 1
    same = thresholds(words.dropna(), scores.loc[words.dropna().index], ["a"], draws=0)
    assert picked(same, "keen", "a")["value"]["kappa_matched"] > 0.3


def test_a_judge_without_grades_cannot_be_cut_and_its_auc_says_so():
    words, scores, clusters = study(5)
    scores["keen"] = words["keen"].map({"yes": 1.0, "no": 0.0})
    scores["vague"] = np.nan
    found = thresholds(words, scores, ["a", "b"], clusters=clusters, draws=DRAWS)
    for judge in scores:
        own = picked(found, judge, ALL_PEOPLE)
        assert own["value"][["kappa_matched", "threshold_share"]].isna().all()
        assert (
            own["reason"]["kappa_matched"] == "no score says more than yes and no, so that nothing can be cut elsewhere"
        )
        assert own["reason"]["threshold_share"] == own["reason"]["kappa_matched"]
        assert own["reason"]["auc"].startswith("from yes and no alone")
        truth, said, _ = columns(words, scores, judge, "a", np.arange(len(words)))
        assert picked(found, judge, "a")["value"]["auc"] == pytest.approx(roc_auc_score(truth, said))


def test_answers_without_a_score_are_left_out_of_the_cut_alone_and_counted():
    words, scores, clusters = study(6, missing=0)
    scores.loc[:29, "keen"] = np.nan
    own = picked(thresholds(words, scores, ["a", "b"], clusters=clusters, draws=DRAWS), "keen", "a")
    assert (own["n"]["kappa"], own["n"]["kappa_matched"]) == (150, 120)
    assert own["reason"]["kappa_matched"] == "30 of 150 answers have no graded score and are left out"
    rows = np.arange(30, 150)
    truth, said, graded = columns(words, scores, "keen", "a", rows)
    assert own["value"]["kappa_matched"] == pytest.approx(expected_kappa(truth, graded))
    people = cohen_kappa_score(words["a"], words["b"])
    kappa = cohen_kappa_score(truth, said)
    share = (own["value"]["kappa_matched"] - kappa) / (people - kappa)
    assert own["value"]["threshold_share"] == pytest.approx(share)


def test_answers_without_a_score_are_counted_in_the_mean_where_people_skipped_different_items():
    words, scores, clusters = study(6, missing=0)
    scores.loc[:29, "keen"] = np.nan
    words.loc[20:59, "a"] = None
    words.loc[10:14, "b"] = None
    found = thresholds(words, scores, ["a", "b"], clusters=clusters, draws=DRAWS)
    singles = [picked(found, "keen", name)["reason"]["auc"] for name in "ab"]
    assert [reason.partition(" answers")[0] for reason in singles] == ["20 of 110", "25 of 145"]
    own = picked(found, "keen", ALL_PEOPLE)["reason"]
    said = "45 of 255 answers, counted once for each of the people, have no graded score and are left out"
    assert own["kappa_matched"] == own["auc"] == said
    assert said in own["threshold_share"]
    assert own[["yes_rate", "kappa"]].isna().all()


def test_what_is_to_know_of_the_numbers_against_some_people_is_said_of_the_mean():
    words, scores, clusters = study(6, missing=0)
    ties = np.arange(150) < 60
    scores["keen"] = scores["keen"].where(~ties, 0.5)
    words.loc[~ties, "a"] = None  # against whom all scores are the same
    own = picked(thresholds(words, scores, ["a", "b", "c"], clusters=clusters, draws=DRAWS), "keen", ALL_PEOPLE)
    assert own["reason"]["kappa_matched"].startswith(
        "all scores are the same: every cut draws lots (against 1 of 3 people)"
    )
    always = words.assign(keen="yes", a=study(6, missing=0)[0]["a"])
    own = picked(thresholds(always, scores, ["a", "b", "c"], clusters=clusters, draws=DRAWS), "keen", ALL_PEOPLE)
    assert own["reason"]["kappa"] == "3 of 3 pairs have a rater who gave one answer only: 0 by construction"


def test_scores_that_are_all_the_same_draw_lots():
    words, scores, clusters = study(7)
    scores["keen"] = 0.7
    own = picked(thresholds(words, scores, ["a", "b"], clusters=clusters, draws=DRAWS), "keen", "a")
    assert own["value"]["kappa_matched"] == pytest.approx(0)
    assert own["value"]["auc"] == 0.5
    assert own["reason"]["kappa_matched"] == "all scores are the same: every cut draws lots"


def test_a_person_who_says_one_thing_only_is_left_out_of_every_mean_and_that_is_said():
    words, scores, clusters = study(8, missing=0)
    without = picked(thresholds(words, scores, ["a", "b"], clusters=clusters, draws=DRAWS), "keen", ALL_PEOPLE)
    words["c"] = "no"
    found = thresholds(words, scores, ["a", "b", "c"], clusters=clusters, draws=DRAWS)
    own = picked(found, "keen", ALL_PEOPLE)
    pd.testing.assert_frame_equal(own.drop(columns="reason"), without.drop(columns="reason"))
    assert own["reason"].str.startswith("1 of 3 people did not give both answers").all()
    alone = picked(found, "keen", "c")
    assert alone["reason"]["kappa_matched"] == alone["reason"]["auc"] == "the reference gave one answer only"
    assert alone["value"]["kappa"] == 0


def test_what_cannot_be_compared_says_why():
    words, scores, clusters = study(9)
    one = thresholds(words[["a", "keen", "majority"]], scores[["keen"]], ["a"], clusters=clusters, draws=DRAWS)
    assert picked(one, "keen", ALL_PEOPLE)["reason"]["threshold_share"] == "agreement needs two people"
    assert picked(one, "keen", "majority")["reason"]["kappa_people"] == "the majority is made of the answers of people"
    nobody = thresholds(words[["keen", "majority"]], scores[["keen"]], [], clusters=clusters, draws=DRAWS)
    assert set(nobody["reference"]) == {"majority"}
    assert picked(nobody, "keen", "majority")["reason"]["threshold_share"] == "there are no people to compare with"
    better = words.assign(a=words["keen"])
    ahead = picked(thresholds(better, scores, ["a", "b"], clusters=clusters, draws=DRAWS), "keen", "a")
    assert ahead["reason"]["threshold_share"] == "there is no gap: people agree no more among themselves"


def test_a_gap_that_may_be_nil_has_a_share_without_an_interval():
    words, scores, clusters = study(2, missing=0)
    own = picked(thresholds(words, scores, ["a", "b", "c"], clusters=clusters, draws=400), "keen", ALL_PEOPLE)
    assert own["low"]["kappa_people"] < own["high"]["kappa"]
    assert np.isfinite(own["value"]["threshold_share"])
    assert np.isnan(own["low"]["threshold_share"])
    assert "resamples there is no gap" in own["reason"]["threshold_share"]


def test_no_shared_items_and_no_items_are_undefined_without_a_warning():
    words, scores, clusters = study(10)
    apart = words.assign(a=words["a"].where(clusters < 4), keen=words["keen"].where(clusters >= 4))
    own = picked(thresholds(apart, scores, ["a"], clusters=clusters, draws=DRAWS), "keen", "a")
    assert own["value"].isna().all()
    assert own["reason"][:6].eq("no item has an answer from both raters").all()
    empty = thresholds(words.iloc[:0], scores.iloc[:0], ["a", "b"], clusters=clusters[:0], draws=DRAWS)
    assert empty["value"].isna().all()
    assert empty["reason"].notna().all()


def test_one_request_has_values_but_no_interval():
    words, scores, _ = study(11)
    found = thresholds(words, scores, ["a", "b"], clusters=["q"] * len(words), draws=DRAWS)
    assert found["value"].notna().sum() > 20
    assert found["low"].isna().all()
    assert found.loc[found["value"].notna(), "reason"].str.contains("one cluster").all()


def test_the_order_of_items_does_not_matter():
    words, scores, clusters = study(12)
    order = np.random.default_rng(0).permutation(len(words))
    one = thresholds(words, scores, ["a", "b"], clusters=clusters, draws=DRAWS)
    other = thresholds(words.iloc[order], scores.iloc[order], ["a", "b"], clusters=clusters[order], draws=DRAWS)
    pd.testing.assert_frame_equal(one, other)
