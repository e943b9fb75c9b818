"""Calibrating judges: few labels mend a threshold, none mend a ranking, and nothing that is left out is hidden."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import f1_score

from recenter_utils.figures import calibration as draw
from recenter_utils.relevance import answers, calibration
from recenter_utils.relevance.consensus import consensus
from recenter_utils.settings import Calibration
from recenter_utils.stats.resampling import Interval
from recenter_utils.tables import check, table
from tests.relevant import MODELS, PEOPLE, Rater, judgments_of, pairs_of

pytestmark = pytest.mark.filterwarnings("error")

PAIRS = pairs_of(prompts=30, attributes=40)
RULES = Calibration(labels=(10, 100), repeats=40)
NOBODY_KNOWN = table("relevance_raters").empty()
NO_CEILING = Interval(float("nan"), float("nan"), float("nan"), "")


def calibrated(judgments: pl.DataFrame, pairs: pl.DataFrame = PAIRS, rules: Calibration = RULES) -> pl.DataFrame:
    pool = answers.referenced(consensus(judgments, pairs))
    found = answers.of_models(judgments, NOBODY_KNOWN, pool)
    return check("calibration", calibration.calibrate(pool, found, rules, seed=3))


def f1(found: pl.DataFrame, judge: str, method: str, n: int = 0) -> float:
    return found.filter(judge=judge, method=method, n_labels=n)["f1"].item()


@pytest.mark.parametrize("method", ["threshold", "isotonic"])
def test_few_labels_mend_a_threshold_and_none_mend_a_ranking(method):
    for seed in (1, 2, 3):
        found = calibrated(judgments_of(PAIRS, seed))
        before, after, limit = (f1(found, "lenient", *key) for key in (("as it is", 0), (method, 100), ("best cut", 0)))
        assert after > before + 0.1
        assert after > limit - 0.06
        before, after, limit = (f1(found, "noisy", *key) for key in (("as it is", 0), (method, 100), ("best cut", 0)))
        assert after < before + 0.03
        assert limit < f1(found, "lenient", "as it is")


def test_more_labels_come_closer_to_the_best_cut_and_none_go_past_it():
    found = calibrated(judgments_of(PAIRS, 4), rules=Calibration(labels=(10, 50, 250), repeats=60))
    for judge in MODELS:
        for method in calibration.METHODS:
            values = [f1(found, judge, method, n) for n in (10, 50, 250)]
            assert all(later > earlier - 0.01 for earlier, later in pairwise(values))
            assert values[-1] < f1(found, judge, "best cut")


def test_it_is_the_plain_loop():
    """One draw by hand: the cut on the labels drawn, and scikit-learn's F1 on the other half."""
    pairs = pairs_of(12, 25)
    judgments = judgments_of(pairs, 5, PEOPLE | {"skipping": Rater("llm", threshold=0.0, graded=True, skips=0.2)})
    pool = answers.referenced(consensus(judgments, pairs))
    (judge,) = answers.of_models(judgments, NOBODY_KNOWN, pool)
    relevant = pool["relevant"].to_numpy()
    prompts, request = np.unique(pool["prompt_id"].to_numpy(), return_inverse=True)
    values = {"threshold": [], "isotonic": [], "as it is": [], "best cut": []}
    for labelled, tested in calibration._draws(request, len(prompts), 4, seed=3):
        assert not set(request[labelled]) & set(request[tested])
        assert len(labelled) + len(tested) == len(pool)
        rows = [row for row in labelled[:50] if not np.isnan(judge.scores[row])]
        around = [row for row in labelled if not np.isnan(judge.scores[row])]
        truth, scores = relevant[rows], judge.scores[rows]
        best = max(np.unique(scores), key=lambda cut: (f1_score(truth, scores >= cut), cut))
        below = scores[scores < best]
        threshold = (best + (below.max() if len(below) else 0)) / 2
        probability = IsotonicRegression(out_of_bounds="clip").fit(scores, truth).predict(judge.scores[around])
        expected = {}
        for cut in np.unique(judge.scores[around]):
            chosen = judge.scores[around] >= cut
            expected[cut] = 2 * probability[chosen].sum() / (chosen.sum() + probability.sum())
        isotonic = max(expected, key=lambda cut: (round(expected[cut], 12), cut))
        given = np.nan_to_num(judge.scores[tested], nan=-1)
        values["threshold"].append(f1_score(relevant[tested], given >= threshold))
        values["isotonic"].append(f1_score(relevant[tested], given >= isotonic))
        values["as it is"].append(f1_score(relevant[tested], judge.yes[tested]))
        values["best cut"].append(max(f1_score(relevant[tested], given >= cut) for cut in given[given > 0.3]))
    found = calibration.calibrate(
        pool, [judge], Calibration(labels=(50,), repeats=10).model_copy(update={"repeats": 4}), seed=3
    )
    for row in found.to_dicts():
        assert row["f1"] == pytest.approx(np.mean(values[row["method"]]))
        assert (row["low"], row["high"]) == pytest.approx(tuple(np.quantile(values[row["method"]], [0.025, 0.975])))
        assert row["n_unanswered"] == np.isnan(judge.scores).sum() > 0


