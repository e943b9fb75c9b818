"""Models of annotators' ratings: planted differences are found, two models agree, what cannot be fitted is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from recenter_utils.codebook.preferences import FACTORS
from recenter_utils.responses import effects, ratings
from recenter_utils.responses.ratings import Ratings
from recenter_utils.tables import check
from tests.compared import (
    GENERATORS,
    JUDGES,
    PAGE,
    PEOPLE,
    Generator,
    Rater,
    comparisons_of,
    explicit_of,
    preferences_of,
)
from tests.test_quality import of_people

#: Many annotators who lean differently, so that a mean is one for annotators in general.
CROWD = {f"simulated-{n}": Rater(lean=float(lean)) for n, lean in enumerate(np.linspace(-0.5, 0.5, 8), 1)}


def rated(
    instances: int = 16,
    seed: int = 0,
    raters: dict[str, Rater] | None = None,
    generators: dict[str, Generator] | None = None,
    **more: Any,
) -> Ratings:
    planted = GENERATORS if generators is None else generators
    comparisons = comparisons_of(instances, seed, planted, **more)
    explicit = explicit_of(comparisons, seed, planted)
    return ratings.read(preferences_of(comparisons, explicit, seed, raters or PEOPLE | JUDGES, planted), comparisons)


def rows_of(found: pl.DataFrame, effect: str) -> dict[str, dict[str, Any]]:
    return {row["term"]: row for row in found.filter(effect=effect).to_dicts()}


def test_planted_differences_between_generators_are_in_their_intervals_over_thirty_studies() -> None:
    truths = {name: of_people(one) for name, one in GENERATORS.items()}
    centre = np.mean(list(truths.values()))
    held, levels = [], []
    for seed in range(30):
        fitted = effects.fit(rated(16, seed, PEOPLE))
        for name, truth in truths.items():
            weights = {one: (one == name) - 1 / len(truths) for one in truths}
            one = fitted.combination(weights)
            held.append(one.low <= truth - centre <= one.high)
            level = fitted.combination({name: 1.0})
            levels.append(level.low <= truth - 3 <= level.high)
    assert 0.9 <= np.mean(held) <= 0.99
    # The planted annotators are all there are: an interval for annotators in general holds their mean more often.
    assert np.mean(levels) >= 0.95


def test_planted_deviations_are_recovered() -> None:
    study = rated(30, 1, CROWD)
    found = effects.components(study, effects.fit(study))
    rows = {row["factor"]: row for row in check("variance_components", found).to_dicts()}
    assert list(rows) == list(FACTORS)
    assert rows["page"]["low"] < PAGE < rows["page"]["high"]
    leanings = np.std([one.lean for one in CROWD.values()], ddof=1)
    assert rows["annotator"]["low"] < leanings < rows["annotator"]["high"]
    assert rows["annotator"]["n_groups"] == 8
    assert rows["residual"]["deviation"] == pytest.approx(np.hypot(0.8, 12**-0.5), rel=0.08)  # its own, and rounding
    # Planted comparisons share nothing beyond their page, and requests nothing at all.
    assert rows["user"]["deviation"] is None
    for factor in ("request", "comparison"):
        assert rows[factor]["low"] == 0
        assert rows[factor]["deviation"] < 0.2


@pytest.fixture(scope="module")
def found() -> pl.DataFrame:
    """The table of a study of the paper's size or so."""
    return check("preference_effects", effects.measure(rated(24, 0)))


