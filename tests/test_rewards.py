"""Reward models: what can be learned is learned on requests never seen, and what cannot is not claimed to be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from scipy import stats

from recenter_utils import figures
from recenter_utils.errors import RecenterError
from recenter_utils.inference.embeddings import MINILM
from recenter_utils.responses import reward_data, reward_scores, rewards, taste
from recenter_utils.responses.reward_data import Rated
from recenter_utils.responses.rewards import Predicted
from recenter_utils.settings import Reward
from recenter_utils.stats.pairs import Drawn
from recenter_utils.stats.predictions import fits
from recenter_utils.stats.predictions import out_of_fold as widened
from recenter_utils.tables import check, table
from recenter_utils.training.reward import features
from recenter_utils.training.reward.learners import Head, out_of_fold
from recenter_utils.training.reward.model import RewardModel
from tests.rewarded import (
    ALIKE,
    GUESSER,
    NOTHING,
    OPPOSED,
    RULES,
    THREE_AND_GUESSER,
    WARM,
    Planted,
    differences,
)

Array = NDArray[np.float64]


@pytest.fixture
def bag(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read words instead of embeddings: a head then sees what annotators go by, in no time."""
    monkeypatch.setattr(features, "differences", differences)


def done(study: Planted, home: Path, rules: Reward = RULES, **more: Any) -> tuple[Rated, Predicted, pl.DataFrame]:
    rated = study.rated(rules, **more)
    predicted = rewards.predict(rated, rules, 0, home=home, origin="simulated", progress=False)
    return rated, predicted, check("reward_scores", reward_scores.measure(rated, predicted, 0, draws=400))


def value(scores: pl.DataFrame, **where: Any) -> dict[str, Any]:
    found = scores
    for column, wanted in where.items():
        found = found.filter(pl.col(column).eq_missing(pl.lit(wanted)))
    assert len(found) == 1, found
    return found.row(0, named=True)


# -- what is learned ------------------------------------------------------------------------------------------------


def test_what_responses_say_is_learned_and_holds_on_requests_never_seen(bag: None, tmp_path: Path) -> None:
    judges = {"sees": 0.9, "guesses": 0.0}
    rated, predicted, scores = done(Planted(ALIKE, judges=judges), tmp_path)
    name = predicted.first
    model = value(scores, model=name, analysis="models", measure="spearman")
    assert name == f"reward/{MINILM}"
    assert model["value"] > 0.6
    assert model["low"] > 0.4
    assert value(scores, model=name, measure="mse_gain")["low"] > 0
    assert value(scores, model="guesses", measure="spearman")["low"] < 0 < model["low"]
    # What is stored gives the same number again.
    said = check("reward_judgments", rewards.judge(rated, predicted))
    ordered = rated.texts.join(said, left_on="comparison_id", right_on="item_id", maintain_order="left")
    assert model["value"] == pytest.approx(stats.spearmanr(ordered["score"], rated.mean)[0], abs=1e-9)
    assert said["rater_kind"].unique().to_list() == ["trained"]
    assert (said["label"].cast(pl.Float64) - said["score"]).abs().max() <= 0.5  # type: ignore[operator]


def test_more_ratings_teach_more(bag: None, tmp_path: Path) -> None:
    rules = Reward(tune="head", ratings=(50, 400, 100_000), repeats=3)
    _, predicted, scores = done(Planted(ALIKE), tmp_path, rules)
    curve = scores.filter(analysis="curve").sort("n_ratings").to_dicts()
    assert [row["n_ratings"] for row in curve] == [50, 400, round(predicted.models[predicted.first].n_ratings)]
    assert curve[0]["value"] + 0.2 < curve[1]["value"] < curve[2]["value"] + 0.05
    assert curve[0]["low"] <= curve[0]["value"] <= curve[0]["high"]
    assert curve[2]["value"] == value(scores, analysis="models", measure="spearman")["value"]


