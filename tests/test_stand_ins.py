"""Judges in the place of annotators: every judge has a row, baselines and annotators included, and its reason."""

from __future__ import annotations

import matplotlib.pyplot as plt
import polars as pl
import pytest

from recenter_utils import figures
from recenter_utils.annotation.annotators import wide
from recenter_utils.relevance import retrieval, stand_ins
from recenter_utils.relevance.consensus import consensus
from recenter_utils.settings import Replacement
from recenter_utils.stats.alternative import alternative_test
from recenter_utils.tables import check, table
from tests.relevant import MODELS, PEOPLE, Rater, judgments_of, pairs_of

pytestmark = pytest.mark.filterwarnings("error")

PAIRS = pairs_of(prompts=20, attributes=50)
NO_RETRIEVAL = table("retrieval_judgments").empty()
NOBODY_KNOWN = table("relevance_raters").empty()
RULES = Replacement()
SIMULATED = ["simulated", "llm"]


def measured(judgments: pl.DataFrame, *, retrieval=NO_RETRIEVAL, raters=NOBODY_KNOWN, pairs=PAIRS, excluded=()):
    found = stand_ins.measure(judgments, retrieval, pairs, raters, RULES, excluded, seed=1)
    check("alternative_annotators", found.table)
    plt.close(figures.stand_ins(found.table.to_pandas()))
    return found


def test_every_judge_has_the_tests_own_numbers_with_requests_as_clusters():
    judgments = judgments_of(PAIRS, 1, PEOPLE | MODELS | {"skipping": Rater("llm", skips=0.3)})
    found = measured(judgments)
    answers = wide(judgments)
    requests = [item.split("/")[0] for item in answers.index]
    assert found.table["judge"].to_list() == ["always no", *MODELS, "skipping"]
    for row in found.table.to_dicts()[1:]:
        test = alternative_test(
            answers[[*PEOPLE]], answers[row["judge"]], epsilon=0.15, q=0.05, clusters=requests, seed=1
        )
        assert (row["winning_rate"], row["winning_rate_items"]) == (test.winning_rate, test.winning_rate_items)
        assert (row["advantage"], row["low"], row["high"]) == pytest.approx(test.advantage[:3])
        assert (row["n_items"], row["passes"]) == (test.n_items, test.passes)
        assert row["n_unanswered"] == answers[row["judge"]].isna().sum()
    assert len(found.by_annotator) == len(found.table) * 3


def test_a_copy_of_an_annotator_passes_an_always_yes_does_not_and_always_no_comes_close():
    copied = judgments_of(PAIRS, 2).with_columns(
        rater=pl.when(pl.col("rater") == "both").then(pl.lit("copy")).otherwise("rater")
    )
    original = copied.filter(rater="simulated-1").select("item_id", copy="label")
    copied = copied.join(original, on="item_id", how="left").with_columns(
        label=pl.when(pl.col("rater") == "copy").then("copy").otherwise("label")
    )
    copied = pl.concat([copied.drop("copy"), judgments_of(PAIRS, 2, {"yes": Rater("llm", threshold=-99)})])
    rows = measured(copied).table.rows_by_key("judge", named=True, unique=True)
    assert rows["copy"]["passes"]
    assert not rows["yes"]["passes"]
    assert rows["copy"]["advantage"] > rows["always no"]["advantage"] > rows["yes"]["advantage"] + 0.4


def test_the_baseline_is_the_annotators_commonest_answer():
    judgments = judgments_of(PAIRS, 3, {name: Rater(threshold=-0.5) for name in PEOPLE} | MODELS)
    found = measured(judgments).table
    assert found["judge"][0] == "always yes"
    assert found["rater_kind"][0] is None
    assert "A judge that always says yes and reads nothing" in stand_ins.sentence(found, SIMULATED)


def test_with_four_annotators_each_is_a_judge_beside_the_others():
    raters = PEOPLE | {"simulated-4": Rater(), "simulated-5": Rater(noise=3)}
    found = measured(judgments_of(PAIRS, 4, raters | MODELS)).table
    people = found.filter(rater_kind="simulated").rows_by_key("judge", named=True, unique=True)
    assert set(people) == set(raters)
    assert all(row["n_annotators"] == 4 for row in people.values())
    assert people["simulated-1"]["passes"]
    assert not people["simulated-5"]["passes"]
    excluded = measured(judgments_of(PAIRS, 4, raters | MODELS), excluded=("simulated-4", "simulated-5")).table
    assert excluded.filter(rater_kind="simulated").is_empty()
    assert excluded["n_annotators"].unique().to_list() == [3]


def test_retrieval_methods_are_judges_too():
    ranked = judgments_of(PAIRS, 5, {"bm25": Rater("retrieval", noise=1)}).select(NO_RETRIEVAL.columns)
    found = measured(judgments_of(PAIRS, 5), retrieval=ranked).table
    assert found.filter(judge="bm25")["rater_kind"].item() == "retrieval"


