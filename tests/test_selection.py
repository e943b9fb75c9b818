"""Selection quality: the same pairs for every row, nothing left out silently, and a ceiling that compares."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn import metrics

from recenter_utils import figures, published
from recenter_utils.relevance import ceiling, selection, selectors
from recenter_utils.relevance.consensus import consensus
from recenter_utils.settings import Selector
from recenter_utils.stats import references
from recenter_utils.tables import check, table
from recenter_utils.training.grpo import runs, smoke
from tests.relevant import MODELS, PEOPLE, Rater, judgments_of, pairs_of

NOBODY = table("relevance_raters").empty()
NONE = table("retrieval_judgments").empty()


class Planted:
    """A study with planted raters: its judgments, consensus, split and selections."""

    def __init__(self, raters: dict[str, Rater], prompts: int = 30, attributes: int = 30, seed: int = 1) -> None:
        self.pairs = pairs_of(prompts, attributes)
        self.judgments = judgments_of(self.pairs, seed, raters)
        self.consensus = consensus(self.judgments, self.pairs)
        self.parts = selectors.split(self.consensus, Selector(test=0.3), 0)

    def found(self, held_out: pl.DataFrame = NONE, raters: pl.DataFrame = NOBODY, **more: Any) -> pl.DataFrame:
        return selection.selections([self.judgments, NONE], [held_out], raters, self.consensus, self.parts, **more)


def trained(study: Planted, name: str) -> pl.DataFrame:
    """Return a planted model's answers on the test part as those of a trained selector."""
    held = study.parts.filter(split="test")["pair_id"]
    part = study.judgments.filter(pl.col("rater") == name, pl.col("item_id").is_in(held.to_list()))
    return part.with_columns(rater=pl.lit("trained x"), rater_kind=pl.lit("trained"))


def values(scores: pl.DataFrame, items: str = "all") -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["selector"], row["metric"]): row for row in scores.filter(items=items).to_dicts()}


def test_every_row_is_on_the_same_pairs_and_trained_rows_are_on_the_test_part_alone() -> None:
    study = Planted(PEOPLE | MODELS | {"skips": Rater("llm", skips=0.3)})
    scores = check("selection_scores", selection.measure(study.found(trained(study, "both")), 0))
    for items, n in (("all", len(study.consensus)), ("test", len(study.parts.filter(split="test")))):
        part = scores.filter(items=items)
        assert set(part["n"]) == {n}
        assert part["n_positive"].n_unique() == 1
    assert "trained x" not in set(scores.filter(items="all")["selector"])
    assert set(scores.filter(items="test")["selector"]) - set(scores.filter(items="all")["selector"]) == {"trained x"}
    # The same answers under another name and in another table: the same numbers.
    test = values(scores, "test")
    assert test["trained x", "f1"]["value"] == test["both", "f1"]["value"]


def test_point_values_equal_scikit_learns_where_an_unanswered_pair_is_one_not_selected() -> None:
    study = Planted(PEOPLE | {"skips": Rater("llm", threshold=0.2, noise=1.0, skips=0.25)})
    scores = values(check("selection_scores", selection.measure(study.found(), 0)))
    said = study.consensus.join(
        study.judgments.filter(rater="skips").select("label", pair_id="item_id"), on="pair_id", how="left"
    )
    truth = (said["reference"] == "yes").to_numpy()
    chosen = (said["label"] == "yes").fill_null(value=False).to_numpy()
    for name, function in (
        ("precision", metrics.precision_score),
        ("recall", metrics.recall_score),
        ("f1", metrics.f1_score),
        ("accuracy", metrics.accuracy_score),
        ("kappa", metrics.cohen_kappa_score),
    ):
        assert scores["skips", name]["value"] == pytest.approx(function(truth, chosen))
    assert scores["skips", "f1"]["n_unanswered"] == said["label"].null_count() > 0
    assert scores["skips", "flag_rate"]["value"] == pytest.approx(chosen.mean())


