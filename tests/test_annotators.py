"""Annotators: planted reliabilities are found again, who stands apart is found, and what is undefined says why."""

from __future__ import annotations

import tracemalloc
from itertools import combinations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from crowdkit.aggregation import DawidSkene
from polars.testing import assert_frame_equal

from recenter_utils import figures, tables
from recenter_utils.annotation import annotators, judgments, outliers
from recenter_utils.annotation.annotators import LABELS, page_names, sentence, summary, who, wide, without_answers
from recenter_utils.annotation.consensus import consensus, crossed
from recenter_utils.annotation.judgments import CHECKS
from recenter_utils.annotation.outliers import RULE, standing_apart
from recenter_utils.annotation.simulation import Annotators
from recenter_utils.stats import agreement, reliability
from tests.annotated import DEMO, demo_items, simulate

NO_CHECKS = CHECKS.to_frame()


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit in fewer steps, where what comes out does not matter."""
    monkeypatch.setattr(reliability, "STEPS", 10)


@pytest.fixture(scope="module")
def items() -> pl.DataFrame:
    """The attributes of the demo's truth."""
    return demo_items()


def of(*rows: tuple[str, str, str]) -> pl.DataFrame:
    """Return judgments from rows of item, rater, label."""
    found = pl.DataFrame(rows, schema=["item_id", "rater", "label"], orient="row")
    found = found.with_columns(rater_kind=pl.lit("human"), flagged=False)
    return judgments._as_judgments(found, "attribute_quality")


def planted(items: pl.DataFrame, rater: str) -> float:
    shares = {label: (items["label"] == label).mean() for label in LABELS}
    return sum(shares[label] * DEMO.annotators[rater].answers[label][label] for label in LABELS)


def test_planted_reliabilities_lie_within_their_intervals(items: pl.DataFrame) -> None:
    inside, off = [], []
    for seed in range(6):
        answers = wide(simulate(items, seed))
        fit = reliability.dawid_skene(answers, LABELS)
        users = annotators.clusters_of(answers, items, "user_id")
        found = reliability.reliabilities(answers, fit, clusters=users, draws=200, seed=seed)
        for row in found.itertuples():
            inside.append(row.low <= planted(items, row.rater) <= row.high)
            off.append(row.value - planted(items, row.rater))
    assert np.mean(inside) >= 0.9
    assert abs(np.mean(off)) < 0.04
    assert np.std(off) < 0.1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_fit_that_intervals_use_is_crowd_kits(items: pl.DataFrame) -> None:
    answers = wide(simulate(items, 1))
    fit = reliability.dawid_skene(answers, LABELS)
    codes = np.column_stack([pd.Categorical(answers[rater], categories=LABELS).codes for rater in answers])
    patterns, counts = np.unique(codes, axis=0, return_counts=True)
    ours = reliability._fitted(patterns, counts[None].astype(float), len(LABELS))[0]
    theirs = reliability.reliabilities(answers, fit, clusters=np.zeros(len(answers)))
    assert ours == pytest.approx(theirs["value"].to_numpy(), abs=1e-6)
    long = answers.rename_axis("task").reset_index().melt("task", var_name="worker", value_name="label").dropna()
    direct = DawidSkene(n_iter=reliability.STEPS, tol=-np.inf).fit(long)
    assert fit.priors.to_dict() == pytest.approx(direct.priors_.to_dict())
    assert fit.posterior.loc[direct.probas_.index, direct.probas_.columns].to_numpy() == pytest.approx(
        direct.probas_.to_numpy(),
        abs=1e-9,  # crowd-kit's floor is a tenth of that
    )
    assert fit.confusion.groupby(["rater", "true"])["share"].sum().to_numpy() == pytest.approx(1)


def test_dawid_skene_is_nearer_to_the_truth_than_the_majority(items: pl.DataFrame) -> None:
    better = []
    for seed in range(3):
        found = consensus(simulate(items, seed), items, ("simulated-5",)).join(
            items.select("item_id", "label"), on="item_id"
        )
        by_model = (found["dawid_skene"] == found["label"]).mean()
        better.append(by_model - (found["majority"] == found["label"]).fill_null(False).mean())
    assert np.mean(better) > 0


