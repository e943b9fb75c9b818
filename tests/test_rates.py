"""Rates of yes from few labels: the library's intervals, their coverage, and what a judge adds to them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from recenter_utils.relevance import answers, rates
from recenter_utils.relevance.consensus import consensus
from recenter_utils.settings import Calibration
from recenter_utils.tables import check, table
from tests.relevant import MODELS, PEOPLE, Rater, judgments_of, pairs_of

pytestmark = pytest.mark.filterwarnings("error")

PAIRS = pairs_of(prompts=30, attributes=40)
NOBODY_KNOWN = table("relevance_raters").empty()


def estimated(judgments: pl.DataFrame, labels=(100,), repeats: int = 60, seed: int = 1, pairs=PAIRS) -> pl.DataFrame:
    pool = answers.referenced(consensus(judgments, pairs))
    found = answers.of_models(judgments, NOBODY_KNOWN, pool)
    rules = Calibration(labels=labels, repeats=repeats)
    return check("relevance_rates", rates.estimate(pool, found, rules, seed))


def row(found: pl.DataFrame, judge: str, n: int = 100) -> dict:
    return found.filter(judge=judge, n_labels=n).to_dicts()[0]


def test_intervals_are_the_librarys_draw_by_draw():
    from ppi_py import classical_mean_ci, ppi_mean_ci

    rng = np.random.default_rng(0)
    labels = (rng.random((80, 5)) < 0.2).astype(float)
    scores = np.clip(0.5 * labels + rng.random((80, 5)), 0, 1)
    others = rng.random((300, 5))
    low, high = rates._powered(labels, scores, others).T
    for column in range(5):
        one = ppi_mean_ci(labels[:, column], scores[:, column], others[:, column], alpha=0.05)
        assert (low[column], high[column]) == pytest.approx((one[0].item(), one[1].item()))
        plain = classical_mean_ci(labels[:, column], alpha=0.05)
        assert rates._classical(labels)[column] == pytest.approx(plain)


def test_intervals_hold_the_rate_and_an_over_selecting_models_own_never_does():
    """Over many draws of labels from many planted studies."""
    held = {"nobody": [], "lenient": [], "both": [], "noisy": []}
    for seed in range(12):
        found = estimated(judgments_of(PAIRS, seed), repeats=100, seed=seed)
        for name, values in held.items():
            values.append(row(found, name)["coverage"])
        own = found.filter(method="model only")
        assert own.filter(pl.col("judge").is_in(["lenient", "both"]))["coverage"].to_list() == [0, 0]
        assert own.filter(judge="lenient")["value"].item() > found["truth"][0] + 0.2
    # 1,200 draws: .95 with a deviation of .006; labels are a twelfth of the pairs, which adds a little.
    for name, values in held.items():
        assert 0.93 <= np.mean(values) <= 0.98, (name, np.mean(values))


def test_a_judge_with_the_annotators_ranking_narrows_the_interval_and_a_useless_one_does_not_widen_it():
    raters = PEOPLE | {"lenient": MODELS["lenient"], "useless": Rater("llm", noise=50, graded=True)}
    found = estimated(judgments_of(PAIRS, 2, raters))
    alone = row(found, "nobody")["width"]
    assert row(found, "lenient")["width"] < 0.85 * alone
    assert row(found, "useless")["width"] == pytest.approx(alone, rel=0.03)


def test_estimates_are_unbiased_whatever_the_model_says():
    found = estimated(judgments_of(PAIRS, 3), labels=(50,), repeats=400)
    for name in ("nobody", *MODELS):
        assert row(found, name, 50)["value"] == pytest.approx(found["truth"][0], abs=0.012)


def test_width_shrinks_with_the_root_of_the_labels():
    found = estimated(judgments_of(PAIRS, 4), labels=(50, 200))
    for name in ("nobody", "both"):
        assert row(found, name, 50)["width"] / row(found, name, 200)["width"] == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("graded", [True, False])
def test_a_judge_that_always_says_yes_adds_nothing_and_breaks_nothing(graded):
    judgments = judgments_of(PAIRS, 5, PEOPLE | {"yes": Rater("llm", threshold=-99, graded=graded)})
    found = estimated(judgments)
    assert row(found, "yes")["width"] == pytest.approx(row(found, "nobody")["width"], rel=0.02)
    assert "None of 1 model makes it narrower" in rates.sentence(found)
    own = found.filter(method="model only").to_dicts()[0]
    assert (own["value"], own["width"], own["coverage"], own["n_without_width"]) == (1, None, None, 1)
    assert "no width" in own["reason"]
    assert "0 of 0 such intervals hold it, and 1 more have no width or no answer" in rates.sentence(found)


def test_unanswered_pairs_are_counted_and_leave_the_estimate_valid():
    judgments = judgments_of(PAIRS, 6, PEOPLE | {"skipping": Rater("llm", threshold=0.0, graded=True, skips=0.4)})
    found = estimated(judgments, repeats=300)
    assert row(found, "skipping")["n_unanswered"] == pytest.approx(0.4 * len(PAIRS), rel=0.1)
    assert row(found, "skipping")["coverage"] > 0.9
    assert row(found, "skipping")["value"] == pytest.approx(found["truth"][0], abs=0.01)


def test_a_models_own_rate_is_over_the_pairs_that_it_answered():
    """What it left unanswered is neither yes nor no."""
    judgments = judgments_of(PAIRS, 13, PEOPLE | {"yes": Rater("llm", threshold=-99, skips=0.5)} | MODELS)
    found = estimated(judgments.filter((pl.col("rater") != "both") | (pl.col("item_id") < "q002")))
    own = found.filter(method="model only").rows_by_key("judge", named=True, unique=True)
    assert own["yes"]["value"] == 1
    answered = len(judgments.filter(rater="yes"))
    assert own["yes"]["n_unanswered"] == len(PAIRS) - answered == pytest.approx(0.5 * len(PAIRS), rel=0.1)
    said = judgments.filter(rater="both").filter(pl.col("item_id") < "q002")["label"] == "yes"
    assert own["both"]["value"] == pytest.approx(said.mean())
    assert rates.alone(found).filter(judge="yes")["its rate"].item() == 1


def test_a_model_that_answered_nothing_has_no_rate_and_the_sentence_is_said():
    judgments = judgments_of(PAIRS, 14, PEOPLE)
    silent = {"rater": "silent", "rater_kind": "llm"}
    raters = pl.DataFrame([dict.fromkeys(NOBODY_KNOWN.columns) | silent], schema=NOBODY_KNOWN.schema)
    pool = answers.referenced(consensus(judgments, PAIRS))
    found = rates.estimate(pool, answers.of_models(judgments, raters, pool), Calibration(labels=(50,), repeats=20))
    own = check("relevance_rates", found).filter(method="model only").to_dicts()[0]
    assert (own["value"], own["reason"], own["n_unanswered"]) == (None, "it answered no pair", len(PAIRS))
    assert "No model answered a pair" in rates.sentence(found)


def test_labels_of_one_kind_have_no_width_and_are_counted():
    """They are in no mean width: a width of 0 would say that the rate is known."""
    people = {name: Rater(threshold=1.8) for name in PEOPLE}
    judgments = judgments_of(PAIRS, 7, people | MODELS)
    found = estimated(judgments, labels=(10,))
    pool = answers.referenced(consensus(judgments, PAIRS))
    labels = pool["relevant"].to_numpy().astype(float)
    ((draws,),) = rates._intervals(labels, [], [10], 60, 1)
    wide = draws[draws[:, 1] > draws[:, 0]]
    assert 0 < len(wide) < 60
    alone = row(found, "nobody", 10)
    assert (alone["n_without_width"], alone["n_repeats"]) == (60 - len(wide), 60)
    assert alone["width"] == pytest.approx((wide[:, 1] - wide[:, 0]).mean())
    assert alone["width"] == pytest.approx(alone["high"] - alone["low"])
    assert alone["value"] == pytest.approx(draws.mean())
    held = (draws[:, 0] <= labels.mean()) & (labels.mean() <= draws[:, 1])
    assert alone["coverage"] == pytest.approx(held.mean())
    for name in ("nobody", "lenient"):
        assert "the labels are all of one kind" in row(found, name, 10)["reason"]
        assert row(found, name, 10)["coverage"] < 0.5
    said = rates.sentence(found)
    assert f"in {60 - len(wide)} of 60 draws the labels are all of one kind and nothing is known" in said


def test_where_no_label_is_yes_nothing_is_known_however_narrow_the_interval():
    people = {name: Rater(threshold=99) for name in PEOPLE}
    found = estimated(judgments_of(PAIRS, 12, people | MODELS), labels=(50,))
    alone = row(found, "nobody", 50)
    assert (alone["truth"], alone["width"], alone["coverage"], alone["n_without_width"]) == (0, None, None, 60)
    said = rates.sentence(found)
    assert "nothing can be estimated: in 60 of 60 draws the labels are all of one kind" in said
    assert "0.00 wide" not in said
    assert rates.widths(found)["50"].unique().to_list() == ["–"]


def test_answers_without_a_grade_predict_their_labels():
    judgments = judgments_of(PAIRS, 16, PEOPLE | {"plain": Rater("llm", threshold=0.2)})
    numbered = judgments.with_columns(score=pl.col("score").fill_null((pl.col("label") == "yes").cast(pl.Float64)))
    assert judgments["score"].null_count() == len(PAIRS)
    found = estimated(judgments)
    assert found.equals(estimated(numbered))
    assert row(found, "plain")["width"] < row(found, "nobody")["width"]


def test_more_labels_than_pairs_and_a_large_share_of_them_are_said():
    found = estimated(judgments_of(PAIRS, 8), labels=(100, 600, len(PAIRS)))
    assert row(found, "nobody")["reason"] is None
    assert "50% of all pairs are labelled" in row(found, "both", 600)["reason"]
    assert row(found, "both", 600)["coverage"] > 0.97
    every = row(found, "both", len(PAIRS))
    assert every["width"] is None
    assert "none is left to estimate" in every["reason"]


def test_without_annotators_or_models_the_reason_is_given():
    judgments = judgments_of(PAIRS, 9)
    nobody = estimated(judgments.filter(rater_kind="llm"))
    assert nobody.is_empty()
    assert "no pair has a reference" in rates.sentence(nobody)
    alone = estimated(judgments.filter(rater_kind="simulated"))
    assert alone["method"].unique().to_list() == ["people only"]
    assert "no model has judged a pair" in rates.sentence(alone)
    one = estimated(judgments.filter(pl.col("rater").is_in(["simulated-1", "both"])))
    assert row(one, "both")["coverage"] > 0.8
    few = estimated(judgments, labels=(5_000,))
    assert "nothing can be estimated: there are 1,200 labelled pairs" in rates.sentence(few)
    for found in (nobody, alone, few):
        assert rates.widths(found).columns[0] == "estimated from"
        assert rates.alone(found).columns[0] == "judge"


def test_the_sentence_says_what_the_best_judge_adds():
    found = estimated(judgments_of(PAIRS, 10), labels=(50, 100, 200))
    said = rates.sentence(found)
    assert said.startswith("From 100 labels")
    assert "With the scores of lenient on all other pairs" in said
    assert "1 of 3 such intervals hold it" in said or "0 of 3 such intervals hold it" in said
    assert rates.widths(found).columns == ["estimated from", "50", "100", "200"]


def test_a_draw_does_not_depend_on_how_many_are_estimated_at_once(monkeypatch):
    judgments = judgments_of(PAIRS, 11)
    whole = estimated(judgments, repeats=20)
    monkeypatch.setattr(rates, "_AT_ONCE", 7)
    again = estimated(judgments, repeats=20)
    assert again["width"].to_numpy() == pytest.approx(whole["width"].to_numpy())