def test_a_lenient_judge_finds_nearly_all_and_much_besides() -> None:
    scores = values(selection.measure(Planted(PEOPLE | MODELS).found(), 0))
    lenient, noisy = (
        {metric: scores[name, metric]["value"] for metric in ("recall", "precision")} for name in ("lenient", "noisy")
    )
    assert lenient["recall"] > 0.95
    assert lenient["precision"] < 0.5
    assert noisy["recall"] < 0.6


def test_baselines_are_what_arithmetic_says() -> None:
    scores = values(selection.measure(Planted(PEOPLE).found(), 0))
    base = scores["select everything", "precision"]["value"]
    assert scores["select everything", "recall"]["value"] == 1
    assert scores["select everything", "f1"]["value"] == pytest.approx(2 * base / (1 + base))
    assert scores["select nothing", "precision"]["value"] is None
    assert scores["select nothing", "precision"]["reason"] == "nothing is predicted positive"
    for metric in ("precision", "recall", "f1", "flag_rate"):
        assert scores["select at random", metric]["value"] == pytest.approx(base)
    assert scores["select at random", "kappa"]["value"] == 0


def test_knowing_how_many_of_each_request_are_relevant_is_worth_what_drawing_shows() -> None:
    study = Planted(PEOPLE, prompts=40)
    scores = values(selection.measure(study.found(), 0))
    known = study.consensus.with_columns(relevant=(pl.col("reference") == "yes"))
    share = known.select(pl.col("relevant").mean().over("prompt_id"))["relevant"].to_numpy()
    truth = known["relevant"].to_numpy()
    rng = np.random.default_rng(0)
    drawn = [rng.random(len(share)) < share for _ in range(100)]
    own = selection.WITHIN
    for metric, function in (
        ("precision", metrics.precision_score),
        ("recall", metrics.recall_score),
        ("accuracy", metrics.accuracy_score),
        ("kappa", metrics.cohen_kappa_score),
    ):
        expected = np.mean([function(truth, one) for one in drawn])
        assert scores[own, metric]["value"] == pytest.approx(expected, abs=0.01)
    assert scores[own, "precision"]["value"] > scores[selection.AT_RANDOM, "precision"]["value"] + 0.05
    assert scores[own, "flag_rate"]["value"] == pytest.approx(truth.mean())


def test_a_judge_that_always_says_yes_has_the_scores_of_selecting_everything() -> None:
    scores = values(selection.measure(Planted(PEOPLE | {"always": Rater("llm", threshold=-99)}).found(), 0))
    for metric in ("accuracy", "precision", "recall", "f1", "kappa", "flag_rate"):
        assert scores["always", metric]["value"] == scores["select everything", metric]["value"]


def test_a_model_that_never_answered_has_a_row_that_says_so() -> None:
    study = Planted(PEOPLE)
    silent = dict.fromkeys(NOBODY.columns) | {"rater": "silent", "rater_kind": "llm"}
    found = study.found(raters=pl.DataFrame([silent], schema=NOBODY.schema))
    row = values(selection.measure(found, 0))["silent", "f1"]
    assert row["n_unanswered"] == row["n"] == len(study.consensus)
    assert row["value"] == 0
    assert row["reason"].startswith("nothing is predicted positive")


def test_whom_the_study_file_excludes_has_no_row() -> None:
    study = Planted(PEOPLE | MODELS)
    assert "both" not in set(study.found(excluded=("both",))["selector"])


def test_a_model_asked_twice_has_two_rows() -> None:
    study = Planted(PEOPLE | MODELS)
    again = study.judgments.filter(rater="both")
    assert {"both", "both (asked again)"} <= set(study.found(again).filter(items="test")["selector"])


def test_ties_are_in_no_row_and_counted_in_words() -> None:
    study = Planted({"a": Rater(noise=1.0), "b": Rater(noise=1.0), "m": Rater("llm")})
    ties = study.consensus["reference"].null_count()
    assert ties > 0
    found = study.found()
    assert set(selection.measure(found, 0).filter(items="all")["n"]) == {len(study.consensus) - ties}
    assert f"{ties:,} more have no reference" in selection.on_what(found, "all")