def test_the_planted_outlier_stands_apart_and_nobody_else(items: pl.DataFrame) -> None:
    for seed in range(25):
        answers = wide(simulate(items, seed))
        users = annotators.clusters_of(answers, items, "user_id")
        pairs = agreement.pairwise(answers, LABELS, clusters=users, draws=300, seed=seed)
        apart = standing_apart(answers, pairs, draws=300, seed=seed)
        assert set(apart) == {"simulated-5"}, (seed, apart)
        assert "answers accepted to" in apart["simulated-5"]
        assert "median kappa" in apart["simulated-5"]


@pytest.mark.parametrize(("value", "high", "apart"), [(0.30, 0.38, False), (0.15, 0.45, False), (0.15, 0.25, True)])
def test_low_agreement_counts_if_it_is_under_half_of_the_others_and_surely_lower(
    value: float, high: float, apart: bool
) -> None:
    answers = pd.DataFrame({rater: [LABELS[n % 3] for n in range(30)] for rater in "abcd"})
    pairs = pd.DataFrame(
        [(a, b, *((0.4, 0.5) if "d" not in (a, b) else (value, high))) for a, b in combinations("abcd", 2)],
        columns=["rater_a", "rater_b", "value", "high"],
    )
    assert list(standing_apart(answers, pairs)) == (["d"] if apart else [])


def test_the_rule_on_the_page_has_the_numbers_that_the_code_has() -> None:
    assert f"{outliers.FARTHEST * 100:.0f} points" in RULE
    assert f"less than {outliers.RAREST:.0%}" in RULE
    assert f"less than {outliers.PASSED:.0%} of five" in RULE
    assert f"fewer than {outliers.FEWEST_SHARED} shared" in RULE
    assert outliers.FEWEST_CHECKS == 5
    assert outliers.FEWEST_SHARED == agreement.LEAST_SHARED
    assert "median upper end of its intervals being below theirs" in RULE


@pytest.mark.usefixtures("few_steps")
def test_somebody_who_accepts_everything_stands_apart_and_equals_do_not() -> None:
    generator = np.random.default_rng(1)
    rows = []
    for n in range(60):
        true = generator.choice(LABELS)
        for rater in ("ann", "ben", "eva"):
            rows.append((f"i{n}", rater, true if generator.random() < 0.7 else str(generator.choice(LABELS))))
        rows.append((f"i{n}", "yes", "accepted"))
    found = summary(of(*rows), NO_CHECKS, pl.DataFrame({"item_id": [f"i{n}" for n in range(60)], "user_id": "u"}))
    assert found.filter(pl.col("stands_apart").is_not_null())["rater"].to_list() == ["yes"]


@pytest.mark.usefixtures("few_steps")
def test_of_two_annotators_nobody_can_say_who_stands_apart_but_checks_can(items: pl.DataFrame) -> None:
    two = simulate(items, 1).filter(pl.col("rater").is_in(["simulated-1", "simulated-5"]))
    assert summary(two, NO_CHECKS, items)["stands_apart"].null_count() == 2
    checks = pl.DataFrame({"rater": "simulated-5", "item_id": list("abcde"), "passed": [True] + 4 * [False]})
    found = summary(two, checks.with_columns(label=pl.lit("accepted")), items)
    assert found["stands_apart"].to_list() == [None, "passed 1 of 5 check items"]
    assert found.select("checks", "checks_passed").rows() == [(0, 0), (5, 1)]


