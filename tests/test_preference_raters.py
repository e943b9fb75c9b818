"""Raters of preferences: means over the right answers, who stands apart, agreement, and a page whoever is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score

from recenter_utils import figures
from recenter_utils.annotation.annotators import page_names
from recenter_utils.annotation.judgments import CHECKS
from recenter_utils.responses import position, raters
from recenter_utils.responses.raters import sentence, summary, together
from recenter_utils.stats.resampling import cluster_bootstrap
from recenter_utils.study import Study
from recenter_utils.tables import check, table
from tests.compared import JUDGES, PEOPLE, Rater, comparisons_of, explicit_of, preferences_of
from tests.planted_study import change, run
from tests.responded import worded_of, write

NO_CHECKS = CHECKS.to_frame()
FAILURES = {"rater": pl.String, "order": pl.String, "error": pl.String, "n": pl.Int64}
NO_FAILURES = pl.DataFrame(schema=FAILURES)
COMPARISONS = comparisons_of(20)
FIVES = Rater(lean=9, noise=0.1)


def judged(seed: int, who: dict[str, Rater], comparisons: pl.DataFrame = COMPARISONS) -> pl.DataFrame:
    return preferences_of(comparisons, explicit_of(comparisons, seed), seed, who)


def told(answers: pl.DataFrame, comparisons: pl.DataFrame = COMPARISONS, **more: Any) -> str:
    """Return the sentence on these answers."""
    excluded, failures = more.get("excluded", ()), more.get("failures", NO_FAILURES)
    who = summary(answers, failures, NO_CHECKS, comparisons, excluded, draws=200)
    agreed = together(answers, comparisons, excluded, draws=200)
    return sentence(who, answers, comparisons, agreed, excluded, study="own")


# --- The table --------------------------------------------------------------------------------------------


def test_means_and_correlations_are_those_of_the_answers() -> None:
    answers = judged(1, PEOPLE | JUDGES)
    who = check("preference_raters", summary(answers, NO_FAILURES, NO_CHECKS, COMPARISONS, draws=500))
    assert who["rater"].to_list() == [*PEOPLE, *sorted(JUDGES)]
    for row in who.to_dicts():
        own = answers.filter(rater=row["rater"])
        assert row["n_answered"] == len(own) == row["n_comparisons"]
        assert row["mean"] == pytest.approx(own["score"].mean())
        assert row["low"] < row["mean"] < row["high"]
    assert who.filter(rater_kind="llm")["mean_spearman"].null_count() == len(JUDGES)
    scores = {name: answers.filter(rater=name).sort("item_id")["score"].to_list() for name in PEOPLE}
    first, *others = scores
    mean = np.mean([spearmanr(scores[first], scores[name]).statistic for name in others])
    assert who.filter(rater=first)["mean_spearman"].item() == pytest.approx(mean)


def test_intervals_are_over_requests_and_not_over_pages() -> None:
    """What a request invites, all generators' pages share; an interval over pages is too narrow."""
    answers = judged(2, {"simulated-1": Rater(noise=0.3)})
    places = answers.select(comparison_id="item_id").join(COMPARISONS, on="comparison_id", maintain_order="left")
    requests = places["prompt_id"].rank("dense").to_numpy().astype(int) - 1
    shared = np.random.default_rng(0).normal(0, 1, 20)[requests]
    answers = answers.with_columns(score=pl.col("score") + pl.Series(shared))
    pages = cluster_bootstrap(answers["score"], places["page_id"], draws=2000)
    row = summary(answers, NO_FAILURES, NO_CHECKS, COMPARISONS, draws=2000).row(0, named=True)
    assert row["high"] - row["low"] > 1.5 * (pages.high - pages.low)


@pytest.mark.parametrize("seed", range(6))
def test_somebody_who_rates_everything_5_stands_apart_and_nobody_else(seed: int) -> None:
    answers = judged(seed, PEOPLE | {"simulated-9": FIVES} | JUDGES)
    who = summary(answers, NO_FAILURES, NO_CHECKS, COMPARISONS, draws=10, seed=seed)
    apart = who.filter(pl.col("stands_apart").is_not_null())
    assert apart["rater"].to_list() == ["simulated-9"]
    assert "answers 5 to 100% of the" in apart["stands_apart"].item()
    assert apart["mean_spearman"].item() is None


