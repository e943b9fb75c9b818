"""Requests of users are drawn by who says what matters, the same for every generator."""

from __future__ import annotations

import polars as pl
import pytest

from recenter_utils.errors import RecenterError
from recenter_utils.relevance.consensus import consensus
from recenter_utils.responses import instances
from recenter_utils.tables import table
from tests.relevant import MODELS, PEOPLE, judgments_of, pairs_of


def stage_two(seed: int = 1) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return pairs, consensus and judgments of stage 2."""
    pairs = pairs_of(20, 12, users=4)
    judgments = judgments_of(pairs, seed, PEOPLE | MODELS)
    return pairs, consensus(judgments, pairs), judgments


def names(found: pl.DataFrame) -> list[tuple[str, str]]:
    return list(found.select("prompt_id", "user_id").iter_rows())


def test_the_majority_selects_what_its_reference_says() -> None:
    pairs, verdicts, judgments = stage_two()
    found = instances.relevant(instances.answered("majority", verdicts, judgments), pairs)
    yes = set(verdicts.filter(reference="yes")["pair_id"])
    given = {f"{row['prompt_id']}/{attribute}" for row in found.to_dicts() for attribute in row["attribute_ids"]}
    assert given == yes
    assert (found["attribute_ids"].list.len() > 0).all()
    assert not found.select("prompt_id", "user_id").is_duplicated().any()
    assert instances.selected_by("majority", verdicts) == "the majority of simulated annotators"


@pytest.mark.parametrize("name", ["lenient", "noisy", "simulated-2"])
def test_any_rater_can_select(name: str) -> None:
    pairs, verdicts, judgments = stage_two()
    found = instances.relevant(instances.answered(name, verdicts, judgments), pairs)
    yes = judgments.filter(rater=name, label="yes")["item_id"]
    assert found["attribute_ids"].list.len().sum() == len(yes)
    assert instances.selected_by(name, verdicts) == name


def test_a_retrieval_method_can_select() -> None:
    _, verdicts, judgments = stage_two()
    ranked = judgments.filter(rater="noisy").with_columns(rater=pl.lit("BM25"), rater_kind=pl.lit("retrieval"))
    assert len(instances.answered("BM25", verdicts, judgments.filter(rater="lenient"), ranked)) == len(ranked)


def test_an_unknown_rater_is_refused_with_the_nearest_name_and_nobodys_own() -> None:
    _, verdicts, judgments = stage_two()
    with pytest.raises(RecenterError, match=r"responses\.selector: nobody called 'leniant'.*Did you mean 'lenient'"):
        instances.answered("leniant", verdicts, judgments)
    with pytest.raises(RecenterError) as refused:
        instances.answered("zzz", verdicts, judgments)
    assert "simulated-1" not in str(refused.value)


def test_pages_are_shared_out_evenly_among_generators() -> None:
    pairs, verdicts, judgments = stage_two()
    found = instances.relevant(instances.answered("majority", verdicts, judgments), pairs)
    assert len(found) == 26
    assert [len(instances.sampled(found, 30, n, 1)) for n in (1, 2, 4, 7)] == [26, 15, 7, 4]
    assert len(instances.sampled(found, 1, 5, 1)) == 1
    assert len(instances.sampled(found, 10_000, 5, 1)) == len(found)
    assert len(instances.sampled(found[:0], 10, 5, 1)) == 0
    assert names(instances.sampled(found, 12, 4, 1)) == names(instances.sampled(found, 12, 2, 1))[:3]


def test_the_draw_goes_by_the_seed_and_not_by_the_order_of_rows() -> None:
    pairs, verdicts, judgments = stage_two()
    found = instances.relevant(instances.answered("majority", verdicts, judgments), pairs)
    one, other = (instances.sampled(found, 10, 1, seed) for seed in (1, 2))
    assert names(one) != names(other)
    assert names(instances.sampled(found.reverse(), 10, 1, 1)) == names(one)


def test_further_requests_leave_the_others_in_their_order() -> None:
    pairs, verdicts, judgments = stage_two()
    said = instances.answered("majority", verdicts, judgments)
    fewer = instances.relevant(said, pairs.filter(pl.col("prompt_id") != "q003"))
    drawn, before = (names(instances.sampled(part, 20, 1, 5)) for part in (instances.relevant(said, pairs), fewer))
    stayed = [name for name in drawn if name[0] != "q003"]
    assert stayed == before[: len(stayed)]


@pytest.mark.parametrize("seed", range(3))
def test_what_is_left_out_is_counted(seed: int) -> None:
    pairs, verdicts, judgments = stage_two(seed)
    said = instances.answered("majority", verdicts, judgments)
    found = instances.relevant(said, pairs)
    chosen = instances.sampled(found, 30, 3, seed)
    counted = dict(instances.counts(said, pairs, found, chosen, 30, 3).select("step", "n").iter_rows())
    assert counted["pairs of a request and an attribute"] == len(pairs)
    assert counted["of which the selector speaks"] == len(pairs) - verdicts["reference"].null_count()
    assert counted["drawn"] == 10


def test_a_study_that_nobody_judged_is_told_whom_it_could_ask() -> None:
    pairs, _, judgments = stage_two()
    models = judgments.filter(rater_kind="llm")
    verdicts = consensus(models, pairs)
    said = instances.answered("majority", verdicts, models)
    assert said.is_empty()
    words = instances.lacking("majority", said, pairs, instances.raters(models))
    assert "no annotator who counts has judged a pair" in words
    assert "responses.selector, such as 'both'" in words
    counted = instances.counts(said, pairs, instances.relevant(said, pairs), instances.relevant(said, pairs), 80, 5)
    assert counted["n"].to_list() == [len(pairs), 0, 0, 0, 0, 0, 0, 0]


def test_a_benchmark_speaks_where_no_annotator_does() -> None:
    pairs = pairs_of(3, 4).with_columns(benchmark=pl.col("place") == 0)
    verdicts = consensus(table("relevance_judgments").empty(), pairs)
    found = instances.relevant(instances.answered("majority", verdicts, table("relevance_judgments").empty()), pairs)
    assert len(found) == 3
    assert instances.selected_by("majority", verdicts) == "the benchmark"


@pytest.mark.parametrize(
    ("selector", "label", "says"),
    [("lenient", "no", "By the selector no attribute matters"), ("majority", "no", "By the selector")],
)
def test_a_selector_that_says_no_to_all_is_named(selector: str, label: str, says: str) -> None:
    pairs, verdicts, judgments = stage_two()
    said = instances.answered(selector, verdicts, judgments).with_columns(label=pl.lit(label))
    words = instances.lacking(selector, said, pairs, instances.raters(judgments))
    assert says in words
    assert "responses.selector" in words
    assert instances.lacking(selector, said.with_columns(label=pl.lit("yes")), pairs, ["majority"]) == ""


def test_without_pairs_any_selector_will_do() -> None:
    empty = table("relevance_judgments").empty()
    said = instances.answered("embedded-plain", table("relevance_consensus").empty(), empty)
    pairs = table("pairs").empty()
    assert instances.relevant(said, pairs).is_empty()
    assert "pairing.prompts" in instances.lacking("embedded-plain", said, pairs, ["majority"])