def test_on_the_labels_themselves_the_best_cut_never_parts_what_isotonic_regression_pools():
    """Why isotonic calibration takes its cut over all pairs: see `isotonic_cut`."""
    rng = np.random.default_rng(6)
    for _ in range(100):
        scores = rng.random(60).round(2)
        relevant = rng.random(60) < 0.1 + 0.5 * scores
        cut = calibration.threshold_cut(relevant, scores, scores)
        probability = IsotonicRegression().fit(scores, relevant).predict(scores)
        best = max(f1_score(relevant, probability >= p) for p in np.unique(probability))
        assert f1_score(relevant, scores >= cut) == pytest.approx(best)


def test_draws_are_the_same_for_every_judge_and_with_every_seed_again():
    judgments = judgments_of(PAIRS, 7)
    alone = calibrated(judgments.filter(pl.col("rater").is_in([*PEOPLE, "both"])))
    assert alone.equals(calibrated(judgments).filter(judge="both"))


def test_a_judge_without_graded_scores_is_said_and_not_dropped():
    found = calibrated(judgments_of(PAIRS, 8, PEOPLE | {"plain": Rater("llm", threshold=0.2)}))
    assert f1(found, "plain", "as it is") > 0.4
    others = found.filter(pl.col("method") != "as it is")
    assert len(others) == 1 + 2 * len(RULES.labels)
    assert others["f1"].null_count() == len(others)
    assert set(others["reason"]) == {"its scores are not graded, so that there is nothing to cut"}
    assert calibration.sentence(found, NO_CEILING, ["simulated"]).startswith(
        "No judge could be calibrated: its scores are not graded"
    )


def test_a_judge_that_always_says_yes_is_measured_all_the_same():
    raters = PEOPLE | {"yes": Rater("llm", threshold=-99), "graded": Rater("llm", threshold=-3, graded=True)}
    found = calibrated(judgments_of(PAIRS, 9, raters))
    assert 0.2 < f1(found, "yes", "as it is") < 0.5
    assert f1(found, "graded", "threshold", 100) > f1(found, "graded", "as it is") + 0.1


def test_labels_of_one_kind_leave_the_judge_as_it_is_and_are_counted():
    people = {name: Rater(threshold=2.6) for name in PEOPLE}
    found = calibrated(judgments_of(PAIRS, 10, people | {"lenient": MODELS["lenient"]}))
    row = found.filter(method="threshold", n_labels=10).to_dicts()[0]
    alike = int(row["reason"].split()[1])
    assert alike > 25
    assert row["n_repeats"] == found.filter(method="as it is")["n_repeats"].item() < RULES.repeats
    assert f1(found, "lenient", "as it is") <= row["f1"] < f1(found, "lenient", "best cut")


def test_too_few_pairs_for_a_number_of_labels_are_said():
    found = calibrated(judgments_of(PAIRS, 11), rules=Calibration(labels=(10, 601), repeats=10))
    row = found.filter(judge="both", method="isotonic", n_labels=601).to_dicts()[0]
    assert row["f1"] is None
    assert row["n_repeats"] == 0
    assert row["reason"] == "in 10 of 10 draws the half to calibrate on has fewer than 601 labelled pairs"


def test_unequal_requests_can_leave_some_draws_without_enough_pairs():
    pairs = pl.concat([pairs_of(1, 100), pairs_of(6, 10).filter(pl.col("prompt_id") != "q000")])
    row = calibrated(judgments_of(pairs, 12), pairs, Calibration(labels=(60,), repeats=30)).filter(
        judge="both", method="threshold"
    )
    assert 0 < row["n_repeats"].item() < 30
    assert "fewer than 60 labelled pairs" in row["reason"].item()


def test_without_models_annotators_pairs_or_a_second_request_the_reason_is_given():
    judgments = judgments_of(PAIRS, 13)
    none = calibrated(judgments.filter(pl.col("rater_kind") != "llm"))
    assert none.is_empty()
    assert "no model has judged a pair" in calibration.sentence(none, NO_CEILING, ["simulated"])
    nobody = calibrated(judgments.filter(rater_kind="llm"))
    assert nobody["f1"].null_count() == len(nobody) > 0
    assert "No judge could be calibrated: no pair has a reference" in calibration.sentence(
        nobody, NO_CEILING, ["simulated"]
    )
    single = PAIRS.filter(prompt_id="q000")
    alone = calibrated(judgments.filter(pl.col("item_id").str.starts_with("q000")), single)
    assert set(alone["reason"]) == {
        "calibrating on some requests and testing on others takes two requests with references"
    }
    assert calibrated(judgments.clear(), PAIRS.clear()).is_empty()
    for frame in (none, nobody, alone):
        assert calibration.wide(frame).columns[:2] == ["judge", "method"]
        draw(frame.to_pandas(), float("nan"))


