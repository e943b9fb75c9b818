"""Raters of relevance: rates over the right answers, who stands apart, and a sentence whoever is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from sklearn.metrics import cohen_kappa_score

from recenter_utils import figures
from recenter_utils.annotation.annotators import page_names
from recenter_utils.annotation.judgments import CHECKS
from recenter_utils.annotation.overview import overview
from recenter_utils.annotation.relevance_pages import study_pages
from recenter_utils.annotation.store import Store
from recenter_utils.errors import RecenterError
from recenter_utils.relevance import raters
from recenter_utils.relevance.consensus import EVEN, UNJUDGED, consensus, counts
from recenter_utils.relevance.raters import sentence, summary, with_majority
from recenter_utils.relevance.selectors import labelled_by
from recenter_utils.study import Study
from recenter_utils.tables import check, table
from recenter_utils.training.card import said_of_data
from tests.relevant import MODELS, PEOPLE, Rater, judgments_of, pairs_of
from tests.workspaces import ROOT, add_study

NO_CHECKS = CHECKS.to_frame()
NO_FAILURES = pl.DataFrame(schema={"rater": pl.String, "error": pl.String, "n": pl.Int64})
PAIRS = pairs_of(20, 30)
FOUR = PEOPLE | {"simulated-4": Rater()}


def told(answers: pl.DataFrame, pairs: pl.DataFrame = PAIRS, excluded: tuple[str, ...] = (), **more: object) -> str:
    """Return the sentence on these answers."""
    failures = more.pop("failures", NO_FAILURES)
    who = summary(answers, failures, NO_CHECKS, pairs, excluded, draws=200)  # type: ignore[arg-type]
    return sentence(who, answers, pairs, with_majority(answers, pairs, excluded, draws=200), excluded, study="own")


def test_rates_and_kappas_are_those_of_the_answers() -> None:
    answers = judgments_of(PAIRS, 1, FOUR | MODELS)
    who = check("relevance_raters", summary(answers, NO_FAILURES, NO_CHECKS, PAIRS, draws=500))
    assert who["rater"].to_list() == [*FOUR, *sorted(MODELS)]
    for row in who.to_dicts():
        own = answers.filter(rater=row["rater"])
        assert row["n_answered"] == len(own) == row["n_pairs"]
        assert row["yes_rate"] == pytest.approx((own["label"] == "yes").mean())
        assert row["low"] < row["yes_rate"] < row["high"]
    assert who.filter(rater_kind="llm")["mean_kappa"].null_count() == len(MODELS)
    labels = {name: answers.filter(rater=name).sort("item_id")["label"].to_list() for name in FOUR}
    mean = np.mean([cohen_kappa_score(labels["simulated-1"], labels[name]) for name in FOUR if name != "simulated-1"])
    assert who.filter(rater="simulated-1")["mean_kappa"].item() == pytest.approx(mean)


def test_intervals_are_over_requests_and_not_over_pairs() -> None:
    """With half of the variance between requests, an interval over single pairs would be far narrower."""
    answers = judgments_of(PAIRS, 2, {"simulated-1": Rater()}, between=0.5)
    row = summary(answers, NO_FAILURES, NO_CHECKS, PAIRS, draws=2000).to_dicts()[0]
    single = 2 * 1.96 * np.sqrt(row["yes_rate"] * (1 - row["yes_rate"]) / row["n_answered"])
    assert row["high"] - row["low"] > 1.8 * single


@pytest.mark.parametrize("seed", range(10))
def test_somebody_with_another_yes_rate_stands_apart_and_nobody_else(seed: int) -> None:
    answers = judgments_of(PAIRS, seed, FOUR | {"simulated-9": Rater(threshold=-0.8, noise=1.0)} | MODELS)
    who = summary(answers, NO_FAILURES, NO_CHECKS, PAIRS, draws=10, seed=seed)
    apart = who.filter(pl.col("stands_apart").is_not_null())
    assert apart["rater"].to_list() == ["simulated-9"]
    assert "pairs shared with others" in apart["stands_apart"].item()


def test_whoever_is_excluded_changes_nothing_about_those_who_count() -> None:
    answers = judgments_of(PAIRS, 3, FOUR | {"simulated-9": Rater(threshold=-0.8, noise=1.0)})
    without = summary(answers.filter(pl.col("rater") != "simulated-9"), NO_FAILURES, NO_CHECKS, PAIRS, draws=50)
    with_them = summary(answers, NO_FAILURES, NO_CHECKS, PAIRS, ("simulated-9",), draws=50)
    assert_frame_equal(with_them.filter(~pl.col("excluded")), without)
    assert with_them.filter("excluded")["stands_apart"].null_count() == 0


def test_people_who_skip_and_models_that_fail_are_counted_where_they_are() -> None:
    answers = judgments_of(PAIRS, 4, {"ann": Rater("human", skips=0.3), "ben": Rater("human")} | MODELS)
    lost = answers.filter(rater="noisy").head(7)
    answers = answers.join(lost, on=["item_id", "rater"], how="anti")
    failures = pl.DataFrame(
        {"rater": ["noisy", "noisy", "mute"], "error": ["unparsed", "truncated", "unparsed"], "n": [4, 3, 600]}
    )
    who = check("relevance_raters", summary(answers, failures, NO_CHECKS, PAIRS, draws=50))
    shown = raters.for_page(who, page_names(who))
    assert shown["rater"].to_list() == ["annotator A", "annotator B", "both", "lenient", "mute", "noisy"]
    skipped = len(PAIRS) - len(answers.filter(rater="ann"))
    assert shown["not_asked_or_skipped"].to_list() == [skipped, 0, 0, 0, 0, 0]
    assert shown.select("unparsed", "other_errors").rows()[-2:] == [(600, 0), (4, 3)]
    said = told(answers, failures=failures)
    assert "Models gave no usable answer to 607 of 2,400 questions." in said


def test_check_items_count_for_relevance_too() -> None:
    answers = judgments_of(PAIRS, 5, {"ann": Rater("human"), "ben": Rater("human")})
    checks = pl.DataFrame({"rater": ["ben"] * 6 + ["eva"] * 6, "passed": [True] * 6 + [False] * 6}).with_columns(
        item_id=pl.lit("c"), label=pl.lit("no")
    )
    who = check("relevance_raters", summary(answers, NO_FAILURES, checks, PAIRS, draws=50))
    assert who.select("rater", "stands_apart").rows() == [
        ("ann", None), ("ben", None), ("eva", "passed 0 of 6 check items"),
    ]  # fmt: skip
    assert who.filter(rater="eva").select("n_answered", "yes_rate", "rater_kind").row(0) == (0, None, "human")


def test_kappa_with_the_majority_is_scikit_learns_and_falls_without_the_annotators_own_vote() -> None:
    answers = judgments_of(PAIRS, 6, PEOPLE)
    agreed = with_majority(answers, PAIRS, draws=200)
    majority = consensus(answers, PAIRS)["majority"].to_list()
    for name in PEOPLE:
        own = dict(answers.filter(rater=name).select("item_id", "label").iter_rows())
        mine = agreed.filter(rater=name, majority_of="all").to_dicts()[0]
        other = agreed.filter(rater=name, majority_of="the others").to_dicts()[0]
        assert mine["kappa"] == pytest.approx(cohen_kappa_score(majority, [own[pair] for pair in PAIRS["pair_id"]]))
        assert other["kappa"] < mine["kappa"]
        assert mine["low"] < mine["kappa"] < mine["high"]
        assert other["n"] < mine["n"] == len(PAIRS)  # where the other two are divided they have no majority


def test_majorities_and_what_has_none_are_counted_by_reason() -> None:
    pairs = pairs_of(2, 3)
    answers = judgments_of(pairs, 7, {"ann": Rater("human", -9, 0.1), "ben": Rater("human", 9, 0.1)})
    answers = answers.filter(~((pl.col("rater") == "ann") & pl.col("item_id").str.starts_with("q001")))
    answers = answers.filter(pl.col("item_id") != "q001/a001-002")
    found = counts(consensus(answers, pairs))
    assert found.rows() == [
        ("majority: yes", 0, 0.0, 0),
        ("majority: no", 2, 2 / 6, 1),
        (EVEN, 3, 0.5, 1),
        (UNJUDGED, 1, 1 / 6, 1),
    ]
    assert found["pairs"].sum() == len(pairs)
    assert counts(table("relevance_consensus").empty())["pairs"].to_list() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("people", "models", "excluded", "said"),
    [
        (PEOPLE, MODELS, (), "On the 600 pairs that both judged, the 3 simulated annotators who count say yes in"),
        (PEOPLE, MODELS, (), "3 models in"),
        (PEOPLE, MODELS, (), "Annotators agree with the majority of all with a kappa of 0."),
        ({"ann": Rater("human")}, MODELS, (), "1 person says yes in"),
        ({"ann": Rater("human")}, MODELS, (), "A majority to hold annotators against takes three of them."),
        ({}, MODELS, (), "nobody has judged yet ('recenter annotate own relevance' opens the screens). Models say yes"),
        ({}, {}, (), "No model answered either."),
        (PEOPLE, MODELS, tuple(PEOPLE), "study.yaml excludes all who answered"),
        (PEOPLE, {}, (), "No model answered on a pair that annotators judged; the 3 simulated annotators who count"),
        (PEOPLE, {"lavish": Rater("llm", threshold=-99)}, (), "1 model in 100% (95% interval 100% to 100%)"),
    ],
)  # fmt: skip
def test_the_sentence_says_what_can_be_said(
    people: dict[str, Rater], models: dict[str, Rater], excluded: tuple[str, ...], said: str
) -> None:
    everybody = people | models
    answers = judgments_of(PAIRS, 8, everybody) if everybody else table("relevance_judgments").empty()
    assert said in told(answers, excluded=excluded)


def test_a_study_without_pairs_and_one_with_one_request_say_so() -> None:
    nothing = table("relevance_judgments").empty()
    assert told(nothing, table("pairs").empty()) == (
        "Nothing can be said of relevance: this study has no pairs of a request and an attribute."
    )
    assert with_majority(nothing, table("pairs").empty()).is_empty()
    assert summary(nothing, NO_FAILURES, NO_CHECKS, table("pairs").empty()).is_empty()
    one = pairs_of(1, 40)
    answers = judgments_of(one, 9, PEOPLE)
    who = check("relevance_raters", summary(answers, NO_FAILURES, NO_CHECKS, one))
    assert who["low"].null_count() == len(who)
    assert set(who["reason"]) == {"one cluster has no spread between clusters"}


def test_where_no_annotator_ever_says_yes_the_reason_is_that_and_not_their_number() -> None:
    said = told(judgments_of(PAIRS, 8, {f"simulated-{n}": Rater(threshold=99) for n in (1, 2, 3)} | MODELS))
    assert "takes three" not in said
    assert "How near annotators are to the majority of all cannot be said: " in said
    assert "gave the same one label only" in said


@pytest.mark.parametrize(
    ("kinds", "maker"),
    [
        (("human", "human", "human"), "people"),
        (("simulated", "simulated", "simulated"), "simulated"),
        (("human", "simulated", "human"), "people and simulated"),
    ],
)
def test_references_are_peoples_only_where_all_who_count_are_people(kinds: tuple[str, ...], maker: str) -> None:
    mixed = {f"r{place}": Rater(kind) for place, kind in enumerate(kinds)}
    answers = judgments_of(PAIRS, 12, mixed | MODELS)
    found = check("relevance_consensus", consensus(answers, PAIRS))
    assert found["reference_by"].drop_nulls().unique().to_list() == [maker]
    assert labelled_by(found) == maker
    without = consensus(answers, PAIRS, tuple(name for name, rater in mixed.items() if rater.kind == "simulated"))
    assert without["reference_by"].drop_nulls().unique().to_list() == (["people"] if "human" in kinds else [])
    words = said_of_data("simulated", maker)
    assert ("SIMULATED" in words) == ("simulated" in kinds)
    assert ("people's answers" in words) == (maker == "people and simulated")


def test_the_sentence_names_nobody_and_says_who_should_be_looked_at() -> None:
    people = {f"{name}@example.org": Rater("human") for name in ("ann", "ben", "eva", "ida")}
    people |= {"zoe@example.org": Rater("human", threshold=-0.8, noise=1.0)}
    said = told(judgments_of(PAIRS, 10, people | MODELS))
    assert "annotator E should be looked at." in said
    assert "@" not in said


def test_the_figure_orders_raters_by_kind_and_rate_and_keeps_who_gave_no_answer() -> None:
    answers = judgments_of(PAIRS, 11, FOUR | MODELS)
    failures = pl.DataFrame({"rater": ["mute"], "error": ["unparsed"], "n": [600]})
    who = summary(answers, failures, NO_CHECKS, PAIRS, ("simulated-4",), draws=50)
    figure = figures.yes_rates(who.to_pandas())
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    kinds = ["simulated" if name.startswith("simulated") else "model" for name in names]
    assert kinds == ["simulated"] * 4 + ["model"] * 4
    assert names[3].startswith("simulated-4")
    assert names[-1] == "mute (n = 0)"
    rate = dict(who.select("rater", "yes_rate").iter_rows())
    drawn = [rate[name.split(" ")[0]] for name in names[4:7]]
    assert drawn == sorted(drawn)
    assert figures.yes_rates(table("relevance_raters").empty().to_pandas()).axes


@pytest.fixture
def judged(workspace: Path) -> Study:
    """A study with the demo's annotators and truth, and pairs of three requests, without running anything."""
    text = "title: Own\nsources: [{name: chat, format: chatlog, path: chats.jsonl, kind: real, origin: human}]\n"
    folder = add_study(workspace, "own", text + "annotation: {simulated: truth, excluded: [simulated-5]}\n")
    (folder / "truth").symlink_to(ROOT / "data" / "demo" / "truth")
    words = pl.read_ndjson(folder / "truth" / "relevance.jsonl")["attribute"].unique(maintain_order=True).head(40)
    pairs = pairs_of(3, 40).with_columns(
        prompt_id=pl.col("prompt_id").replace({"q000": "q01", "q001": "q17", "q002": "unread"}),
        attribute=pl.concat([words, words, words]),
    )
    prompts = pl.DataFrame({"prompt_id": ["q01", "q17", "unread"], "source": "x", "text": ["Dinner?", "Cake?", "Sky?"]})
    study = Study.open("own")
    study.write("prompts", prompts)
    study.write("pairs", pairs)
    return study