def test_an_embedding_carries_a_rule_of_words_to_other_requests(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    topics = ["sourdough bread", "a night train", "chess openings", "roses", "piano scales", "tax returns"]
    advice = ["Start with a plan.", "Keep it simple.", "Take your time.", "Write down each step.", "Ask a friend."]
    kind = "I am so glad that you asked, and I care how this goes for you!"
    prompts, responses, comparisons, judgments = [], [], [], []
    for place in range(16):
        topic = topics[place % 6]
        prompts.append({"prompt_id": f"q{place}", "text": f"Tell me about {topic}, question {place}."})
        for page in range(3):
            warm = page % 2 == 0
            texts = [" ".join(rng.choice(advice, 2)) + f" That is how {topic} works." for _ in range(2)]
            ids = [f"q{place}/{page}/{side}" for side in ("generic", "personalised")]
            responses += [
                {"response_id": ids[0], "text": texts[0]},
                {"response_id": ids[1], "text": texts[1] + f" {kind}" * warm},
            ]
            item = f"p{place}{page}/a"
            comparisons.append(
                {"comparison_id": item, "prompt_id": f"q{place}", "attribute": "Lives alone."}
                | {"generic_id": ids[0], "personalised_id": ids[1]}
            )
            for rater in ("simulated-1", "simulated-2"):
                score = int(np.clip(np.rint((4 if warm else 2.4) + rng.standard_normal()), 1, 5))
                judgments.append({"item_id": item, "rater": rater, "rater_kind": "simulated", "label": str(score)})
    study = Planted(requests=0)
    study.prompts, study.responses = pl.DataFrame(prompts), pl.DataFrame(responses)
    study.comparisons = table("comparisons").frame(comparisons)
    study.judgments = table("preference_judgments").frame(judgments)
    rules = Reward(tune="head", max_tokens=64, ratings=(1000,))
    _, predicted, scores = done(study, tmp_path, rules)
    assert value(scores, analysis="models", measure="spearman")["low"] > 0.3
    model = RewardModel(tmp_path / "models" / "reward" / MINILM)
    asked = ["Tell me about bees."], ["Lives alone."], ["Bees live in hives."], [f"Bees live in hives. {kind}"]
    assert model.ratings(*asked)[0] > 3.3
    assert predicted.first == f"reward/{MINILM}"


# -- what is not ----------------------------------------------------------------------------------------------------


def _null(seed: int) -> tuple[Rated, Head, Array]:
    rated = Planted(NOTHING, seed=seed, requests=20).rated(seed=seed)
    said = differences(rated.texts)
    return rated, Head(said, rated.requests), said


def test_ratings_of_noise_give_intervals_that_hold_no_correlation() -> None:
    seeds, held, values = 40, 0, []
    for seed in range(seeds):
        rated, head, _ = _null(seed)
        found = out_of_fold(head, rated.mean - 3, rated.counts, rated.parts)
        (one,) = fits(rated.mean, found.values[:, None], "spearman", rated.requests, draws=200, seed=seed)
        interval = widened(one, 5, (-1, 1)).interval()
        held += interval.low <= 0 <= interval.high
        values.append(one.value)
    assert held >= 34  # of 40: 38 are expected; without widening about 32
    assert abs(np.mean(values)) < 0.05


def test_without_one_level_for_all_parts_a_worthless_prediction_would_correlate_negatively() -> None:
    # Predicting each part by the mean of the others: the extreme of what shared features let a head do.
    class Mean:
        def predict(self, rows: Any, targets: Array) -> Array:
            return np.full(len(parts), targets.mean())

    rng = np.random.default_rng(0)
    parts = np.repeat(np.arange(5), 40)
    targets = 0.3 * rng.standard_normal(5)[parts] + rng.standard_normal(200)
    raw = np.array([targets[parts != part].mean() for part in parts])
    assert np.corrcoef(raw, targets)[0, 1] < -0.1
    found = out_of_fold(Mean(), targets, np.ones(200, dtype=int), parts)
    assert np.ptp(found.values) < 1e-12


def test_no_request_is_learned_from_while_it_is_predicted(bag: None) -> None:
    rated = Planted(ALIKE, requests=11).rated(Reward(tune="head", folds=4))
    seen: list[set[str]] = []

    class Watched(Head):
        def predict(self, rows: Any, targets: Array) -> Array:
            seen.append(set(rated.requests[rows]))
            return super().predict(rows, targets)

    out_of_fold(Watched(differences(rated.texts), rated.requests), rated.mean - 3, rated.counts, rated.parts)
    parts = [set(rated.requests[rated.parts == part]) for part in range(4)]
    assert len(seen) == 4
    assert all(not (learned & inside) for learned, inside in zip(seen, parts, strict=True))
    assert set.union(*parts) == set(rated.requests)
    assert {len(part) for part in parts} == {2, 3}
    # A rating of a part changes nothing of what is predicted there.
    changed = np.where(rated.parts == 0, rated.mean - 9, rated.mean - 3)
    head = Head(differences(rated.texts), rated.requests)
    before, after = (
        out_of_fold(head, wanted, rated.counts, rated.parts).values for wanted in (rated.mean - 3, changed)
    )
    inside = rated.parts == 0
    assert np.allclose(np.diff(before[inside]), np.diff(after[inside]))


# -- noise or taste -------------------------------------------------------------------------------------------------


def test_opposed_tastes_are_told_from_noise(bag: None, tmp_path: Path) -> None:
    rated, _, scores = done(Planted(OPPOSED, noise=0.8), tmp_path / "taste")
    mean = {"analysis": "annotators", "annotator": None}
    assert value(scores, **mean, measure="own_less_exchanged")["low"] > 0.2
    assert value(scores, **mean, measure="own_less_pooled")["low"] > 0.1
    assert "part of their disagreement is taste" in taste.sentence(rated, scores)
    rated, _, scores = done(Planted(ALIKE, noise=1.5), tmp_path / "noise")
    for measure in ("own_less_exchanged", "own_less_pooled"):
        assert value(scores, **mean, measure=measure)["low"] < 0
    said = taste.sentence(rated, scores)
    assert "taste is not shown, nor is it ruled out" in said


def _shows_taste(study: Planted, seed: int) -> bool:
    rated = study.rated(seed=seed)
    head = Head(differences(rated.texts), rated.requests)
    ones = np.ones(len(rated.texts), dtype=int)
    places = range(len(rated.annotators))
    own = {place: out_of_fold(head, rated.numbers[:, place] - 3, ones, rated.parts) for place in places}
    every = out_of_fold(head, rated.mean - 3, rated.counts, rated.parts)
    found = taste.measure(rated, Predicted({"reward/x": every}, {}, own), 200, seed)
    return "part of their disagreement is taste" in taste.sentence(rated, table("reward_scores").frame(found))


def _narrow(study: Planted) -> None:
    """Let one annotator use the middle of the scale alone."""
    own = pl.col("rater") == "simulated-1"
    held = study.judgments.with_columns(score=pl.when(own).then(pl.col("score").clip(2, 4)).otherwise("score"))
    study.judgments = held.with_columns(label=pl.col("score").cast(pl.Int64).cast(pl.String))


def _as_it_is(study: Planted) -> None:
    pass


@pytest.mark.parametrize(
    ("likes", "noise", "spoil"),
    [
        pytest.param(ALIKE, 1.0, _as_it_is, id="equal"),
        pytest.param(ALIKE, 1.5, _as_it_is, id="noisier"),
        pytest.param(THREE_AND_GUESSER, 1.0, _as_it_is, id="one of four guesses"),
        pytest.param(GUESSER, 1.0, _as_it_is, id="one of three guesses"),
        pytest.param(ALIKE, 1.0, _narrow, id="one uses less of the scale"),
    ],
)
def test_noise_is_seldom_taken_for_taste_however_unequal(
    likes: Mapping[str, Mapping[str, float]], noise: float, spoil: Callable[[Planted], None]
) -> None:
    wrong = 0
    for seed in range(8):
        study = Planted(likes, seed=seed, noise=noise)
        spoil(study)
        wrong += _shows_taste(study, seed)
    assert wrong <= 1


def test_taste_is_found_behind_unequal_noise() -> None:
    # Half of them want the opposite, and one of these guesses.
    likes = OPPOSED | {"simulated-4": {}}
    assert sum(_shows_taste(Planted(likes, seed=seed), seed) for seed in range(4)) >= 3


def test_exchanged_models_of_annotators_who_go_by_the_same_give_the_same_product() -> None:
    def known(value: float) -> Drawn:
        return Drawn(value, np.full(3, value), 9, 90, "")

    # Correlations are what a model knows (.9, .4) times what the ratings hold of it (.5, .2).
    own, its, crossed, back = (known(a * b) for a, b in ((0.9, 0.5), (0.4, 0.2), (0.9, 0.2), (0.4, 0.5)))
    assert taste.exchanged(own, its, crossed, back).value == pytest.approx(0)
    # Opposites differ by both products; whose models say nothing of each other differ by one.
    assert taste.exchanged(known(0.5), known(0.4), known(-0.5), known(-0.4)).value == pytest.approx(0.4)
    assert taste.exchanged(known(0.5), known(0.4), known(0), known(0)).value == pytest.approx(0.2)
    # One negative correlation of two is a model that learned nothing.
    found = taste.exchanged(known(0.5), known(0.1), known(-0.3), known(0.1))
    assert found.value == pytest.approx(0.05)
    assert np.allclose(found.draws, found.value)


# -- what is said ---------------------------------------------------------------------------------------------------


def test_a_model_that_finds_nothing_is_said_to_find_nothing(bag: None, tmp_path: Path) -> None:
    rated, predicted, scores = done(Planted(NOTHING), tmp_path / "nothing")
    said = reward_scores.sentence(rated, predicted, scores, 0)
    assert "not shown to predict anything: its interval holds 0" in said
    rated, predicted, scores = done(Planted(ALIKE), tmp_path / "something")
    assert "It is shown to predict them" in reward_scores.sentence(rated, predicted, scores, 0)


def test_that_a_ceiling_is_out_of_reach_is_said_of_simulated_annotators_alone(bag: None, tmp_path: Path) -> None:
    study = Planted(ALIKE, requests=8)
    said = reward_scores.sentence(*done(study, tmp_path / "simulated"), 0)
    assert "drawn by lot for each page, and stands in no text" in said
    study.judgments = study.judgments.with_columns(rater_kind=pl.lit("human"))
    assert "by lot" not in reward_scores.sentence(*done(study, tmp_path / "human"), 0)


# -- orders, parts, repetition --------------------------------------------------------------------------------------


def test_the_order_of_two_responses_cannot_matter(bag: None, tmp_path: Path) -> None:
    rated, _, _ = done(Planted(ALIKE), tmp_path)
    turned = rated.texts.rename({"generic": "personalised", "personalised": "generic"})
    parts = rated.parts
    there, back = (
        out_of_fold(Head(differences(texts), rated.requests), sign * (rated.mean - 3), rated.counts, parts).values
        for texts, sign in ((rated.texts, 1), (turned, -1))
    )
    assert np.allclose(there, -back)


def test_the_same_tables_in_another_order_give_the_same_scores(bag: None, tmp_path: Path) -> None:
    study = Planted(OPPOSED, requests=10)
    first = done(study, tmp_path / "a")[2]
    study.comparisons, study.responses = study.comparisons.reverse(), study.responses.reverse()
    study.judgments = study.judgments.sample(fraction=1.0, shuffle=True, seed=3)
    assert first.equals(done(study, tmp_path / "b")[2])


def test_whom_the_study_file_excludes_teaches_nothing(bag: None, tmp_path: Path) -> None:
    study = Planted(OPPOSED)
    scores = done(study, tmp_path, excluded=("simulated-3", "simulated-4"))[2]
    assert set(scores["annotator"].drop_nulls()) == {"simulated-1", "simulated-2"}
    assert value(scores, analysis="models", measure="spearman")["low"] > 0.2


def test_unrated_comparisons_are_predicted_and_counted_nowhere_else(bag: None, tmp_path: Path) -> None:
    study = Planted(ALIKE, requests=12)
    silent = study.comparisons["comparison_id"].to_list()[::3]
    study.judgments = study.judgments.filter(~pl.col("item_id").is_in(silent))
    rated, predicted, scores = done(study, tmp_path)
    assert len(rewards.judge(rated, predicted)) == len(study.comparisons)
    assert value(scores, analysis="models", measure="spearman")["n"] == len(study.comparisons) - len(silent)
    parts = reward_data.divided_parts(rated).filter(part="all").row(0, named=True)
    assert parts["comparisons"] - parts["rated"] == len(silent)


# -- bad input ------------------------------------------------------------------------------------------------------


def _without_comparisons(study: Planted) -> None:
    study.comparisons = study.comparisons.clear()
    study.responses, study.judgments = study.responses.clear(), study.judgments.clear()


def _without_annotators(study: Planted) -> None:
    study.judgments = study.judgments.filter(rater_kind="llm")


def _one_annotator(study: Planted) -> None:
    study.judgments = study.judgments.filter(pl.col("rater").is_in(["simulated-1", "judge"]))


def _constant(study: Planted) -> None:
    study.judgments = study.judgments.with_columns(label=pl.lit("3"), score=pl.lit(3.0))


def _one_request(study: Planted) -> None:
    study.comparisons = study.comparisons.filter(prompt_id="q000")
    kept = study.comparisons["comparison_id"].implode()
    study.judgments = study.judgments.filter(pl.col("item_id").is_in(kept))


def _two_requests(study: Planted) -> None:
    study.comparisons = study.comparisons.filter(pl.col("prompt_id").is_in(["q000", "q001"]))
    kept = study.comparisons["comparison_id"].implode()
    study.judgments = study.judgments.filter(pl.col("item_id").is_in(kept))


def _no_judge(study: Planted) -> None:
    study.judgments = study.judgments.filter(rater_kind="simulated")


@pytest.mark.parametrize(
    ("spoil", "said", "of_taste"),
    [
        (_without_comparisons, "there are no comparisons", "cannot be said"),
        (_without_annotators, "no annotator who counts", "cannot be said"),
        (_one_annotator, "is not known: it takes two annotators", "it takes two annotators with enough ratings"),
        (_constant, "all ratings are the same", "cannot be said"),
        (_one_request, "takes two requests", "cannot be said"),
        (_two_requests, "comparisons of 2 requests", ""),
        (_no_judge, "no judge to hold it against", ""),
    ],
)
def test_what_cannot_be_said_is_said(
    bag: None, tmp_path: Path, spoil: Callable[[Planted], None], said: str, of_taste: str
) -> None:
    study = Planted(ALIKE, requests=6, judges={"judge": 0.5})
    spoil(study)
    rated, predicted, scores = done(study, tmp_path)
    check("reward_judgments", rewards.judge(rated, predicted))
    assert said in reward_scores.sentence(rated, predicted, scores, 0)
    assert of_taste in taste.sentence(rated, scores)
    names: Mapping[str, str] = {}
    for shown in (reward_scores.for_page(scores), taste.for_page(scores, names), reward_data.divided_parts(rated)):
        assert shown.columns
    assert rewards.described(rated, RULES, study.judgments)
    plain = scores.to_pandas()
    for figure in (figures.reward_models(plain), figures.reward_curve(plain), figures.reward_annotators(plain, names)):
        assert figure.axes
        plt.close(figure)
    for row in scores.filter(pl.col("value").is_null()).to_dicts():
        assert row["reason"], row


def test_an_annotator_with_few_ratings_has_a_row_that_says_so(bag: None, tmp_path: Path) -> None:
    study = Planted(ALIKE, requests=8)
    few = study.comparisons["comparison_id"].head(10).implode()
    study.judgments = study.judgments.filter((pl.col("rater") != "simulated-4") | pl.col("item_id").is_in(few))
    scores = done(study, tmp_path)[2]
    own = value(scores, annotator="simulated-4", learned_from="own", measure="spearman")
    assert own["value"] is None
    assert own["reason"].startswith(f"fewer than {reward_data.LEAST_RATINGS} ratings")
    assert own["n"] == 10


def test_a_comparison_without_its_texts_is_refused() -> None:
    study = Planted(ALIKE, requests=3)
    study.responses = study.responses.head(5)
    with pytest.raises(RecenterError, match="comparisons have no generic"):
        study.rated()


def test_two_bases_of_one_name_are_refused(bag: None, tmp_path: Path) -> None:
    rules = Reward(tune="head", bases=("here/model", "there/model"))
    with pytest.raises(RecenterError, match="two bases would be called 'reward/model'"):
        rewards.predict(Planted(requests=4).rated(), rules, 0, home=tmp_path, progress=False)


def test_pages_show_no_name_of_a_person(bag: None, tmp_path: Path) -> None:
    likes = {name.replace("simulated-", "person@example.org "): points for name, points in ALIKE.items()}
    study = Planted(likes, requests=8)
    study.judgments = study.judgments.with_columns(rater_kind=pl.lit("human"))
    rated, predicted, scores = done(study, tmp_path)
    names = {rater: f"annotator {place}" for place, rater in enumerate(rated.annotators)}
    assert "example.org" not in str(taste.for_page(scores, names).to_dicts())
    assert "example.org" not in reward_scores.sentence(rated, predicted, scores, 0) + taste.sentence(rated, scores)
    assert rated.word == "people"
    assert WARM in study.responses["text"].str.join(" ").item()