def test_retrieval_is_tested_on_the_pairs_that_models_are_tested_on():
    """With four annotators some pairs have no majority; leaving them out makes a judge look better or worse."""
    judgments = judgments_of(PAIRS, 5, PEOPLE | {"simulated-4": Rater()} | MODELS)
    held = consensus(judgments, PAIRS)
    assert held["reference"].null_count() > 20
    graded = judgments_of(PAIRS, 5, {"BM25": Rater("retrieval", noise=1, graded=True)})
    scores = graded.select(ranker="rater", pair_id="item_id", score="score").join(PAIRS, on="pair_id")
    choices = retrieval.chosen(retrieval.ranked(scores.select(list(retrieval.SCORES)), held, seed=1))
    found = measured(judgments, retrieval=retrieval.judgments(choices)).table
    rows = found.filter(pl.col("rater_kind").is_in(["llm", "retrieval"]))
    assert rows["rater_kind"].n_unique() == 2
    assert rows["n_items"].unique().to_list() == [len(PAIRS)]
    assert rows["n_unanswered"].unique().to_list() == [0]


@pytest.mark.parametrize("people", [0, 1, 2])
def test_with_fewer_than_three_annotators_nothing_is_said_and_why(people):
    judgments = judgments_of(PAIRS, 6, dict([*PEOPLE.items()][:people]) | MODELS)
    found = measured(judgments).table
    assert found["passes"].null_count() == found["advantage"].null_count() == len(found) >= len(MODELS)
    assert f"there {'is' if people == 1 else 'are'} {people}" in stand_ins.sentence(found, SIMULATED)


def test_without_models_or_pairs_the_page_still_speaks():
    for found in (
        measured(judgments_of(PAIRS, 7).clear()),
        measured(judgments_of(PAIRS, 7).clear(), pairs=PAIRS.clear()),
        measured(judgments_of(PAIRS, 7, PEOPLE)),
    ):
        assert "cannot be said: no model has judged a pair" in stand_ins.sentence(found.table, SIMULATED)
        assert found.by_annotator.columns == list(stand_ins._BY_ANNOTATOR)


def test_a_model_that_answered_nothing_has_its_row():
    silent = {"rater": "silent", "rater_kind": "llm"}
    raters = pl.DataFrame([dict.fromkeys(NOBODY_KNOWN.columns) | silent], schema=NOBODY_KNOWN.schema)
    row = measured(judgments_of(PAIRS, 8), raters=raters).table.filter(judge="silent").to_dicts()[0]
    assert row["passes"] is None
    assert "0 items are fewer than the 30" in row["reason"]
    assert (row["n_items"], row["n_unanswered"]) == (0, len(PAIRS))


def test_the_sentence_does_not_hide_that_a_judge_which_reads_nothing_passes():
    rare = {name: Rater(threshold=1.4) for name in PEOPLE}
    found = measured(judgments_of(PAIRS, 9, rare | MODELS | {"close": Rater("llm", threshold=1.4)})).table
    said = stand_ins.sentence(found, SIMULATED)
    baseline = found.row(0, named=True)
    assert baseline["passes"]
    assert "reads nothing passes" in said
    passing = found.filter("passes", rater_kind="llm")
    above = (passing["advantage"] > baseline["advantage"]).sum()
    assert passing["judge"].to_list() == ["close"]
    assert f"of those that pass, {above} of 1 have more" in said
    assert f"{baseline['advantage']:.2f}" in said
    shown = stand_ins.for_page(found, {})
    assert shown["may replace"][0] == "3 of 3"
    assert shown["judge"].to_list() == found["judge"].to_list()


def test_pages_name_no_person():
    raters = {f"{name}@example.org": Rater("human") for name in ("ann", "bo", "cy", "di")}
    found = measured(judgments_of(PAIRS, 10, raters | MODELS)).table
    names = {name: f"annotator {letter}" for name, letter in zip(raters, "ABCD", strict=True)}
    shown = stand_ins.for_page(found, names)
    assert set(names.values()) < set(shown["judge"])
    assert "example.org" not in shown.write_json() + stand_ins.sentence(found, SIMULATED)


def test_models_that_could_not_be_tested_are_in_the_count():
    silent = {"rater": "silent", "rater_kind": "llm"}
    raters = pl.DataFrame([dict.fromkeys(NOBODY_KNOWN.columns) | silent], schema=NOBODY_KNOWN.schema)
    found = measured(judgments_of(PAIRS, 8), raters=raters).table
    said = stand_ins.sentence(found, SIMULATED)
    assert f"of {len(MODELS)} models (1 more could not be tested) may stand in" in said
    assert "could not be tested" not in stand_ins.sentence(measured(judgments_of(PAIRS, 8)).table, SIMULATED)


def test_nobody_simulated_is_called_an_annotator():
    found = measured(judgments_of(PAIRS, 8)).table
    assert "at least half of the 3 simulated annotators" in stand_ins.sentence(found, SIMULATED)
    assert "at least half of the 3 annotators" in stand_ins.sentence(found, ["human", "llm"])