def test_the_overview_tells_of_relevance_and_who_stands_apart(judged: Study) -> None:
    said = overview(judged)
    assert "relevance: 120 items on 3 pages, 80 with an answer, 80 with two or more." in said
    assert "Krippendorff's alpha (nominal)" in said
    assert "Simulated annotators skip 40 pairs for which no truth is planted." in said
    assert "Excluded by study.yaml, and not counted in kappa and agreement: simulated-5." in said
    assert "Look at" not in said
    file = judged.folder / "study.yaml"
    file.write_text(file.read_text().replace(", excluded: [simulated-5]", ""))
    assert "Look at simulated-5: answers no to" in overview(Study.open("own"))


def test_the_overview_counts_people_before_simulated_annotators(judged: Study) -> None:
    pages = study_pages(judged)
    with Store(judged.answers_path("relevance")) as store:
        store.prepare("relevance", pages)
        rows = [
            {"rater": rater, "item_id": item.item_id, "label": "yes" if n % 4 == 0 else "no"}
            for rater in ("ann", "ben")
            for n, item in enumerate(pages[0].items)
        ]
        store.import_answers(rows, "import:test")
    said = overview(judged)
    assert "Agreement so far among people on 40 items: mean kappa 1.00" in said


def test_a_truth_without_relevance_and_no_answers_have_nothing_to_tell(judged: Study) -> None:
    (judged.folder / "truth").unlink()
    (judged.folder / "truth").mkdir()
    with pytest.raises(RecenterError, match="Nobody has judged anything"):
        overview(judged)