def test_whoever_is_excluded_changes_nothing_about_those_who_count() -> None:
    answers = judged(3, PEOPLE | {"simulated-9": FIVES})
    without = summary(answers.filter(pl.col("rater") != "simulated-9"), NO_FAILURES, NO_CHECKS, COMPARISONS, draws=50)
    with_them = summary(answers, NO_FAILURES, NO_CHECKS, COMPARISONS, ("simulated-9",), draws=50)
    assert_frame_equal(with_them.filter(~pl.col("excluded")), without)
    assert_frame_equal(
        together(answers, COMPARISONS, ("simulated-9",), draws=50),
        together(answers.filter(pl.col("rater") != "simulated-9"), COMPARISONS, draws=50),
    )


def test_people_who_skip_and_models_that_fail_are_counted_where_they_are() -> None:
    answers = judged(4, {"ann": Rater("human", skips=0.3), "ben": Rater("human")} | JUDGES)
    lost = answers.filter(rater="plain").head(7)
    answers = answers.join(lost, on=["item_id", "rater"], how="anti")
    every = len(COMPARISONS)
    failures = pl.DataFrame(
        [
            ("plain", "drawn", "unparsed", 4),
            ("plain", "drawn", "truncated", 3),
            ("plain", "swapped", "unparsed", 50),
            ("mute", "drawn", "unparsed", every),
        ],
        schema=FAILURES,
        orient="row",
    )
    who = check("preference_raters", summary(answers, failures, NO_CHECKS, COMPARISONS, draws=50))
    shown = raters.for_page(who, page_names(who))
    numbers = {row["rater"]: row for row in shown.to_dicts()}
    assert list(numbers)[:2] == ["annotator A", "annotator B"]
    assert numbers["annotator A"]["not_asked_or_skipped"] == every - len(answers.filter(rater="ann")) > 0
    assert (numbers["plain"]["unparsed"], numbers["plain"]["other_errors"]) == (4, 3)
    assert (numbers["mute"]["answered"], numbers["mute"]["mean"]) == (0, None)
    assert numbers["mute"]["note"] == "there is no usable answer"
    assert {row["not_asked_or_skipped"] for name, row in numbers.items() if name != "annotator A"} == {0}
    assert f"Models gave no usable answer to {every + 7:,} of {6 * every:,} questions." in told(
        answers, failures=failures
    )


# --- Agreement --------------------------------------------------------------------------------------------


def test_agreement_is_of_annotators_alone_and_equals_the_reference_libraries() -> None:
    answers = judged(5, PEOPLE | JUDGES)
    agreed = dict(together(answers, COMPARISONS, draws=100).select("statistic", "value").iter_rows())
    scores = [answers.filter(rater=name).sort("item_id")["score"].to_list() for name in PEOPLE]
    pairs = [(scores[a], scores[b]) for a, b in ((0, 1), (0, 2), (1, 2))]
    assert agreed["mean_spearman"] == pytest.approx(np.mean([spearmanr(*pair).statistic for pair in pairs]))
    for weights in ("linear", "quadratic"):
        wanted = np.mean([cohen_kappa_score(*pair, weights=weights, labels=[1, 2, 3, 4, 5]) for pair in pairs])
        assert agreed[f"mean_{weights}_kappa"] == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("people", "judges", "excluded", "said"),
    [
        (PEOPLE, JUDGES, (), "Mean rating by the 3 simulated annotators who count: 3."),
        (PEOPLE, JUDGES, (), "They agree with a mean Spearman correlation of 0."),
        (PEOPLE, JUDGES, (), "Mean rating by 5 models: 3."),
        ({"ann": Rater("human")}, JUDGES, (), "Mean rating by 1 person: "),
        ({"ann": Rater("human")}, JUDGES, (), "How far they agree cannot be said: agreement needs two raters."),
        ({}, JUDGES, (), "nobody has judged yet ('recenter annotate own preference' opens the screens)."),
        (PEOPLE, JUDGES, tuple(PEOPLE), "study.yaml excludes all who answered"),
        (PEOPLE, {"fives": Rater("llm", lean=9)}, (), "Mean rating by 1 model: 5.00 (95% interval 5.00 to 5.00)"),
        ({"ann": FIVES, "ben": FIVES}, {}, (), "How far they agree cannot be said: "),
    ],
)  # fmt: skip
def test_the_sentence_says_what_can_be_said(
    people: dict[str, Rater], judges: dict[str, Rater], excluded: tuple[str, ...], said: str
) -> None:
    everybody = people | judges
    assert said in told(judged(8, everybody), excluded=excluded)


