"""Generators as judges: points that move together, an exact p, and what so few of them cannot say."""

from __future__ import annotations

import math
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from matplotlib import pyplot as plt
from scipy.stats import spearmanr

from recenter_utils import figures, published
from recenter_utils.responses import gaps, generator_judges
from recenter_utils.stats.permutation import correlation_test, least_significant
from recenter_utils.stats.resampling import resampled_totals
from recenter_utils.tables import check, table
from tests.compared import GENERATORS, JUDGES, PEOPLE, Generator, Rater
from tests.test_gaps import NOBODY, Planted, coefficient

POINTS = published.read("figure-7")


class Roles(Planted):
    """A study whose models are generators and judges."""

    def points(self, draws: int = 200) -> Any:
        return generator_judges.points(self.comparisons, self.mentions, self.rated, draws=draws, seed=1)

    def models(self, draws: int = 200) -> pl.DataFrame:
        return check("generator_judges", generator_judges.measure(self.points(draws)))

    def correlations(self, draws: int = 200) -> pl.DataFrame:
        return check("generator_judge_correlation", generator_judges.correlations(self.points(draws)))

    def shown(self) -> str:
        """Return the claim, after the page's tables and figure were made without a warning."""
        models, found = self.models(50), self.correlations(50)
        people = measured(self).filter(rater=gaps.TOGETHER, generator=gaps.EVERY)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            picture = figures.generators_and_judges(models.to_pandas(), people.to_pandas(), "annotators")
            picture.savefig("/dev/null", format="png")
        plt.close(picture)
        generator_judges.models_for_page(models)
        generator_judges.for_page(found)
        return generator_judges.sentence(found)


def measured(study: Planted) -> pl.DataFrame:
    return gaps.measure(study.rated, NOBODY, draws=50)


def by_statistic(found: pl.DataFrame) -> dict[str, dict[str, Any]]:
    return {row["statistic"]: row for row in found.to_dicts()}


# --- The paper's five points ------------------------------------------------------------------------------


def test_the_published_points_give_90_and_an_exact_two_sided_p_of_083() -> None:
    found = dict(generator_judges.published(POINTS)["what", "value"].iter_rows())
    assert found["printed: spearman"] == 0.90 == round(found["Spearman's correlation of the points"], 10)
    assert found["exact p, two-sided"] == pytest.approx(10 / 120)
    assert found["exact p, one-sided"] == pytest.approx(5 / 120)
    assert round(found["p by the t approximation, two-sided"], 3) == 0.037
    assert found["smallest two-sided p that 5 points can give"] == pytest.approx(2 / 120)
    # What is printed is nearer to what no permutation gives.
    assert found["printed: p"] < found["exact p, one-sided"] < found["exact p, two-sided"]


def test_the_gaps_of_figures_6_and_7_are_the_same() -> None:
    six = published.read("figure-6").filter(statistic="gap", kind="llm")
    assert dict(six["item", "value"].iter_rows()) == dict(POINTS.filter(statistic="gap")["item", "value"].iter_rows())


# --- What so few points can say ---------------------------------------------------------------------------


@pytest.mark.parametrize("n", [3, 4, 5, 6, 7, 8])
def test_no_data_of_n_points_have_a_smaller_p_than_the_perfect_order(n: int) -> None:
    row = generator_judges.correlation(list(range(n)), list(range(n)))
    assert row["p_smallest"] == pytest.approx(correlation_test(range(n), range(n)).p)
    needed = least_significant(n)
    rng = np.random.default_rng(n)
    for _ in range(200):
        found = correlation_test(range(n), rng.permutation(n))
        assert found.p >= row["p_smallest"] - 1e-12
        assert (found.p <= 0.05) == (not math.isnan(needed) and abs(found.value) >= needed - 1e-9)


def test_the_correlation_needed_is_the_one_in_tables_of_critical_values() -> None:
    assert [round(least_significant(n), 3) for n in (5, 6, 7, 8, 9)] == [1.0, 0.886, 0.786, 0.738, 0.7]
    assert all(math.isnan(least_significant(n)) for n in (0, 1, 2, 3, 4, 10))


def test_with_four_models_nothing_would_be_significant_and_the_claim_says_so() -> None:
    four = {name: one for name, one in GENERATORS.items() if name != "plain"}
    said = Roles(generators=four).shown()
    assert "With 4 models no data give a two-sided p below 0.083, so that no correlation of so few would be" in said
    assert (
        "With 5 models no data give a two-sided p below 0.017, and a p of 5% takes a correlation of 1.00"
        in Roles().shown()
    )


def test_the_claim_says_whether_independence_is_excluded_and_what_its_interval_is_over() -> None:
    perfect = generator_judges.correlation(range(5), range(5)) | {"low": 0.9, "high": 1.0}
    good = generator_judges.correlation(range(5), [0, 1, 2, 4, 3]) | {"low": 0.5, "high": 1.0}
    rows = [{"statistic": "adjusted"} | perfect, {"statistic": "pooled"} | good]
    said = generator_judges.sentence(table("generator_judge_correlation").frame(rows))
    assert "(intervals over requests, for these models)" in said
    assert "p of 0.017 (exact; one-sided 0.008) independence of the two roles is excluded at 5%;" in said
    assert "p of 0.083 (exact; one-sided 0.042) independence of the two roles is not excluded." in said


