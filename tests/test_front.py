"""The front page says what the tables say, with intervals, and says so where there is nothing to say."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import polars as pl
import pytest

from recenter_utils import figures, front
from recenter_utils.tables import table


def rows(name: str, *given: dict[str, Any]) -> pl.DataFrame:
    """Return rows of a table without its checks: what they lack is null."""
    return table(name).frame(given)


def number(value: float | None, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high}


QUALITY = rows(
    "attribute_quality",
    {"group": "all real", "kind": "real", "label": "problematic"} | number(0.52, 0.48, 0.56),
    {"group": "all real", "kind": "real", "label": "rejected"} | number(0.2, 0.1, 0.3),
    {"group": "chat", "kind": "real", "label": "problematic"} | number(0.9, 0.8, 1.0),
    {"group": "all synthetic", "kind": "synthetic", "label": "problematic"} | number(0.45, 0.37, 0.52),
)
ANNOTATORS = rows("annotators", {"rater": "simulated-1", "rater_kind": "simulated", "excluded": False})
BLOCKS = rows(
    "relevance_blocks",
    {"block": "people with people"} | number(0.4, 0.32, 0.46),
    {"block": "models with models"} | number(0.6, 0.55, 0.64),
    {"block": "people with models"} | number(0.36, 0.3, 0.41),
)


def rater(name: str, kind: str, rate: float | None, *, excluded: bool = False) -> dict[str, Any]:
    return {
        "rater": name, "rater_kind": kind, "yes_rate": rate, "mean": rate, "n_answered": 10, "excluded": excluded,
    }  # fmt: skip


RATERS = rows(
    "relevance_raters",
    rater("ann", "human", 0.19),
    rater("bob", "human", 0.24),
    rater("out", "human", 0.9, excluded=True),
    rater("m1", "llm", 0.4),
    rater("m2", "llm", 0.6),
)


def test_stage_one_is_the_share_of_judgments_that_did_not_accept() -> None:
    found = front.attributes(QUALITY, ANNOTATORS)
    assert found.sentence == (
        "Simulated annotators did not accept the attribute in 52% (95% interval 48% to 56%) of judgments on attributes "
        "from real-chat sources, and in 45% (95% interval 37% to 52%) of judgments on attributes from synthetic "
        "benchmarks."
    )
    assert found.rows["value"].to_list() == [0.52, 0.45]


def test_stage_two_is_how_often_and_how_alike_people_and_models_say_yes() -> None:
    found = front.relevance(BLOCKS, RATERS)
    assert found.sentence == (
        "Of the attributes known, 19% to 24% by people and 40% to 60% by models are found relevant to a request. The "
        "two agree with a kappa of 0.36 (95% interval 0.30 to 0.41), people among themselves with 0.40 (95% interval "
        "0.32 to 0.46)."
    )
    assert found.rows["label"].to_list() == ["people with each other", "models with each other", "people with models"]


def test_who_is_excluded_is_in_no_sentence() -> None:
    assert "90%" not in front.relevance(BLOCKS, RATERS).sentence


def test_stage_three_is_how_often_personalised_is_no_better() -> None:
    about = {"generator": "all generators", "statistic": "no_better"}
    scores = rows(
        "preference_scores",
        {"rater": "all annotators", "rater_kind": "human"} | about | number(0.546, 0.5, 0.59),
        {"rater": "ann", "rater_kind": "human"} | about | number(0.1),
        {"rater": "m1", "rater_kind": "llm"} | about | number(0.3, 0.2, 0.4),
        {"rater": "m2", "rater_kind": "llm"} | about | number(0.4, 0.3, 0.5),
        {"rater": "m2", "rater_kind": "llm", "generator": "m1", "statistic": "no_better"} | number(0.99),
    )
    raters = rows("preference_raters", rater("ann", "human", 3.0), rater("m1", "llm", 3.5))
    found = front.responses(scores, raters)
    assert found.sentence == (
        "The personalised response is no better than the generic one in 55% (95% interval 50% to 59%) of the "
        "ratings of people and in 30% to 40% of each model's."
    )
    assert found.rows["label"].to_list() == ["people", "m1", "m2"]
    alone = front.responses(scores.filter(rater_kind="llm"), raters.filter(rater_kind="llm"))
    assert alone.sentence == (
        "The personalised response is no better than the generic one in 30% to 40% of each model's ratings."
    )


@pytest.mark.parametrize(
    "found",
    [
        front.attributes(QUALITY.clear(), ANNOTATORS.clear()),
        front.relevance(BLOCKS.clear(), RATERS.clear()),
        front.responses(table("preference_scores").empty(), table("preference_raters").empty()),
    ],
)
def test_a_study_that_nobody_judged_says_so(found: front.Answer) -> None:
    assert found.sentence.endswith("cannot be said: nobody has judged this yet.")
    plt.close(figures.answer(found.rows.to_pandas(), "shares"))


def test_an_undefined_number_is_drawn_as_none_and_said_with_its_reason() -> None:
    blocks = BLOCKS.with_columns(value=None, low=None, high=None, reason=pl.lit("one rater"))
    found = front.relevance(blocks.cast(dict(BLOCKS.schema)), RATERS)
    assert "undefined (one rater)" in found.sentence
    plt.close(figures.answer(found.rows.to_pandas(), "kappa", percent=False))


def test_models_alone_are_told_without_people() -> None:
    found = front.relevance(BLOCKS.clear(), RATERS.filter(rater_kind="llm"))
    assert found.sentence == "Of the attributes known, 40% to 60% by models are found relevant to a request."
