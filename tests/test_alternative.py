"""The alternative annotator test: the plain loop's numbers, who passes and who does not, and its error rate."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.multitest import multipletests

from recenter_utils.stats.alternative import alternative_test, one_sided

pytestmark = pytest.mark.filterwarnings("error")


def plain(wide: pd.DataFrame, judge: list, kind: str, epsilon: float, q: float) -> tuple[list[dict], float, float]:
    """The definition, item by item."""

    def score(answer, others):
        if kind == "labels":
            return sum(answer == other for other in others) / len(others)
        return -math.sqrt(sum((answer - other) ** 2 for other in others) / len(others))

    rows = []
    for annotator in wide.columns:
        differences, wins = [], []
        for (_, answers), said in zip(wide.iterrows(), judge, strict=True):
            others = answers.drop(annotator).dropna().tolist()
            if pd.isna(said) or pd.isna(answers[annotator]) or not others:
                continue
            s_judge, s_own = score(said, others), score(answers[annotator], others)
            wins.append(s_judge >= s_own)
            differences.append(int(s_own >= s_judge) - int(s_judge >= s_own))
        p = stats.ttest_1samp(differences, epsilon, alternative="less").pvalue
        rows.append({"n": len(wins), "judge": np.mean(wins), "p": p})
    rejected = multipletests([row["p"] for row in rows], alpha=q, method="fdr_by")[0]
    return rows, float(np.mean(rejected)), float(np.mean([row["judge"] for row in rows]))


def panel(seed: int, items: int = 120, accuracy: tuple[float, ...] = (0.9, 0.85, 0.8, 0.7), skipped: float = 0.15):
    """Annotators who find a truth of three labels with these accuracies, the truth, and clusters of unequal size."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(list("xyz"), items, p=[0.6, 0.3, 0.1])
    wide = pd.DataFrame({f"a{n}": noisy(truth, right, rng) for n, right in enumerate(accuracy)})
    return wide.mask(rng.random(wide.shape) < skipped), truth, np.sort(rng.integers(12, size=items)), rng


def noisy(truth: np.ndarray, right: float, rng: np.random.Generator) -> np.ndarray:
    return np.where(rng.random(len(truth)) < right, truth, rng.choice(np.unique(truth), len(truth))).astype(object)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kind", ["labels", "ratings"])
def test_it_is_the_definition_item_by_item(seed, kind):
    wide, truth, _, rng = panel(seed)
    judge = pd.Series(noisy(truth, 0.5 + 0.05 * seed, rng)).mask(rng.random(len(truth)) < 0.1)
    if kind == "ratings":
        wide = wide.replace({"x": 1, "y": 2, "z": 5}).astype(float)
        judge = judge.map({"x": 1.0, "y": 2.5, "z": 4.0})
    found = alternative_test(wide, judge, kind=kind, epsilon=0.1, q=0.2, draws=0)
    rows, rate, advantage = plain(wide, judge.tolist(), kind, 0.1, 0.2)
    for row, expected in zip(found.annotators.to_dict("records"), rows, strict=True):
        assert row["n"] == expected["n"]
        assert row["judge"] == pytest.approx(expected["judge"])
        assert row["p"] == row["p_items"] == pytest.approx(expected["p"])
    assert found.winning_rate == found.winning_rate_items == rate
    assert found.advantage.value == pytest.approx(advantage)
    assert found.passes == (rate >= 0.5)


def test_the_definition_is_met_with_every_winning_rate():
    """So that the test above is no comparison of zeros."""
    rates = set()
    for seed in range(8):
        wide, truth, _, rng = panel(seed)
        rates.add(alternative_test(wide, noisy(truth, 0.5 + 0.05 * seed, rng), epsilon=0.1, q=0.2).winning_rate)
    assert len(rates) >= 3


def test_a_small_example_by_hand():
    """Thirty items of three kinds, ten each: the judge is right where a errs, wrong where all agree, and a tie."""
    wide = pd.DataFrame({"a": ["n", "y", "y"] * 10, "b": ["y", "y", "y"] * 10, "c": ["y", "y", "n"] * 10})
    judge = ["y", "n", "y"] * 10
    found = alternative_test(wide, judge, epsilon=0.2, draws=0).annotators.set_index("annotator")
    # a: others y y, y y, y n. Judge 1, 0, .5 against a's 0, 1, .5: wins on the first, loses the second, ties the third.
    assert tuple(found.loc["a", ["judge", "person"]]) == pytest.approx((2 / 3, 2 / 3))
    # b: others n y, y y, y n. A tie, a loss, a tie. c: others n y, y y, y y. A tie, a loss, a win.
    assert tuple(found.loc["b", ["judge", "person"]]) == pytest.approx((2 / 3, 1))
    assert tuple(found.loc["c", ["judge", "person"]]) == pytest.approx((2 / 3, 2 / 3))
    differences = np.array([-1, 1, 0] * 10)
    assert found.loc["a", "p"] == pytest.approx(stats.ttest_1samp(differences, 0.2, alternative="less").pvalue)