@pytest.mark.usefixtures("few_steps")
def test_the_order_of_rows_changes_no_number(items: pl.DataFrame) -> None:
    answers = simulate(items, 3)
    mixed = answers.sample(fraction=1, shuffle=True, seed=1)
    other = items.sample(fraction=1, shuffle=True, seed=2)
    found = summary(answers, NO_CHECKS, items, ("simulated-5",), draws=50)
    assert_frame_equal(found, summary(mixed, NO_CHECKS, other, ("simulated-5",), draws=50))
    assert_frame_equal(consensus(answers, items), consensus(mixed, other))
    tables.check("annotators", found)
    assert found.filter("excluded")["rater"].to_list() == ["simulated-5"]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([(f"i{n}", rater, LABELS[n % 3]) for n in range(30) for rater in "ab"], "2 annotators cannot show"),
        ([(f"i{n}", rater, "accepted") for n in range(30) for rater in "abc"], "one and the same answer"),
        ([(f"i{n}", rater, LABELS[n % 3]) for n in range(5) for rater in "abc"], "5 attributes have two answers"),
        ([(f"{rater}{n}", rater, LABELS[n % 3]) for n in range(30) for rater in "abc"], "0 attributes have two"),
        ([("i", "a", "accepted")], "1 annotator cannot show"),
    ],
)
def test_too_little_to_fit_is_undefined_with_a_reason(rows: list[tuple[str, str, str]], reason: str) -> None:
    answers = of(*rows)
    known = answers.select("item_id").unique().with_columns(user_id="item_id", source=pl.lit("s"), kind=pl.lit("real"))
    fit = reliability.dawid_skene(wide(answers), LABELS)
    assert fit.reason.startswith(reason) or reason in fit.reason
    found = reliability.reliabilities(wide(answers), fit)
    assert found[["value", "low", "high"]].isna().all(axis=None)
    assert set(found["reason"]) == {fit.reason}
    people = summary(answers, NO_CHECKS, known)
    assert people["reliability"].null_count() == len(people)
    tables.check("annotators", people)
    together = consensus(answers, known)
    tables.check("consensus", together)
    assert together["dawid_skene"].null_count() == len(together)


@pytest.mark.usefixtures("few_steps")
def test_one_user_has_a_value_and_no_interval(items: pl.DataFrame) -> None:
    found = summary(simulate(items, 1), NO_CHECKS, items.with_columns(user_id=pl.lit("u")))
    assert found["reliability"].null_count() == 0
    assert found["reliability_low"].null_count() == len(found)


def test_no_answers_make_empty_tables(items: pl.DataFrame) -> None:
    nothing = of(("i", "a", "accepted")).clear()
    assert_frame_equal(summary(nothing, NO_CHECKS, items), tables.table("annotators").empty())
    assert_frame_equal(consensus(nothing, items), tables.table("consensus").empty())
    assert crossed(consensus(nothing, items)).is_empty()


def test_majority_is_more_than_half_and_a_problem_at_least_half() -> None:
    said = {"3-0": "aaa", "2-1": "aau", "1-2": "aur", "1-1": "au", "2-2": "aaur", "0-3": "uur"}
    short = {"a": "accepted", "u": "uncertain", "r": "rejected"}
    rows = [(item, f"r{n}", short[label]) for item, labels in said.items() for n, label in enumerate(labels)]
    known = pl.DataFrame({"item_id": list(said), "user_id": "u", "source": "s", "kind": "real"})
    found = {row["item_id"]: row for row in consensus(of(*rows), known).to_dicts()}
    assert {item: row["majority"] for item, row in found.items()} == {
        "3-0": "accepted", "2-1": "accepted", "1-2": None, "1-1": None, "2-2": None, "0-3": "uncertain",
    }  # fmt: skip
    assert {item for item, row in found.items() if row["problematic"]} == {"1-2", "1-1", "2-2", "0-3"}
    assert found["2-2"]["accepted"] == 2


@pytest.mark.usefixtures("few_steps")
def test_excluded_annotators_count_in_no_consensus(items: pl.DataFrame) -> None:
    answers = simulate(items, 1)
    without = consensus(answers.filter(pl.col("rater") != "simulated-5"), items)
    assert_frame_equal(consensus(answers, items, ("simulated-5",)), without)
    assert not without.equals(consensus(answers, items))