# --- What was planted -------------------------------------------------------------------------------------


def test_the_planted_order_of_uplifts_along_mention_rates_is_recovered() -> None:
    found = [by_statistic(Roles(seed, instances=36).correlations()) for seed in range(30)]
    for statistic in ("adjusted", "pooled"):
        values = [one[statistic]["value"] for one in found]
        assert np.mean(values) > 0.95, statistic
        assert np.mean([one[statistic]["high"] == pytest.approx(1) for one in found]) > 0.9
        assert min(one[statistic]["low"] for one in found) > 0.3


def test_where_mentions_are_worth_the_same_to_all_judges_the_interval_tells_nothing() -> None:
    same = PEOPLE | {name: Rater("llm", uplift=0.3) for name in JUDGES}
    found = [by_statistic(Roles(seed, 24, same).correlations())["adjusted"] for seed in range(20)]
    assert abs(np.mean([row["value"] for row in found])) < 0.35
    assert np.mean([row["low"] <= 0 <= row["high"] for row in found]) > 0.8


# --- Points and draws -------------------------------------------------------------------------------------


def test_a_point_is_the_rate_of_own_responses_and_the_gap_in_own_ratings_of_all() -> None:
    study = Roles()
    held = study.comparisons.join(study.explicit, on="comparison_id")
    for row in study.models().to_dicts():
        own = held.filter(generator=row["model"])["explicit"]
        assert (row["n_comparisons"], row["n_explicit"]) == (len(own), own.sum())
        assert row["rate"] == pytest.approx(own.mean())
        assert row["n_ratings"] == len(held)
        formula = {"pooled": "1", "adjusted": "C(generator)"}[row["statistic"]]
        assert row["uplift"] == pytest.approx(coefficient(study.rated.of(row["model"]), formula))


def test_all_points_move_with_the_same_resamples_of_requests() -> None:
    study = Roles(instances=12)
    made = study.points(40)["pooled"]
    held = study.comparisons.join(study.explicit, on="comparison_id").join(
        study.judgments.filter(rater="plain").select("score", comparison_id="item_id"), on="comparison_id"
    )
    requests = study.rated.requests.to_list()
    times = resampled_totals(np.eye(len(requests)), 40, 1)
    values = []
    for number, draw in enumerate(times):
        again = pl.concat(
            [held.filter(prompt_id=name) for name, n in zip(requests, draw, strict=True) for _ in range(int(n))]
        )
        rate, uplift = made[3].rate.draws[number], made[3].uplift.draws[number]
        assert rate == pytest.approx(again.filter(generator="plain")["explicit"].mean())
        sides = [again.filter(pl.col("explicit") == side)["score"].mean() for side in (True, False)]
        assert uplift == pytest.approx(sides[0] - sides[1])  # type: ignore[operator]
        values.append(
            spearmanr([one.rate.draws[number] for one in made], [one.uplift.draws[number] for one in made])[0]
        )
    low, high = np.quantile(values, [0.025, 0.975])
    row = by_statistic(generator_judges.correlations({"pooled": made}))["pooled"]
    assert (row["low"], row["high"]) == (pytest.approx(low), pytest.approx(high))


def test_ten_thousand_resamples_of_five_points_take_a_second_or_so() -> None:
    study = Roles(instances=36)
    start = time.perf_counter()
    generator_judges.correlations(generator_judges.points(study.comparisons, study.mentions, study.rated))
    assert time.perf_counter() - start < 3


# --- Where something is missing ---------------------------------------------------------------------------


@pytest.mark.parametrize(("judging", "words"), [(2, "2 models are"), (1, "1 model is"), (0, "no models are")])
def test_fewer_than_three_models_in_both_roles_make_no_correlation_and_it_is_said(judging: int, words: str) -> None:
    judges = dict(list(JUDGES.items())[:judging])
    study = Roles(raters=PEOPLE | judges | {"elsewhere": Rater("llm")}, instances=6)
    rows = study.correlations()
    assert rows["value"].null_count() == len(rows) == 2
    assert set(rows["n_models"]) == {judging}
    said = study.shown()
    assert f"{words} generator and judge with both numbers: a correlation takes 3" in said
    assert said.startswith("Nothing can be said of generators as judges")


def test_a_model_that_only_judges_or_only_writes_is_no_point() -> None:
    raters = PEOPLE | {name: one for name, one in JUDGES.items() if name != "plain"} | {"elsewhere": Rater("llm")}
    models = Roles(raters=raters).models()["model"].unique()
    assert set(models) == set(GENERATORS) - {"plain"}


def test_an_annotator_of_a_generator_s_name_is_no_judge() -> None:
    study = Roles(raters=JUDGES | {"plain": Rater("simulated")}, instances=6)
    assert "plain" not in set(study.models()["model"])