def test_the_words_say_how_many_requests_an_interval_rests_on() -> None:
    study = Planted({f"simulated-{n}": Rater(threshold=1.9) for n in (1, 2, 3)}, attributes=8)
    yes = study.consensus.filter(reference="yes")
    assert 0 < yes["prompt_id"].n_unique() < 30
    said = f"240 pairs of 30 requests, {len(yes)} of them relevant, in {yes['prompt_id'].n_unique()} of the requests"
    assert selection.on_what(study.found(), "all") == said


def test_no_positive_pair_leaves_recall_undefined_with_the_reason() -> None:
    never = {f"simulated-{n}": Rater(threshold=99) for n in (1, 2, 3)}
    study = Planted(never | {"m": Rater("llm")})
    scores = check("selection_scores", selection.measure(study.found(), 0))
    recall = values(scores)["m", "recall"]
    assert recall["value"] is None
    assert recall["reason"] == "nothing is positive in truth"
    said = selection.sentence(study.found(), scores, 0)
    assert f"On {len(study.consensus):,} pairs of 30 requests, 0 of them relevant, in 0 of the requests: " in said
    assert "m, has an F1 of 0.00 (no interval: " in said
    assert "selecting everything reaches 0.00" in said


def test_the_difference_is_on_the_same_held_out_pairs() -> None:
    study = Planted(PEOPLE | MODELS | {"people's": Rater("llm", noise=0.4)})
    sharp = trained(study, "people's")
    study.judgments = study.judgments.filter(pl.col("rater") != "people's")
    found = study.found(sharp)
    scores = selection.measure(found, 0)
    gaps = selection.differences(found, scores, 0)
    by_name = values(scores, "test")
    for row in gaps.to_dicts():
        expected = by_name["trained x", row["metric"]]["value"] - by_name[row["against"], row["metric"]]["value"]
        assert row["value"] == pytest.approx(expected)
    f1 = gaps.filter(metric="f1").to_dicts()[0]
    assert f1["low"] > 0
    said = selection.sentence(found, scores, 0)
    assert f"less that model's: {f1['value']:+.2f}" in said


# -- the ceiling ------------------------------------------------------------------------------------------------------


def test_each_annotator_is_held_against_the_majority_of_the_others_by_hand() -> None:
    study = Planted({f"simulated-{n}": Rater(skips=0.1, noise=0.8) for n in range(5)} | {"m": Rater("llm", skips=0.2)})
    found = study.found()
    scores = check("left_out_scores", ceiling.left_out(study.judgments, found, 0))
    wide = study.judgments.pivot("rater", index="item_id", values="label")
    people = [name for name in wide.columns if name.startswith("simulated")]
    for name in people:
        rest = [other for other in people if other != name]
        yes, no = (
            pl.sum_horizontal((pl.col(other) == label).fill_null(value=False) for other in rest)
            for label in ("yes", "no")
        )
        counted = wide.drop_nulls(name).with_columns(yes=yes, no=no)
        kept = counted.filter(pl.col("yes") != pl.col("no"))
        truth = (kept["yes"] > kept["no"]).to_numpy()
        row = scores.filter(left_out=name, selector=name, items="all", metric="f1").to_dicts()[0]
        assert row["n"] == len(kept)
        assert row["n_ties"] == len(counted.filter(pl.col("yes") == pl.col("no"), pl.col("yes") > 0)) > 0
        assert row["value"] == pytest.approx(metrics.f1_score(truth, (kept[name] == "yes").to_numpy()))
        model = scores.filter(left_out=name, selector="m", items="all", metric="f1").to_dicts()[0]
        assert model["n"] == row["n"]
        assert model["n_unanswered"] == kept["m"].null_count() > 0
        chosen = (kept["m"] == "yes").fill_null(value=False).to_numpy()
        assert model["value"] == pytest.approx(metrics.f1_score(truth, chosen))
    mean = scores.filter(left_out=ceiling.IN_TURN, selector=ceiling.ANNOTATORS, items="all", metric="f1")
    singles = scores.filter(pl.col("left_out") == pl.col("selector"), items="all", metric="f1")
    assert mean["value"][0] == pytest.approx(singles["value"].mean())
    assert mean["n"][0] == singles["n"].sum()