def test_without_comparisons_and_with_one_page_it_says_so() -> None:
    nothing = table("preference_judgments").empty()
    assert told(nothing, COMPARISONS.clear()) == (
        "Nothing can be said of preferences: this study has no two responses to compare."
    )
    assert summary(nothing, NO_FAILURES, NO_CHECKS, COMPARISONS.clear()).is_empty()
    one = COMPARISONS.filter(page_id=COMPARISONS["page_id"][0])
    who = check("preference_raters", summary(judged(1, PEOPLE, one), NO_FAILURES, NO_CHECKS, one))
    assert who["low"].null_count() == len(who)
    assert set(who["reason"]) == {"one cluster has no spread between clusters"}


def test_the_sentence_names_nobody_and_says_who_should_be_looked_at() -> None:
    people = {f"{name}@example.org": Rater("human") for name in ("ann", "ben", "eva", "ida")}
    people["zoe@example.org"] = Rater("human", lean=9)
    said = told(judged(10, people | JUDGES))
    assert "annotator E should be looked at." in said
    assert "@" not in said


# --- Figures ----------------------------------------------------------------------------------------------


def test_the_figures_keep_who_gave_no_answer_and_draw_nothing_where_there_is_nothing() -> None:
    answers = judged(11, PEOPLE | {"simulated-9": FIVES} | JUDGES)
    failures = pl.DataFrame([("mute", "drawn", "unparsed", 9)], schema=FAILURES, orient="row")
    who = summary(answers, failures, NO_CHECKS, COMPARISONS, ("simulated-9",), draws=50)
    names = [text.get_text() for text in figures.mean_ratings(who.to_pandas()).axes[0].get_yticklabels()]
    assert names[3].startswith("simulated-9")
    assert names[3].endswith("*")
    assert names[-1] == "mute (n = 0)"
    swapped = judged(12, JUDGES).with_columns(
        first_shown=pl.col("first_shown").replace({"generic": "personalised", "personalised": "generic"})
    )
    leans = position.bias(answers, swapped, COMPARISONS, [*JUDGES, "mute"], draws=50)
    drawn = [text.get_text() for text in figures.position_bias(leans.to_pandas()).axes[0].get_yticklabels()]
    assert drawn[-1] == "mute\n(n = 0)"
    assert len(drawn) == len(JUDGES) + 1
    for draw, name in ((figures.mean_ratings, "preference_raters"), (figures.position_bias, "position_bias")):
        assert draw(table(name).empty().to_pandas()).axes


# --- The notebook -----------------------------------------------------------------------------------------


@pytest.fixture
def study(workspace: Path) -> Study:
    """The demo with planted comparisons, for whose generators its annotators have no truth."""
    study = Study.open("demo")
    write(study, *worded_of(6)[:3])
    return study


def notebook(study: Study) -> str:
    return run(study.root, "20-preferences")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("nobody", "nobody has judged yet"),
        ("no comparisons", "this study has no two responses to compare"),
        ("one attribute a page", "Mean rating by 5 models"),
        ("one page", "one cluster has no spread between clusters"),
        ("one model, one order", "no model judged a comparison in both orders"),
    ],
)
def test_the_notebook_finishes_whoever_is_missing(study: Study, how: str, said: str) -> None:
    comparisons, prompts, responses, _ = worded_of(6)
    if how == "no comparisons":
        comparisons = comparisons.clear()
    elif how == "one attribute a page":
        comparisons = comparisons.unique("page_id", keep="first", maintain_order=True)
    elif how == "one page":
        comparisons = comparisons.filter(page_id=comparisons["page_id"][0])
    elif how == "one model, one order":
        change(study.root, models={"preference": ["embedded-plain"]}, preferences={"both_orders": 0})
    write(study, comparisons, prompts, responses)
    assert said in notebook(study)
    for name in ("preference_judgments", "swapped_judgments", "preference_raters", "position_bias"):
        check(name, pl.read_parquet(study.table_path(name)))


def test_the_notebook_takes_in_simulated_annotators_where_generators_have_a_truth(study: Study) -> None:
    comparisons, prompts, responses, _ = worded_of(6)
    known = {"reserved": "embedded-cautious", "plain": "embedded-plain", "middling": "embedded-broad"}
    write(study, comparisons.with_columns(pl.col("generator").replace(known)), prompts, responses)
    shown = notebook(study)
    assert "Mean rating by the 3 simulated annotators who count" in shown
    assert "comparisons for which no truth is planted" in shown
    kept = pl.read_parquet(study.table_path("preference_judgments"))
    people = kept.filter(rater_kind="simulated")
    truth = comparisons.filter(pl.col("generator").is_in(list(known)))
    assert set(people["item_id"]) == set(truth["comparison_id"])
    assert kept["first_shown"].null_count() == 0
    assert set(pl.read_parquet(study.table_path("swapped_judgments"))["rater_kind"]) == {"llm"}