def test_a_model_that_answered_nothing_is_a_judge_that_selects_nothing():
    judgments = judgments_of(PAIRS, 14, PEOPLE)
    silent = {"rater": "silent", "rater_kind": "llm"}
    raters = pl.DataFrame([dict.fromkeys(NOBODY_KNOWN.columns) | silent], schema=NOBODY_KNOWN.schema)
    pool = answers.referenced(consensus(judgments, PAIRS))
    (judge,) = answers.of_models(judgments, raters, pool)
    assert judge.n_unanswered == len(pool)
    found = calibration.calibrate(pool, [judge], RULES)
    assert f1(found, "silent", "as it is") == 0


def test_answers_without_a_graded_score_are_left_out_counted_and_noted():
    """As if the pairs had no reference: wrong answers of the model there, without a grade, are in no number."""
    judgments = judgments_of(PAIRS, 15, PEOPLE | {"lenient": MODELS["lenient"]})
    lacks = (pl.col("rater") == "lenient") & pl.col("item_id").str.ends_with("0")
    wrong = pl.when(pl.col("label") == "yes").then(pl.lit("no")).otherwise(pl.lit("yes"))
    judgments = judgments.with_columns(
        score=pl.when(~lacks).then("score"), label=pl.when(lacks).then(wrong).otherwise("label")
    )
    pool = answers.referenced(consensus(judgments, PAIRS))
    (judge,) = answers.of_models(judgments, NOBODY_KNOWN, pool)
    lacking = pool["pair_id"].str.ends_with("0").to_numpy()
    assert judge.graded
    assert judge.n_unanswered == 0
    assert (judge.ungraded == lacking).all()
    assert (np.isnan(judge.scores) == lacking).all()
    assert (judge.predictions[lacking] == judge.yes[lacking]).all()
    found = calibrated(judgments)
    right = judge._replace(yes=np.where(lacking, ~judge.yes, judge.yes))
    assert found.equals(calibration.calibrate(pool, [right], RULES, seed=3))
    whole = calibrated(judgments_of(PAIRS, 15, PEOPLE | {"lenient": MODELS["lenient"]}))
    assert f1(found, "lenient", "best cut") == pytest.approx(f1(whole, "lenient", "best cut"), abs=0.04)
    assert found["reason"].str.contains(f"{lacking.sum()} answers have no graded score").all()
    assert found["n_unanswered"].unique().to_list() == [0]


def test_a_model_without_any_graded_score_is_measured_on_all_its_answers():
    judgments = judgments_of(PAIRS, 15, PEOPLE | {"plain": Rater("llm", threshold=0.2)})
    assert judgments.filter(rater="plain")["score"].null_count() == len(PAIRS)
    pool = answers.referenced(consensus(judgments, PAIRS))
    (judge,) = answers.of_models(judgments, NOBODY_KNOWN, pool)
    assert (judge.graded, judge.n_unanswered) == (False, 0)
    numbered = judgments.with_columns(score=pl.col("score").fill_null((pl.col("label") == "yes").cast(pl.Float64)))
    assert calibrated(judgments).equals(calibrated(numbered))
    assert "no graded score" not in "".join(calibrated(judgments)["reason"].drop_nulls())


def test_draws_without_a_relevant_pair_to_test_on_are_left_out_for_every_way_to_select():
    """A judge that selects something would have an F1 of 0 in them, and one that selects nothing none."""
    pairs = pairs_of(4, 30)
    judgments = judgments_of(pairs, 18, PEOPLE | {"both": MODELS["both"], "silent": Rater("llm", threshold=99)})
    people = (pl.col("rater_kind") == "simulated") & (pl.col("item_id") < "q001")
    label = pl.when(people & (pl.col("item_id") < "q000/a000-015")).then(pl.lit("yes"))
    only_first = label.when(pl.col("rater_kind") == "simulated").then(pl.lit("no")).otherwise("label")
    found = calibrated(judgments.with_columns(label=only_first), pairs, Calibration(labels=(10,), repeats=40))
    left = found.filter(pl.col("f1").is_not_null())["n_repeats"].unique().to_list()
    assert len(left) == 1
    assert 0 < left[0] < 40
    said = f"in {40 - left[0]} draws nothing is relevant among the tested pairs"
    assert found.filter(pl.col("f1").is_not_null())["reason"].str.contains(said).all()
    assert f1(found, "silent", "as it is") == 0