@pytest.mark.parametrize("seed", range(5))
def test_the_clustered_test_is_statsmodels(seed):
    rng = np.random.default_rng(seed)
    clusters = np.sort(rng.integers(9, size=150))
    differences = rng.choice([-1, 0, 1], 150) + 0.3 * rng.normal(size=9)[clusters]
    fit = sm.OLS(differences - 0.15, np.ones(150)).fit(cov_type="cluster", cov_kwds={"groups": clusters}, use_t=True)
    assert one_sided(differences, 0.15, clusters) == pytest.approx(stats.t.cdf(fit.tvalues[0], 8))
    assert one_sided(differences, 0.15) == pytest.approx(
        stats.ttest_1samp(differences, 0.15, alternative="less").pvalue
    )


def test_a_judge_that_copies_an_annotator_may_stand_in_for_any():
    wide, _, clusters, _ = panel(1, items=600, accuracy=(0.85, 0.85, 0.85), skipped=0)
    found = alternative_test(wide, wide["a0"], clusters=clusters)
    assert found.winning_rate == 1
    assert found.passes
    own = found.annotators.set_index("annotator").loc["a0"]
    assert (own["judge"], own["person"], own["p"]) == (1, 1, 0)
    assert "no spread to doubt them by" in own["reason"]
    assert "beside 1 of the annotators" in found.reason


def test_a_judge_that_says_what_most_say_may_stand_in():
    wide, _, clusters, _ = panel(2, items=600, accuracy=(0.8, 0.8, 0.8, 0.8, 0.8), skipped=0)
    found = alternative_test(wide, wide.mode(axis=1)[0], clusters=clusters)
    assert found.winning_rate == 1
    assert found.advantage.value > 0.85


def test_a_judge_that_answers_at_random_may_not():
    wide, truth, clusters, rng = panel(3, items=600, accuracy=(0.9, 0.9, 0.9), skipped=0)
    found = alternative_test(wide, rng.choice(np.unique(truth), len(truth)), clusters=clusters)
    assert found.winning_rate == 0
    assert found.passes is False
    assert found.advantage.high < 0.6


def test_the_commonest_label_wins_where_it_is_common_enough():
    """Why the page shows a judge that always says no: agreement pays whoever gives the commonest answer."""
    rng = np.random.default_rng(4)
    truth = np.where(rng.random(2000) < 0.1, "yes", "no")
    wide = pd.DataFrame({name: noisy(truth, 0.8, rng) for name in "abc"})
    assert alternative_test(wide, ["no"] * 2000).passes


def at_the_edge(rng: np.random.Generator, clusters: int, each: int, right: float, epsilon: float):
    """Annotators of the same accuracy and a judge that is worse by exactly epsilon.

    With two others, both are right with probability right², both wrong with (1 - right)²; only then can one win. The
    mean of W_j - W_judge is (2 right - 1) (right - the judge's accuracy). How often a request is understood by the
    judge varies between requests, so that items of one are alike.
    """
    mean = right - epsilon / (2 * right - 1)
    accuracy = mean + rng.uniform(-0.25, 0.25, clusters)
    truth = rng.random(clusters * each) < 0.5
    people = truth[:, None] ^ (rng.random((len(truth), 3)) >= right)
    judge = truth ^ (rng.random(len(truth)) >= np.repeat(accuracy, each))
    return pd.DataFrame(people, columns=list("abc")), judge, np.repeat(np.arange(clusters), each)


def test_a_judge_at_the_edge_is_let_in_as_rarely_as_promised_unless_items_of_a_request_are_called_independent():
    rng = np.random.default_rng(5)
    runs, single, items, any_of_three = 400, 0, 0, 0
    for _ in range(runs):
        wide, judge, clusters = at_the_edge(rng, 40, 40, 0.9, 0.15)
        found = alternative_test(wide, judge, epsilon=0.15, clusters=clusters, draws=0)
        single += found.annotators["p"][0] < 0.05
        items += found.annotators["p_items"][0] < 0.05
        any_of_three += found.winning_rate > 0
    # 5% of 400 is 20 with a deviation of 4.4.
    assert 8 <= single <= 34, single
    assert items > 48, items
    assert any_of_three <= 34, any_of_three