@pytest.mark.parametrize("seed", range(3))
def test_one_more_rater_of_the_same_kind_reaches_what_the_annotators_reach(seed: int) -> None:
    """A model planted like the annotators is, within its interval, as good as one of them; a noisier one is not."""
    study = Planted(PEOPLE | {"alike": Rater("llm"), "noisier": Rater("llm", noise=2.0)}, 41, 60, seed)
    found = study.found()
    scores = ceiling.left_out(study.judgments, found, 0)
    held = ceiling.others(study.judgments, study.pairs.select("pair_id", "prompt_id").sort("pair_id"))
    gaps = {}
    for name in ("alike", "noisier"):
        chosen = found.filter(selector=name, items="all").sort("pair_id")["selected"].to_numpy().astype(float)
        repeated = np.repeat(chosen[:, None], 3, axis=1)
        gaps[name] = references.mean_difference(held.truths, repeated, held.answers, "f1", held.requests)
    assert abs(gaps["alike"].value) < 0.05
    assert gaps["noisier"].low > 0.1
    expected = _expected_f1(PEOPLE["simulated-1"])
    mean = scores.filter(left_out=ceiling.IN_TURN, selector=ceiling.ANNOTATORS, items="all", metric="f1").to_dicts()[0]
    assert mean["low"] - 0.03 < expected < mean["high"] + 0.03


def _expected_f1(rater: Rater) -> float:
    """Return the F1 of one such rater against two others where they agree, from a million draws of the model itself."""
    rng = np.random.default_rng(0)
    latent = rng.standard_normal(1_000_000)
    own, first, second = (latent + rater.noise * rng.standard_normal(len(latent)) > rater.threshold for _ in range(3))
    agreed = first == second
    return float(metrics.f1_score(first[agreed], own[agreed]))


def test_pairs_on_which_the_others_agree_are_clearer_and_fewer_of_them_are_relevant() -> None:
    """With two others: more of each model's answers are right than against the majority, and precision is lower."""
    study = Planted(PEOPLE | MODELS)
    found = study.found()
    left = ceiling.left_out(study.judgments, found, 0)
    assert left.filter(pl.col("n_ties") > 0).height == left.height
    own = left.filter(left_out="simulated-1", selector="simulated-1", items="all", metric="f1").row(0, named=True)
    assert own["n"] + own["n_ties"] == len(study.pairs)
    scores = values(selection.measure(found, 0))
    mean = left.filter(left_out=ceiling.IN_TURN, items="all")
    beside = {(row["selector"], row["metric"]): row["value"] for row in mean.to_dicts()}
    for name in MODELS:
        assert beside[name, "accuracy"] > scores[name, "accuracy"]["value"] + 0.01
        assert beside[name, "precision"] < scores[name, "precision"]["value"] - 0.01


def test_a_yardstick_is_no_upper_bound() -> None:
    """A model without errors of its own passes annotators who have some."""
    study = Planted(PEOPLE | {"surer": Rater("llm", noise=0.0)})
    left = ceiling.left_out(study.judgments, study.found(), 0).filter(left_out=ceiling.IN_TURN, items="all")
    f1 = dict(left.filter(metric="f1").select("selector", "value").iter_rows())
    assert f1["surer"] > f1[ceiling.ANNOTATORS]