def test_the_ceiling_is_each_annotator_against_the_majority_of_the_others():
    judgments = judgments_of(PAIRS, 16, PEOPLE | {"simulated-4": Rater(skips=0.3)} | MODELS)
    values = []
    labels = judgments.filter(rater_kind="simulated").pivot("rater", index="item_id", values="label").to_pandas()
    labels = labels.drop(columns="item_id")
    for name in labels.columns:
        others = labels.drop(columns=name)
        more = (others == "yes").sum(axis=1) - (others == "no").sum(axis=1)
        kept = (more != 0) & labels[name].notna()
        values.append(f1_score(more[kept] > 0, labels[name][kept] == "yes"))
    found = calibration.ceiling(judgments, PAIRS)
    assert found[:3] == pytest.approx((np.mean(values), min(values), max(values)))
    assert calibration.ceiling(judgments, PAIRS, tuple(labels.columns[:3])).reason == "it takes two annotators"
    assert calibration.ceiling(judgments.clear(), PAIRS).reason == "it takes two annotators"


def test_the_sentence_names_the_judge_its_numbers_and_how_many_gain_or_lose():
    judgments = judgments_of(PAIRS, 17)
    found = calibrated(judgments, rules=Calibration(labels=(10, 200), repeats=40))
    said = calibration.sentence(found, calibration.ceiling(judgments, PAIRS), ["simulated", "llm"])
    assert "lenient, whose scores allow the most of 3 models" in said
    assert f"reaches a mean F1 of {f1(found, 'lenient', 'as it is'):.2f}" in said
    assert max(MODELS, key=lambda name: f1(found, name, "as it is")) == "lenient"
    assert "It is the best of 3 as they are, too." in said
    gains = {
        name: [f1(found, name, method, 200) - f1(found, name, "as it is") for method in calibration.METHODS]
        for name in MODELS
    }
    gained, lost = sum(max(values) >= 0.02 for values in gains.values()), sum(min(g) <= -0.02 for g in gains.values())
    verbs = "gains" if gained == 1 else "gain", "loses" if lost == 1 else "lose"
    assert f"from 200 labels {gained} of 3 models {verbs[0]} and {lost} {verbs[1]} (0.02 or more in F1" in said
    notes = calibration.notes(found)
    assert notes["reason"].str.contains("the judge is left as it is").any()


def test_the_sentence_tells_of_judges_that_lose_and_of_the_best_as_it_is():
    """Ten labels shift a cut that was right already; the judge with the better ranking starts from a wrong one."""
    raters = PEOPLE | {"ready": Rater("llm", noise=0.6, graded=True), "keen": Rater("llm", -0.5, 0.1, graded=True)}
    found = calibrated(judgments_of(PAIRS, 19, raters), rules=Calibration(labels=(10,), repeats=40))
    assert min(f1(found, "ready", method, 10) for method in calibration.METHODS) < f1(found, "ready", "as it is") - 0.02
    assert max(f1(found, "keen", method, 10) for method in calibration.METHODS) > f1(found, "keen", "as it is") + 0.02
    said = calibration.sentence(found, NO_CEILING, ["simulated"])
    assert "keen, whose scores allow the most of 2 models" in said
    assert f"As they are, the best of 2 is ready, at {f1(found, 'ready', 'as it is'):.2f}" in said
    assert "From 10 labels 1 of 2 models gains and 1 loses (0.02 or more in F1" in said


def test_the_sentence_speaks_only_of_sizes_that_every_draw_reaches():
    """Else values at the largest size are over other draws than those of the judge as it is."""
    pairs = pl.concat([pairs_of(1, 100), pairs_of(6, 10).filter(pl.col("prompt_id") != "q000")])
    found = calibrated(judgments_of(pairs, 12), pairs, Calibration(labels=(10, 60), repeats=30))
    said = calibration.sentence(found, NO_CEILING, ["simulated"])
    assert found.filter(n_labels=60)["f1"].null_count() == 0
    assert "From 10 labels" in said
    assert "Not every draw has 60 labels: nothing is claimed of them." in said
    only = calibrated(judgments_of(pairs, 12), pairs, Calibration(labels=(60,), repeats=30))
    assert "fewer than 60 labelled pairs" in calibration.sentence(only, NO_CEILING, ["simulated"])


def test_nobody_simulated_is_called_an_annotator():
    judgments = judgments_of(PAIRS, 17)
    found, people = calibrated(judgments), calibration.ceiling(judgments, PAIRS)
    assert "A simulated annotator reaches 0." in calibration.sentence(found, people, ["simulated", "llm"])
    assert "An annotator reaches 0." in calibration.sentence(found, people, ["human", "llm"])
    words = [text.get_text() for text in draw(found.to_pandas(), 0.8, "a simulated annotator").legends[0].get_texts()]
    assert "a simulated annotator, against the others" in words