def test_the_interval_of_the_advantage_covers():
    rng = np.random.default_rng(6)
    covered, by_item, runs = 0, 0, 300
    # Wins: 1 less the losses. The judge (.7 right on average) loses where two who agree side with a (.9 right).
    both_right, both_wrong = 0.81, 0.01
    truth = 1 - both_right * 0.9 * 0.3 - both_wrong * 0.1 * 0.7
    for seed in range(runs):
        wide, judge, clusters = at_the_edge(rng, 60, 16, 0.9, 0.16)
        found = alternative_test(wide, judge, clusters=clusters, draws=300, seed=seed).advantage
        covered += found.low <= truth <= found.high
        if seed < 60:
            alone = alternative_test(wide, judge, draws=300, seed=seed).advantage
            by_item += alone.low <= truth <= alone.high
    # Percentile intervals of 60 clusters hold it in 94%: 282 of 300, with a deviation of 4.1.
    assert 270 <= covered <= 294, covered
    # Intervals over single items, which this test must be able to tell from those, are too narrow.
    assert by_item <= 53, by_item


@pytest.mark.parametrize(
    ("annotators", "items", "reason"),
    [
        (0, 50, "needs 3 annotators, and there are 0"),
        (1, 50, "needs 3 annotators, and there is 1"),
        (2, 50, "needs 3 annotators, and there are 2"),
        (3, 29, "29 items are fewer than the 30"),
        (3, 0, "0 items are fewer than the 30"),
    ],
)
def test_with_too_little_nothing_is_said(annotators, items, reason):
    wide = pd.DataFrame({f"a{n}": pd.Series(["yes"] * items, dtype=object) for n in range(annotators)})
    found = alternative_test(wide, ["yes"] * len(wide))
    assert math.isnan(found.winning_rate)
    assert math.isnan(found.advantage.value)
    assert found.passes is None
    assert reason in found.reason


def test_an_annotator_with_few_items_is_left_out_and_counted():
    wide, truth, clusters, _ = panel(7, items=200, accuracy=(0.9, 0.9, 0.9, 0.9), skipped=0)
    wide.loc[29:, "a3"] = None
    found = alternative_test(wide, truth, clusters=clusters)
    assert found.reason == "1 of 4 annotators could not be tested and are left out"
    assert found.winning_rate == 1
    assert found.annotators["replaced"].tolist() == [True, True, True, None]
    wide.loc[29:, "a2"] = None
    assert "2 can be tested: 29 items" in alternative_test(wide, truth, clusters=clusters).reason


def test_items_of_one_cluster_say_nothing_about_others():
    wide, truth, _, _ = panel(8, skipped=0)
    found = alternative_test(wide, truth, clusters=["q"] * len(wide))
    assert "one cluster has no spread" in found.reason


def test_items_without_the_judge_or_without_another_annotator_are_left_out():
    wide, truth, _, _ = panel(9, skipped=0, accuracy=(0.9, 0.9, 0.9))
    judge = pd.Series(truth, dtype=object)
    judge[:20] = None
    wide.loc[20:29, ["a0", "a1"]] = None
    found = alternative_test(wide, judge)
    assert found.n_items == len(wide) - 30
    assert found.annotators["n"].tolist() == [90, 90, 90]


def test_order_of_rows_and_of_annotators_changes_nothing():
    wide, truth, clusters, rng = panel(10)
    first = alternative_test(wide, truth, clusters=clusters, draws=200)
    order = rng.permutation(len(wide))
    again = alternative_test(wide.iloc[order, ::-1], truth[order], clusters=clusters[order], draws=200)
    assert again.advantage[:3] == pytest.approx(first.advantage[:3])
    columns = ["n", "judge", "p", "p_items"]
    pd.testing.assert_frame_equal(
        again.annotators.set_index("annotator").loc[wide.columns, columns],
        first.annotators.set_index("annotator")[columns],
    )


def test_faults_of_the_caller_are_raised():
    wide, truth, _, _ = panel(11)
    with pytest.raises(ValueError, match="119 answers of the judge and 120 items"):
        alternative_test(wide, truth[1:])
    with pytest.raises(ValueError, match="'scores' is no kind"):
        alternative_test(wide, truth, kind="scores")
    with pytest.raises(ValueError, match="infinite"):
        alternative_test(pd.DataFrame({"a": [1.0], "b": [2.0]}), [math.inf], kind="ratings")
