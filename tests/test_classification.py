"""Scores of yes-or-no predictions: scikit-learn's values, intervals over clusters, undefined with its reason."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from recenter_utils.stats import precision_recall, references
from recenter_utils.stats.classification import METRICS, average_precision, difference, pr_curve, scores
from recenter_utils.stats.resampling import interval, multinomial_counts

pytestmark = pytest.mark.filterwarnings("error")

DRAWS = 40
NAN = float("nan")

ITEMS = st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 5)), max_size=15)


def reference(metric: str, truth: np.ndarray, answers: np.ndarray) -> float:
    """What scikit-learn says, with NaN for a division by zero."""
    if not len(truth):
        return NAN
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if metric == "flag_rate":
            return float(answers.mean())
        if metric == "accuracy":
            return float(metrics.accuracy_score(truth, answers))
        if metric == "kappa":
            return float(metrics.cohen_kappa_score(truth, answers, labels=[False, True]))
        if metric == "average_precision":
            return float(metrics.average_precision_score(truth, answers)) if truth.any() else NAN
        found = metrics.precision_recall_fscore_support(
            truth, answers, labels=[True], average="binary", zero_division=np.nan
        )
        return float(found[["precision", "recall", "f1"].index(metric)])


def verifiers(seed: int, items: int = 150, clusters: int = 12):
    """Truth, two predictors' graded scores with ties, and each item's cluster."""
    rng = np.random.default_rng(seed)
    truth = rng.random(items) < 0.35
    first, second = np.round(truth + rng.normal(scale=0.9, size=(2, items)), 1)
    return truth, first, second, rng.integers(clusters, size=items)


def resamples(clusters: np.ndarray, seed: int):
    """The rows of each resample: every row of a cluster, as often as the cluster is drawn."""
    names = np.unique(clusters)
    for counts in np.concatenate(list(multinomial_counts(len(names), DRAWS, seed))).astype(int):
        yield np.concatenate([np.flatnonzero(clusters == name) for name in np.repeat(names, counts)])


@settings(max_examples=300, deadline=None)
@given(items=ITEMS)
def test_scores_are_scikit_learns(items):
    truth, predicted, _ = np.array(items, dtype=int).reshape(-1, 3).T.astype(bool)
    found = scores(truth, predicted, draws=0)
    assert tuple(found["metric"]) == METRICS
    for row in found.itertuples():
        assert row.value == pytest.approx(reference(row.metric, truth, predicted), abs=1e-12, nan_ok=True)
        assert row.reason or not math.isnan(row.value)
        assert row.n == len(items)


@settings(max_examples=300, deadline=None)
@given(items=ITEMS)
def test_average_precision_and_its_curve_are_scikit_learns(items):
    truth, _, graded = np.array(items, dtype=int).reshape(-1, 3).T
    found = average_precision(truth, graded, draws=0)
    assert found.value == pytest.approx(reference("average_precision", truth, graded), abs=1e-12, nan_ok=True)
    curve = pr_curve(truth, graded)
    if not truth.any():
        assert found.reason
        assert curve.empty
        return
    precision, recall, thresholds = metrics.precision_recall_curve(truth, graded)
    # scikit-learn goes from the lowest threshold and adds a point at recall 0.
    np.testing.assert_allclose(curve["threshold"], thresholds[::-1])
    np.testing.assert_allclose(curve["precision"], precision[-2::-1])
    np.testing.assert_allclose(curve["recall"], recall[-2::-1])


@pytest.mark.parametrize("metric", METRICS)
def test_the_interval_is_that_of_the_plain_loop(metric):
    truth, first, _, clusters = verifiers(1)
    found = scores(truth, first > 0.5, clusters, draws=DRAWS, seed=5).set_index("metric").loc[metric]
    draws = [reference(metric, truth[rows], first[rows] > 0.5) for rows in resamples(clusters, 5)]
    assert (found["low"], found["high"]) == pytest.approx(interval(draws))


def test_the_interval_of_average_precision_is_that_of_the_plain_loop(monkeypatch):
    truth, first, _, clusters = verifiers(2)
    draws = [reference("average_precision", truth[rows], first[rows]) for rows in resamples(clusters, 6)]
    found = average_precision(truth, first, clusters, draws=DRAWS, seed=6)
    assert (found.low, found.high) == pytest.approx(interval(draws))
    monkeypatch.setattr(precision_recall, "HELD", 1000)
    assert average_precision(truth, first, clusters, draws=DRAWS, seed=6) == found


@pytest.mark.parametrize("metric", [*METRICS, "average_precision"])
def test_a_difference_takes_both_from_the_same_resample(metric):
    truth, first, second, clusters = verifiers(3)
    a, b = (first, second) if metric == "average_precision" else (first > 0.5, second > 0.3)
    found = difference(truth, a, b, metric, clusters, draws=DRAWS, seed=8)
    draws = [
        reference(metric, truth[rows], b[rows]) - reference(metric, truth[rows], a[rows])
        for rows in resamples(clusters, 8)
    ]
    assert found.value == pytest.approx(reference(metric, truth, b) - reference(metric, truth, a))
    assert (found.low, found.high) == pytest.approx(interval(draws))
    assert difference(truth, a, a, metric, clusters, draws=DRAWS) == (0, 0, 0, "")


def test_a_difference_is_narrower_than_two_intervals_where_the_items_are_hard_for_both():
    rng = np.random.default_rng(4)
    truth, hard = rng.random(400) < 0.5, rng.random(400) < 0.3
    first = truth ^ hard
    second = first ^ (rng.random(400) < 0.05)
    found = difference(truth, first, second, "accuracy", draws=2000)
    alone = scores(truth, first, draws=2000).set_index("metric").loc["accuracy"]
    assert found.high - found.low < 0.7 * (alone["high"] - alone["low"])


def test_a_difference_is_over_the_items_that_both_answered():
    truth, first, second = [1, 1, 0, 0], [1, 0, 0, None], [1, 1, None, 1]
    assert difference(truth, first, second, "accuracy", draws=0).value == pytest.approx(1 - 0.5)


def test_items_without_an_answer_are_left_out_and_counted():
    truth = pl.Series([True, True, False, False, None])
    predicted = pl.Series([True, None, False, True, True])
    found = scores(truth, predicted, pl.Series(list("uvwxy")), draws=50).set_index("metric")
    assert set(found["n"]) == {3}
    assert found.loc["accuracy", "value"] == pytest.approx(2 / 3)
    assert average_precision(truth, [0.9, NAN, 0.1, 0.2, 0.3], draws=0).value == 1
    assert scores(truth.to_pandas(), predicted.to_pandas().astype("boolean"), draws=0)["n"].eq(3).all()


def test_about_95_of_100_intervals_cover_the_truth():
    covered = {"recall": 0, "kappa": 0}
    for seed in range(300):
        rng = np.random.default_rng(seed)
        truth = rng.random((40, 8)) < 0.4
        flip = rng.choice([0.05, 0.35], size=(40, 1))
        predicted = truth ^ (rng.random(truth.shape) < flip)
        found = scores(truth.ravel(), predicted.ravel(), np.repeat(np.arange(40), 8), draws=400, seed=seed)
        # A flip of .2 on average: .8 right, flagged .4 * .8 + .6 * .2 = .44, by chance .4 * .44 + .6 * .56 = .512.
        for metric, value in (("recall", 0.8), ("kappa", (0.8 - 0.512) / (1 - 0.512))):
            row = found.set_index("metric").loc[metric]
            covered[metric] += row["low"] <= value <= row["high"]
    # 95% of 300 is 285 with a standard deviation of 3.8; percentile intervals fall somewhat short with 40 clusters.
    assert all(268 <= count <= 297 for count in covered.values()), covered


@pytest.mark.parametrize(
    ("truth", "predicted", "metric", "value", "reason"),
    [
        ([], [], "accuracy", NAN, "no items with an answer"),
        ([1, 0], [None, None], "f1", NAN, "no items with an answer"),
        ([1, 0, 1], [0, 0, 0], "precision", NAN, "nothing is predicted positive"),
        ([1, 0, 1], [0, 0, 0], "f1", 0, "nothing is predicted positive"),
        ([1, 0, 1], [0, 0, 0], "kappa", 0, "all predictions are the same"),
        ([1, 0, 1], [1, 1, 1], "kappa", 0, "all predictions are the same"),
        ([0, 0, 0], [1, 0, 0], "recall", NAN, "nothing is positive in truth"),
        ([0, 0, 0], [1, 0, 0], "precision", 0, "nothing is positive in truth"),
        ([1, 1, 1], [1, 0, 0], "kappa", 0, "the same in truth"),
        ([0, 0, 0], [0, 0, 0], "f1", NAN, "in truth or predicted"),
        ([0, 0, 0], [0, 0, 0], "kappa", NAN, "one and the same class"),
        ([1, 1, 1], [1, 1, 1], "kappa", NAN, "one and the same class"),
    ],
)
def test_one_class_says_what_is_the_matter(truth, predicted, metric, value, reason):
    found = scores(truth, predicted, draws=50).set_index("metric").loc[metric]
    assert found["value"] == pytest.approx(value, nan_ok=True)
    assert reason in found["reason"]
    # Where the truth has one class no resample tells predictors apart: such a 0 has no interval.
    told = not (math.isnan(value) or "in truth" in reason)
    assert math.isnan(found["low"]) != told


def test_an_undefined_difference_says_why():
    found = difference([1, 0, 1], [0, 0, 0], [1, 0, 0], "precision", draws=50)
    assert math.isnan(found.value)
    assert found.reason == "nothing is predicted positive"
    assert average_precision([0, 0], [0.1, 0.2]).reason == "nothing is positive in truth"
    assert average_precision([], []).reason == "there are no items with an answer"


def test_one_cluster_has_values_but_no_interval():
    truth, first, _, _ = verifiers(5)
    found = scores(truth, first > 0.5, ["u"] * len(truth), draws=50)
    assert found["value"].notna().all()
    assert found["low"].isna().all()
    assert found["reason"].str.contains("one cluster").all()
    assert "one cluster" in average_precision(truth, first, ["u"] * len(truth)).reason


def test_resamples_without_a_value_are_left_out_and_counted():
    found = scores([1, 0, 1], [1, 0, 0], ["p", "q", "q"], draws=800).set_index("metric")
    # Precision is undefined where only q is drawn: one resample in four.
    assert int(found.loc["precision", "reason"].split()[0]) == pytest.approx(200, abs=50)
    assert found.loc["accuracy", "reason"] is None
    graded = average_precision([1, 0], [0.9, 0.1], ["p", "q"], draws=800)
    assert "of 800 resamples leave it undefined" in graded.reason


def few_requests():
    """Six requests of 40 items, relevant ones in two of them; who selects well, blindly, or nothing else."""
    rng = np.random.default_rng(0)
    clusters, truth = np.repeat(np.arange(6), 40), np.zeros(240, dtype=bool)
    truth[:10] = truth[80:92] = True
    good, blind = truth.copy(), np.zeros(240, dtype=bool)
    good[rng.choice(np.flatnonzero(~truth), 20, replace=False)] = True
    blind[rng.choice(240, 60, replace=False)] = True
    return clusters, truth, {"good": good, "blind": blind, "sure": truth & (rng.random(240) < 0.8)}


@pytest.mark.parametrize("metric", ["precision", "recall", "f1", "kappa"])
def test_a_resample_without_a_positive_item_is_left_out_whatever_is_predicted(metric):
    clusters, truth, predictors = few_requests()
    with_positive = [rows for rows in resamples(clusters, 3) if truth[rows].any()]
    assert 0 < (lost := DRAWS - len(with_positive)) < DRAWS / 2
    for predicted in predictors.values():
        found = scores(truth, predicted, clusters, draws=DRAWS, seed=3).set_index("metric").loc[metric]
        assert found["value"] == pytest.approx(reference(metric, truth, predicted))
        draws = [reference(metric, truth[rows], predicted[rows]) for rows in with_positive]
        assert (found["low"], found["high"]) == pytest.approx(interval(draws))
        assert found["reason"] == f"{lost} of {DRAWS} resamples leave it undefined and are left out"


def test_selecting_well_is_never_drawn_down_to_nothing_by_requests_without_a_relevant_pair():
    clusters, truth, predictors = few_requests()
    found = scores(truth, predictors["good"], clusters, draws=2000).set_index("metric")
    assert found.loc["f1", "low"] > 0.3
    gap = difference(truth, predictors["blind"], predictors["good"], "f1", clusters, draws=2000)
    assert gap.low > 0
    assert "of 2000 resamples leave it undefined" in gap.reason


def test_a_difference_leaves_out_what_either_would():
    clusters, truth, predictors = few_requests()
    found = difference(truth, predictors["good"], predictors["blind"], "f1", clusters, draws=DRAWS, seed=3)
    draws = [
        reference("f1", truth[rows], predictors["blind"][rows]) - reference("f1", truth[rows], predictors["good"][rows])
        for rows in resamples(clusters, 3)
        if truth[rows].any()
    ]
    assert (found.low, found.high) == pytest.approx(interval(draws))


def test_accuracy_and_the_share_selected_need_no_positive_item():
    clusters, truth, predictors = few_requests()
    found = scores(truth, predictors["good"], clusters, draws=DRAWS, seed=3).set_index("metric")
    for metric in ("accuracy", "flag_rate"):
        draws = [reference(metric, truth[rows], predictors["good"][rows]) for rows in resamples(clusters, 3)]
        assert (found.loc[metric, "low"], found.loc[metric, "high"]) == pytest.approx(interval(draws))
        assert found.loc[metric, "reason"] is None


def test_a_mean_over_references_leaves_out_those_without_a_positive_item_and_their_resamples():
    clusters, truth, predictors = few_requests()
    other = truth & (clusters == 0)  # positive in one request alone
    truths = np.column_stack([truth, other, np.zeros(240)]).astype(float)
    chosen = np.repeat(predictors["good"][:, None], 3, axis=1).astype(float)
    found = references.mean_scores(truths, chosen, clusters, draws=DRAWS, seed=3).set_index("metric")

    def mean(metric: str, rows: np.ndarray) -> float:
        own = [column[rows] == 1 for column in truths.T if column[rows].any()]
        return float(np.mean([reference(metric, one, predictors["good"][rows]) for one in own])) if own else NAN

    for metric in ("precision", "recall", "f1", "kappa"):
        assert found.loc[metric, "value"] == pytest.approx(mean(metric, np.arange(240)))
        draws = [mean(metric, rows) for rows in resamples(clusters, 3)]
        assert (found.loc[metric, "low"], found.loc[metric, "high"]) == pytest.approx(interval(draws))
        assert found.loc[metric, "reason"].startswith("undefined on 1 of 3 references")
    silent = np.zeros((240, 3))
    gap = references.mean_difference(truths, silent, chosen, "f1", clusters, draws=DRAWS, seed=3)
    draws = [mean("f1", rows) for rows in resamples(clusters, 3)]
    assert (gap.value, gap.low, gap.high) == pytest.approx((mean("f1", np.arange(240)), *interval(draws)))
    nothing = references.mean_scores(np.zeros((240, 2)), chosen[:, :2], clusters, draws=DRAWS).set_index("metric")
    assert nothing.loc["f1", "value"] == 0
    assert math.isnan(nothing.loc["f1", "low"])
    assert nothing.loc["f1", "reason"].startswith("nothing is positive in truth")


def test_a_table_without_reasons_is_null_in_polars():
    truth, first, _, clusters = verifiers(6)
    table = pl.from_pandas(scores(truth, first > 0.5, clusters, draws=50))
    assert table.columns == ["metric", "value", "low", "high", "n", "reason"]
    assert table["reason"].null_count() == len(METRICS)
    assert table.schema["reason"] == pl.String


def test_faults_of_the_caller_are_raised():
    with pytest.raises(ValueError, match="equally many, not 2, 1"):
        scores([1, 0], [1])
    with pytest.raises(ValueError, match="true or false, not 2"):
        scores([1, 0], [1, 2])
    with pytest.raises(ValueError, match="'f2' is no metric"):
        difference([1, 0], [1, 0], [1, 0], "f2")
    with pytest.raises(ValueError, match="infinite"):
        average_precision([1, 0], [1, math.inf])
    assert isinstance(pr_curve([], []), pd.DataFrame)