def test_each_annotator_is_of_its_own_kind_and_a_mean_over_both_of_none() -> None:
    people = {"ann": Rater("human"), "ben": Rater("human"), "simulated-1": Rater()}
    study = Planted(people | {"m": Rater("llm")})
    found = study.found()
    scores = check("left_out_scores", ceiling.left_out(study.judgments, found, 0))
    own = scores.filter(pl.col("left_out") == pl.col("selector"))
    assert dict(own.select("left_out", "rater_kind").iter_rows()) == {name: one.kind for name, one in people.items()}
    means = scores.filter(left_out=ceiling.IN_TURN)
    assert means.filter(selector=ceiling.ANNOTATORS)["rater_kind"].null_count() == 6 * 2
    assert set(means.filter(selector="m")["rater_kind"]) == {"llm"}
    said = ceiling.sentence(study.judgments, found, scores, 0)
    assert said.startswith("Held against the majority of the others, an annotator reaches")
    figure = figures.ceiling(means.to_pandas())
    assert "people and simulated annotators" in [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(ceiling.means(scores, "all")) == 2


@pytest.mark.parametrize(("kind", "one"), [("human", "person"), ("simulated", "simulated annotator")])
def test_the_yardstick_says_whose_it_is(kind: str, one: str) -> None:
    study = Planted({name: Rater(kind) for name in "abc"} | {"m": Rater("llm")})
    found = study.found()
    scores = ceiling.left_out(study.judgments, found, 0)
    assert set(scores.filter(selector=ceiling.ANNOTATORS)["rater_kind"]) == {kind}
    said = ceiling.sentence(study.judgments, found, scores, 0)
    assert f"of the others, a {one} reaches an F1 of" in said
    assert f"The {one}'s F1 less the selector's: " in said


# -- a smoke run ------------------------------------------------------------------------------------------------------


def test_a_smoke_run_is_left_out_and_the_page_says_so() -> None:
    study = Planted(PEOPLE | {"m": Rater("llm", noise=2.0), "sharp": Rater("llm", noise=0.0)})
    best = trained(study, "sharp")
    study.judgments = study.judgments.filter(pl.col("rater") != "sharp")
    held = [best.with_columns(rater=pl.lit(name)) for name in selection.SMOKE]
    smoked = pl.concat([held[0].with_columns(rater_kind=pl.lit("llm")), held[1]])
    found = study.found(smoked)
    assert found.equals(study.found())
    scores = selection.measure(found, 0)
    assert selection.differences(found, scores, 0).is_empty()
    assert "No trained selector has an F1" in selection.sentence(found, scores, 0)
    assert "smoke" not in "".join(ceiling.left_out(study.judgments, found, 0)["selector"])
    said = selection.smoke_run([NONE, smoked])
    assert said == (
        " Left out: smoke-model and smoke-model + GRPO. That was a smoke run, and no model: see the page on GRPO."
    )
    assert selection.smoke_run([NONE, best]) == ""


def test_a_smoke_run_is_known_by_the_names_that_it_gives_itself() -> None:
    run = object.__new__(runs.Trained)
    run.record = {"title": smoke.name_of(f"folder/{smoke.NAME}")}
    assert (run.base, run.name) == selection.SMOKE


def test_two_annotators_are_held_against_each_other_and_one_against_nobody() -> None:
    two = Planted({"a": Rater(), "b": Rater(), "m": Rater("llm")})
    found = two.found()
    scores = check("left_out_scores", ceiling.left_out(two.judgments, found, 0))
    assert set(scores["n_ties"]) == {0}
    assert "the other one" in ceiling.sentence(two.judgments, found, scores, 0)
    one = Planted({"a": Rater(), "m": Rater("llm")})
    found = one.found()
    scores = check("left_out_scores", ceiling.left_out(one.judgments, found, 0))
    assert scores.is_empty()
    assert "takes two annotators" in ceiling.sentence(one.judgments, found, scores, 0)


def test_means_equal_those_of_single_references_and_leave_undefined_ones_out() -> None:
    rng = np.random.default_rng(0)
    truths = (rng.random((200, 3)) < 0.3).astype(float)
    truths[rng.random((200, 3)) < 0.2] = np.nan
    chosen = (rng.random((200, 3)) < 0.4).astype(float)
    chosen[:, 2] = 0  # precision is undefined there
    clusters = np.repeat(np.arange(20), 10)
    found = references.mean_scores(truths, chosen, clusters).set_index("metric")
    single = []
    for place in range(3):
        kept = ~np.isnan(truths[:, place])
        single.append((truths[kept, place], chosen[kept, place]))
    assert found.loc["recall", "value"] == pytest.approx(np.mean([metrics.recall_score(*pair) for pair in single]))
    assert found.loc["precision", "value"] == pytest.approx(
        np.mean([metrics.precision_score(*pair) for pair in single[:2]])
    )
    assert found.loc["precision", "reason"].startswith("undefined on 1 of 3 references")
    assert (found["low"] <= found["value"]).all()
    assert (found["value"] <= found["high"]).all()
    assert found.loc["f1", "n"] == sum(len(pair[0]) for pair in single)
    same = references.mean_difference(truths, chosen, chosen, "f1", clusters)
    assert same[:3] == (0, 0, 0)


# -- what cannot be said, and what is published -----------------------------------------------------------------------


def test_an_empty_study_gives_empty_tables_figures_and_sentences() -> None:
    empty = Planted(PEOPLE, prompts=0)
    found = empty.found()
    scores = check("selection_scores", selection.measure(found, 0))
    left = check("left_out_scores", ceiling.left_out(empty.judgments, found, 0))
    assert scores.is_empty()
    assert left.is_empty()
    assert selection.differences(found, scores, 0).is_empty()
    assert "no pair has a reference" in selection.sentence(found, scores, 0)
    assert "takes two annotators" in ceiling.sentence(empty.judgments, found, left, 0)
    for items in selection.ITEMS:
        assert selection.wide(scores, items).is_empty()
        assert ceiling.means(left, items).is_empty()
        assert selection.on_what(found, items).startswith("0 pairs")
    assert ceiling.single(left, {}).is_empty()
    figures.selection_quality(scores.to_pandas())
    figures.ceiling(left.to_pandas())
    figures.learning(selectors.history(None).to_pandas(), 1.0)


def test_a_study_of_people_alone_has_baselines_and_a_ceiling() -> None:
    study = Planted(PEOPLE)
    found = study.found()
    scores = selection.measure(found, 0)
    left = ceiling.left_out(study.judgments, found, 0)
    assert "no model has an F1" in selection.sentence(found, scores, 0)
    assert ceiling.sentence(study.judgments, found, left, 0).endswith("on average.")
    figures.selection_quality(scores.to_pandas())
    figures.ceiling(left.filter(left_out=ceiling.IN_TURN).to_pandas())


def test_the_printed_rows_of_table_3_follow_from_their_counts() -> None:
    rows = published.read("table-3")
    shown = selection.printed(rows, published.counts(rows)).drop_nulls("pairs")
    assert len(shown) == 6
    for row in shown.to_dicts():
        assert row["f1 by counts"] == pytest.approx(row["f1"], abs=5e-4)
    zero_shot = shown.filter(pairs=3969)
    assert len(zero_shot) == 5
    assert shown["selector"].to_list() == [name for name in shown["selector"] if name != "Qwen3-4B"]
    assert (zero_shot["relevant"] - 708 / 3969).abs().max() == pytest.approx(0)


def test_no_counts_on_3969_pairs_nor_on_a_test_part_give_the_sixth_zero_shot_row() -> None:
    row = published.read("table-3").filter(item="Qwen3-4B", tag="printed")
    printed = dict(row.select("statistic", "value").iter_rows())

    def fits(n: int, positive: int) -> list[tuple[int, int, int]]:
        """Return the counts (tp, fp, fn) that round to the printed digits."""
        recalled = [hit for hit in range(positive + 1) if abs(hit / positive - printed["recall"]) < 0.00051]
        hits, alarms = np.meshgrid(recalled, np.arange(n - positive + 1), indexing="ij")
        chosen, errors = np.maximum(hits + alarms, 1), alarms + positive - hits
        found = {
            "precision": hits / chosen,
            "f1": 2 * hits / (2 * hits + errors),
            "accuracy": 1 - errors / n,
        }
        same = [np.abs(values - printed[name]) < 0.00051 for name, values in found.items()]
        return [(recalled[row], int(fp), positive - recalled[row]) for row, fp in np.argwhere(np.all(same, axis=0))]

    assert fits(3969, 708) == []
    assert not [n for n in range(470, 520) if fits(n, 86)]
    assert fits(3969, 707)
    assert [n for n in range(3960, 3990) if fits(n, 708)] == [*range(3971, 3979)]
    assert (667, 1827, 41) in fits(3973, 708)