def test_a_users_pages_of_a_request_share_something_that_is_no_difference_between_generators() -> None:
    """Every second request is put to two users; what a user's pages share, all generators' have."""
    comparisons = comparisons_of(40, 0, most=4)
    instance = comparisons["prompt_id"].str.slice(1).cast(pl.Int64)
    comparisons = comparisons.with_columns(prompt_id=pl.format("q{}", instance // 2))
    judgments = preferences_of(comparisons, explicit_of(comparisons, 0), 0, PEOPLE)
    shared = np.random.default_rng(1).normal(0, 0.8, 40)
    place = dict(zip(comparisons["comparison_id"], instance, strict=True))
    moved = [
        str(int(np.clip(np.rint(float(score) + shared[place[item]]), 1, 5)))
        for item, score in judgments.select("item_id", "score").iter_rows()
    ]
    study = ratings.read(judgments.with_columns(label=pl.Series(moved)), comparisons)
    fitted = effects.fit(study)
    rows = {row["factor"]: row for row in effects.components(study, fitted).to_dicts()}
    assert (rows["request"]["n_groups"], rows["user"]["n_groups"], rows["page"]["n_groups"]) == (20, 40, 200)
    assert rows["user"]["low"] > 0.3
    assert rows["request"]["low"] == 0
    errors = [fitted.combination(weights).error for weights in ({"plain": 1.0, "reserved": -1.0}, {"plain": 1.0})]
    assert errors[0] < errors[1]
    alone = rated(8)
    assert "one with 'request'" in effects.fit(alone).dropped["user"]


def test_the_ordered_model_agrees_on_what_generators_differ_by(found: pl.DataFrame) -> None:
    contrasts = rows_of(found, "contrast")
    assert set(contrasts) == set(GENERATORS)
    assert all(row["same_sign"] for row in contrasts.values())
    assert sum(row["same_verdict"] for row in contrasts.values()) >= 4
    ranks = [sorted(contrasts, key=lambda name: contrasts[name][column]) for column in ("value", "ordered")]
    assert ranks[0][0] == ranks[1][0] == "constant"
    assert ranks[0][-1] == ranks[1][-1] == "reserved"
    assert sum(row["value"] for row in contrasts.values()) == pytest.approx(0)
    assert sum(row["ordered"] for row in contrasts.values()) == pytest.approx(0, abs=1e-9)
    assert set(found["n_ratings"]) == {int(rated(24, 0).by_people.sum()) * 3}


def test_few_annotators_leave_the_mean_of_a_generator_wide_and_its_difference_from_others_narrow(
    found: pl.DataFrame,
) -> None:
    levels, contrasts = rows_of(found, "level"), rows_of(found, "contrast")
    for name in GENERATORS:
        widths = [rows[name]["high"] - rows[name]["low"] for rows in (levels, contrasts)]
        assert widths[0] > 2 * widths[1]
        assert levels[name]["freedom"] < 10 < contrasts[name]["freedom"]
    assert "annotators" in effects.sentence(found, ["simulated"])
    notes = [row["reason"] for row in levels.values() if row["same_verdict"] is False]
    assert set(notes) <= {"the ordered model speaks of these annotators alone"}


def test_what_judges_say_changes_nothing() -> None:
    both, alone = (effects.measure(rated(8, 0, raters)) for raters in (PEOPLE | JUDGES, PEOPLE))
    assert both.equals(alone)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("nobody", "no annotator's rating counts"),
        ("three", "all outcomes are the same"),
        ("one generator", "requests are too few to compare what is told from 0"),
    ],
)
def test_what_cannot_be_fitted_is_said(case: str, words: str) -> None:
    alike = {"nobody": JUDGES, "three": {name: Rater(noise=0.01, reads=0) for name in PEOPLE}, "one generator": PEOPLE}
    one = {"plain": GENERATORS["plain"]} if case == "one generator" else None
    study = rated(4 if case == "one generator" else 8, 0, alike[case], one)
    found = check("preference_effects", effects.measure(study))
    check("variance_components", effects.components(study, effects.fit(study)))
    said = effects.sentence(found, study.kinds)
    assert words in said, said
    shown = effects.for_page(found, study.kinds)
    assert len(shown) == len(found)
    if case == "one generator":
        assert rows_of(found, "contrast")["plain"]["reason"] == "there is only one generator"
        assert rows_of(found, "level")["plain"]["value"] is not None
        level = rows_of(found, "level")["plain"]
        assert "4 requests are fewer than 2 for each of" in level["reason"]
        assert (level["same_verdict"], level["ordered_low"]) == (None, None)
        assert level["same_sign"] is not None
    if case == "three":
        assert found["value"].null_count() == len(found)
        assert found["reason"].null_count() == 0


def test_a_single_annotator_says_nothing_of_annotators_in_general() -> None:
    study = rated(16, 0, {"simulated-1": PEOPLE["simulated-1"]})
    found = check("preference_effects", effects.measure(study))
    spread = rows_of(found, "spread")
    assert spread["annotator"]["value"] is None
    assert spread["annotator"]["reason"] == "there is only one"
    assert spread["comparison"]["reason"] == "each has one row, so that it is one with the residual"
    said = effects.sentence(found, study.kinds)
    assert said.startswith("For this one annotator")
    assert "Standard deviation between" not in said


def test_annotators_who_never_rate_below_3_have_no_middle_in_the_ordered_model() -> None:
    study = rated(16, 0, {name: Rater(lean=2.0, noise=0.5) for name in PEOPLE})
    assert np.nanmin(study.of(study.people)) >= 3
    found = effects.measure(study)
    for row in rows_of(found, "level").values():
        assert row["ordered"] is None
        assert row["same_sign"] is None
        assert row["reason"] == "no annotator's rating lies above 3, or none below"
    assert all(row["ordered"] is not None for row in rows_of(found, "contrast").values())


def test_the_same_ratings_in_another_order_give_the_same_table() -> None:
    comparisons = comparisons_of(6, 0)
    judgments = preferences_of(comparisons, explicit_of(comparisons, 0), 0)
    one = effects.measure(ratings.read(judgments, comparisons))
    other = effects.measure(ratings.read(judgments.reverse(), comparisons.reverse()))
    for column in ("value", "low", "high", "ordered"):
        assert other[column].to_numpy() == pytest.approx(one[column].to_numpy(), abs=1e-4, nan_ok=True)