@pytest.mark.parametrize("named", [True, False])
def test_all_or_no_mentions_leave_rates_without_uplifts(named: bool) -> None:
    study = Roles(explicit=named, instances=6)
    models = study.models()
    assert set(models["rate"]) == {float(named)}
    assert models["uplift"].null_count() == len(models)
    row = by_statistic(study.correlations())["adjusted"]
    assert row["n_models"] == 0
    assert "5 of 5 models lack one of the two numbers and are no points" in row["reason"]
    assert study.shown().startswith("Nothing can be said")


def test_a_constant_judge_is_a_point_at_none_and_constant_judges_have_no_correlation() -> None:
    study = Roles(raters=PEOPLE | JUDGES | {"plain": Rater("llm", lean=9)})
    row = study.models().filter(model="plain", statistic="adjusted").to_dicts()[0]
    assert (row["uplift"], row["uplift_low"], row["uplift_high"]) == (0, 0, 0)
    assert "all ratings are 5" in row["reason"]
    assert by_statistic(study.correlations())["adjusted"]["n_models"] == 5
    fives = Roles(raters={name: Rater("llm", lean=9) for name in JUDGES})
    assert by_statistic(fives.correlations())["pooled"]["reason"] == "all numbers of a column are the same"
    assert "all numbers of a column are the same" in fives.shown()


def test_a_generator_that_is_never_known_is_no_point_and_counted() -> None:
    lost = pl.when(pl.col("comparison_id").str.contains(r"^p\d{3}1")).then(None).otherwise(pl.col("explicit"))
    study = Roles(explicit=lost)
    rows = study.correlations()
    assert set(rows["n_models"]) == {4}
    assert "1 of 5 models lack one of the two numbers" in rows["reason"][0]
    assert "no response has an answer from the detector" in study.models().filter(model="plain")["reason"][0]
    assert study.shown()


def test_a_single_request_has_points_without_intervals() -> None:
    study = Roles(instances=1, seed=2)
    assert study.models()["rate_low"].null_count() == 10
    assert study.shown()


def test_no_comparisons_at_all_are_empty_points_and_a_sentence() -> None:
    empty = table("comparisons").empty(), table("mentions").empty()
    rated = gaps.rated(*empty, table("preference_judgments").empty())
    made = generator_judges.points(*empty, rated)
    assert check("generator_judges", generator_judges.measure(made)).is_empty()
    found = check("generator_judge_correlation", generator_judges.correlations(made))
    assert "no models are generator and judge" in generator_judges.sentence(found)
    assert generator_judges.sentence(found.clear()).endswith("there are no comparisons.")


# --- The figure -------------------------------------------------------------------------------------------


def figure_of(places: list[tuple[float, float]], names: list[str]) -> Any:
    rows = [
        {"model": name, "statistic": "adjusted", "rate": x, "rate_low": x - 0.05, "rate_high": x + 0.05}
        | {"uplift": y, "uplift_low": y - 0.2, "uplift_high": y + 0.2}
        for (x, y), name in zip(places, names, strict=True)
    ]
    people = pd.DataFrame([{"statistic": "adjusted", "value": 0.2, "low": 0.1, "high": 0.3}])
    return figures.generators_and_judges(pd.DataFrame(rows), people, "people")


@pytest.mark.parametrize(
    "places",
    [
        [(0.5, 0.1)] * 5,
        [(0.5 + 0.01 * n, 0.1 + 0.01 * n) for n in range(5)],
        [(0.98, 0.5), (0.99, 0.51), (1.0, 0.5), (0.01, -0.5), (0.0, -0.5)],
        [(0.05, -0.39), (0.27, -0.07), (0.57, 0.37), (0.44, 0.25), (0.4, 0.35)],
    ],
)
def test_no_name_covers_another_a_point_or_the_panel_s_edge(places: list[tuple[float, float]]) -> None:
    names = ["claude-sonnet-4.6", "gpt-5.4", "llama-3.3-70b", "gemma-4-31b", "qwen3.5-27b"]
    picture = figure_of(places, names)
    picture.draw_without_rendering()
    (panel,) = picture.axes
    boxes = [text.get_window_extent() for text in panel.texts]
    assert [text.get_text() for text in panel.texts] == names
    spots = panel.transData.transform(places)
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[number + 1 :])
        assert not any(box.contains(*spot) for spot in spots)
        assert panel.bbox.x0 <= box.x0 <= box.x1 <= panel.bbox.x1
        assert panel.bbox.y0 <= box.y0 <= box.y1 <= panel.bbox.y1
    plt.close(picture)


def test_a_generator_far_above_the_others_shows_in_the_order_of_points() -> None:
    wide = {"a": Generator(0, 0.1), "b": Generator(0, 0.5), "c": Generator(0, 0.9)}
    judges = {"a": Rater("llm", uplift=-1), "b": Rater("llm", uplift=0), "c": Rater("llm", uplift=1)}
    row = by_statistic(Roles(generators=wide, raters=judges).correlations())["adjusted"]
    assert (row["n_models"], row["value"]) == (3, pytest.approx(1))
    assert row["p_two_sided"] == row["p_smallest"] == pytest.approx(1 / 3)