def test_of_three_the_bad_one_alone_stands_apart(items: pl.DataFrame) -> None:
    three = {name: DEMO.annotators[f"simulated-{name}"].model_copy(update={"part": "all"}) for name in "125"}
    chosen = Annotators(annotators={f"simulated-{name}": one for name, one in three.items()})
    for seed in range(25):
        answers = wide(simulate(items, seed, chosen))
        users = annotators.clusters_of(answers, items, "user_id")
        pairs = agreement.pairwise(answers, LABELS, clusters=users, draws=300, seed=seed)
        apart = standing_apart(answers, pairs, draws=300, seed=seed)
        assert set(apart) == {"simulated-5"}, (seed, apart)


def test_ten_thousand_attributes_are_compared_in_little_memory() -> None:
    generator = np.random.default_rng(1)
    codes = np.where(generator.random((10_000, 3)) < [0.6, 0.6, 0.1], generator.integers(3, size=(10_000, 1)), 2)
    answers = pd.DataFrame(np.array(LABELS, dtype=object)[codes], columns=["simulated-a", "b", "c"])
    pairs = agreement.pairwise(answers, LABELS, draws=0)
    tracemalloc.start()
    assert list(standing_apart(answers, pairs)) == ["c"]
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 200 * 2**20


@pytest.mark.usefixtures("few_steps")
def test_who_is_excluded_changes_no_number_of_those_who_count(items: pl.DataFrame) -> None:
    answers = simulate(items, 2)
    found = summary(answers, NO_CHECKS, items, ("simulated-4", "simulated-5"), draws=50)
    kept = answers.filter(~pl.col("rater").is_in(["simulated-4", "simulated-5"]))
    assert_frame_equal(found.filter(~pl.col("excluded")), summary(kept, NO_CHECKS, items, draws=50))
    # The mean over raters of their means over pairs is the mean over pairs, where each is in equally many.
    answered = wide(kept)
    together = agreement.overall(answered, LABELS, clusters=annotators.clusters_of(answered, items, "user_id"), draws=0)
    assert found.filter(~pl.col("excluded"))["mean_kappa"].mean() == pytest.approx(together["value"][0])
    beside = summary(answers.filter(pl.col("rater") != "simulated-4"), NO_CHECKS, items, ("simulated-5",), draws=50)
    assert_frame_equal(found.filter(rater="simulated-5"), beside.filter(rater="simulated-5"))
    assert "accepted" in found.filter(rater="simulated-5")["stands_apart"][0]


def test_a_pair_that_shares_little_does_not_count_in_a_mean_kappa() -> None:
    pairs = pd.DataFrame(
        [("a", "b", 100, 0.4), ("a", "c", 5, -0.2), ("b", "c", 5, 0.0)], columns=["rater_a", "rater_b", "n", "value"]
    )
    assert annotators.mean_kappa(pairs, "a") == pytest.approx(0.4)
    assert annotators.mean_kappa(pairs, "c") == pytest.approx(-0.1)


@pytest.mark.usefixtures("few_steps")
def test_who_answered_only_check_items_is_in_the_table_without_shares(items: pl.DataFrame) -> None:
    checks = pl.DataFrame({"rater": "zoe", "item_id": list("abcde"), "label": "accepted", "passed": 5 * [False]})
    for answers in (simulate(items, 1), simulate(items, 1).clear()):
        found = tables.check("annotators", summary(answers, checks, items, draws=20))
        row = found.filter(rater="zoe").row(0, named=True)
        assert (row["n_items"], row["accepted"], row["mean_kappa"], row["reliability"]) == (0, None, None, None)
        assert (row["rater_kind"], row["checks"], row["stands_apart"]) == ("human", 5, "passed 0 of 5 check items")
        figures.annotator_labels(found.to_pandas())


# -- words ------------------------------------------------------------------------------------------------


def people(**kinds: str) -> pl.DataFrame:
    """Return judgments of each of these raters on thirty attributes, in which one label is as good as another."""
    rows = [(f"i{n:02}", rater, LABELS[n % 3]) for n in range(30) for rater in kinds]
    return of(*rows).with_columns(rater_kind=pl.col("rater").replace_strict(kinds))


def said(answers: pl.DataFrame, excluded: tuple[str, ...] = (), checks: pl.DataFrame = NO_CHECKS) -> str:
    items = pl.DataFrame({"item_id": [f"i{n:02}" for n in range(30)], "user_id": [f"u{n % 5}" for n in range(30)]})
    counted = annotators.included(answers, excluded)
    kept = wide(counted)
    together = agreement.overall(kept, LABELS, clusters=annotators.clusters_of(kept, items, "user_id"), draws=50)
    work = judgments.progress(counted, items.with_columns(group=pl.lit("all")), 2)
    return sentence(summary(answers, checks, items, excluded, draws=5), kept, together, work, "own")


@pytest.mark.usefixtures("few_steps")
def test_the_claim_says_who_counts() -> None:
    mixed = people(ann="human", ben="human", **{"simulated-1": "simulated"})
    assert who(mixed) == "2 people and 1 simulated annotator"
    assert "The 2 people and 1 simulated annotator who count agree with" in said(mixed)
    assert "; nobody stands apart." in said(mixed)
    assert said(mixed, ("ann", "ben")).endswith("Only 1 simulated annotator counts, and agreement needs two.")
    assert said(people(ann="human"), ("ann",)).endswith(
        "Nobody counts: study.yaml excludes all who answered (1 person)."
    )
    assert said(mixed.clear()).startswith("Nobody has judged")


@pytest.mark.usefixtures("few_steps")
def test_nobody_is_said_not_to_stand_apart_who_could_not_be_compared() -> None:
    mixed = people(ann="human", ben="human", eva="human")
    assert said(mixed, ("eva",)).endswith("too few share 20 attributes to say whether anybody stands apart.")
    late = pl.concat([mixed, people(ida="human").head(4)])
    assert said(late).endswith("of the 3 who can be compared, nobody stands apart.")


@pytest.mark.usefixtures("few_steps")
def test_who_is_excluded_already_is_not_to_be_looked_at() -> None:
    mixed = people(ann="human", ben="human", eva="human")
    checks = pl.DataFrame({"rater": "ben", "item_id": list("abcde"), "label": "accepted", "passed": 5 * [False]})
    assert said(mixed, (), checks).endswith("; annotator B should be looked at.")
    assert "looked at" not in said(mixed, ("ben",), checks)


def test_pages_call_people_by_letters_in_the_order_of_the_table() -> None:
    raters = [*(f"p{n:02}" for n in range(28)), "simulated-1"]
    kinds = ["human"] * 28 + ["simulated"]
    found = pl.DataFrame({"rater": raters, "rater_kind": kinds})
    names = page_names(found)
    assert [names[f"p{n:02}"] for n in (0, 1, 25, 26, 27)] == [
        f"annotator {name}" for name in ("A", "B", "Z", "AA", "AB")
    ]
    assert names["simulated-1"] == "simulated-1"
    shown = annotators.for_page(pl.DataFrame({"raters": [["p01", "gone@example.org"], []]}), names)
    assert shown["raters"].to_list() == [["annotator B", "another annotator"], []]
    assert annotators.for_page(found.clear(), {}).is_empty()


def test_an_excluded_name_without_answers_is_told_without_being_published() -> None:
    found = pl.DataFrame({"rater": ["anna@example.org", "simulated-5"], "rater_kind": ["human", "simulated"]})
    assert without_answers(("anna@example.org", "simulated-5"), found) == ""
    assert without_answers(("ana@example.org",), found) == (
        "In annotation.excluded, name 1 has no answers here. Did you mean annotator A?"
    )
    assert without_answers(("simulated-5", "qq"), found) == (
        "In annotation.excluded, name 2 has no answers here. Known: annotator A, simulated-5."
    )
