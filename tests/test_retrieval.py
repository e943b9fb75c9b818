"""Retrieval baselines: the scores of BM25 and of embeddings, the two cut-offs, and what becomes of odd input."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recenter_utils import figures
from recenter_utils.inference.embeddings import MINILM, embed
from recenter_utils.relevance import ceiling, retrieval, retrieval_quality, selection, selectors, stand_ins
from recenter_utils.relevance.consensus import consensus as agreed
from recenter_utils.relevance.pairing import worded
from recenter_utils.settings import Replacement, Selector
from recenter_utils.stats.classification import scores as classified
from recenter_utils.tables import check, table
from tests.relevant import PEOPLE, Rater, judgments_of, pairs_of

REQUESTS = {
    "food": "Plan quick dinners for a busy week; dinners without meat, please.",
    "sport": "Suggest an exercise routine for a beginner.",
    "stop": "What is it to be, or not to be?",
    "code": "Write a Python function that sorts a list of dinners.",
}
ATTRIBUTES = (
    "The user cooks dinners for a family of five.",
    "The user does not eat meat.",
    "The user writes Python at work.",
    "The user wants to start an exercise routine and has a bad knee.",
    "The user lives in Lyon.",
    "The user has a dog called Python.",
)


def study(requests: dict[str, str] = REQUESTS, attributes: tuple[str, ...] = ATTRIBUTES) -> pl.DataFrame:
    """Return every pair of a request and an attribute with its texts."""
    rows = [
        {"pair_id": f"{name}/a{place}", "prompt_id": name, "attribute": attribute, "prompt": text, "user_id": "u"}
        for name, text in requests.items()
        for place, attribute in enumerate(attributes)
    ]
    return pl.DataFrame(rows)


def referenced(pairs: pl.DataFrame, relevant: set[str], unjudged: set[str] = frozenset()) -> pl.DataFrame:  # type: ignore[assignment]
    """Return `relevance_consensus` in which these pairs are relevant and those have no majority."""
    said = [None if pair in unjudged else "yes" if pair in relevant else "no" for pair in pairs["pair_id"]]
    return pairs.select("pair_id", "prompt_id", "user_id").with_columns(
        reference=pl.Series(said, dtype=pl.String), reference_by=pl.lit("simulated")
    )


def graded(values: dict[str, list[float | None]]) -> pl.DataFrame:
    """Return scores of one ranker: a request's pairs and what they get."""
    rows = [
        ("BM25", f"{name}/a{place}", name, score)
        for name, scores in values.items()
        for place, score in enumerate(scores)
    ]
    return pl.DataFrame(rows, schema=retrieval.SCORES, orient="row")


def plain_bm25(request: str, attributes: list[str]) -> list[float]:
    """Return the formula as it is written in the module's docstring, word by word."""
    documents = {text: Counter(retrieval.words([text])[0]) for text in attributes}
    mean = np.mean([words.total() for words in documents.values()])
    found = []
    for text in attributes:
        words, score = documents[text], 0.0
        for word in retrieval.words([request])[0]:
            n = sum(word in other for other in documents.values())
            inverse = math.log(1 + (len(documents) - n + 0.5) / (n + 0.5))
            length = retrieval.K1 * (1 - retrieval.B + retrieval.B * words.total() / mean)
            score += inverse * words[word] / (words[word] + length)
        found.append(score)
    return found


def test_bm25_equals_the_formula() -> None:
    pairs = study(attributes=(*ATTRIBUTES, ATTRIBUTES[1]))  # a text that two users share is one document
    found = retrieval.bm25(pairs["prompt"].to_list(), pairs["attribute"].to_list()).reshape(len(REQUESTS), -1)
    for scores, request in zip(found, REQUESTS.values(), strict=True):
        np.testing.assert_allclose(scores, plain_bm25(request, [*ATTRIBUTES, ATTRIBUTES[1]]), rtol=1e-12)
    assert (found > 0).any(axis=1).tolist() == [True, True, False, True]


def test_a_word_that_a_request_repeats_counts_as_often() -> None:
    once, twice = retrieval.bm25(["dinners", "dinners dinners"], [ATTRIBUTES[0], ATTRIBUTES[0]])
    assert twice == pytest.approx(2 * once)
    assert once > 0


def test_similarity_equals_a_dot_product() -> None:
    pairs = study()
    texts = pairs["prompt"].to_list(), pairs["attribute"].to_list()
    first, second = embed(texts[0]), embed(texts[1])
    found = retrieval.similarity(*texts, MINILM)
    np.testing.assert_allclose(found, [a @ b for a, b in zip(first, second, strict=True)], atol=2e-6)


def test_words_of_other_scripts_are_words() -> None:
    assert retrieval.words(["Ich koche für Größere", "Люблю кино", "寿司が好き", "a C of", "!?"]) == [
        ["ich", "koche", "für", "größere"],
        ["люблю", "кино"],
        ["寿司が好き"],
        [],
        [],
    ]
    assert retrieval.bm25(["Wo gibt es gutes кино?"], ["Люблю кино"])[0] > 0


def test_scores_do_not_depend_on_the_order_of_the_pairs(tmp_path: Path) -> None:
    pairs = study()
    mixed = pairs.sample(fraction=1, shuffle=True, seed=5)
    relevant = {"food/a0", "food/a1", "sport/a3", "stop/a2"}
    tables = []
    for frame in (pairs, mixed):
        best = retrieval.ranked(
            retrieval.score(frame, MINILM, tmp_path / "vectors.sqlite"), referenced(frame, relevant), 7
        )
        tables.append(retrieval.judgments(retrieval.chosen(best)).sort("rater", "item_id"))
    assert tables[0].equals(tables[1])
    check("retrieval_judgments", tables[0])
    assert len(tables[0]) == 4 * len(pairs)
    assert set(tables[0]["rater_kind"]) == {"retrieval"}


def test_over_all_and_within_requests_choose_as_many_as_there_are() -> None:
    scores = graded({"p": [5, 4, 3, 2], "q": [1.5, 1.2, 1, 0.5]})
    pairs = scores.select("pair_id", "prompt_id", user_id=pl.lit("u"))
    choices = retrieval.chosen(retrieval.ranked(scores, referenced(pairs, {"p/a1", "q/a0", "q/a3"}), 1))
    yes = choices.filter("selected").group_by("cut_off").agg(pl.col("pair_id").sort())
    assert dict(yes.iter_rows()) == {
        "over all": ["p/a0", "p/a1", "p/a2"],
        "within requests": ["p/a0", "q/a0", "q/a1"],
    }


@pytest.mark.parametrize("seed", range(3))
def test_precision_is_recall_at_either_cut_off(seed: int) -> None:
    pairs = pairs_of(12, 20)
    reference = agreed(judgments_of(pairs, seed), pairs)
    rng = np.random.default_rng(seed)
    rounded = pl.Series(rng.normal(size=len(pairs)).round(1))  # many ties
    scores = pairs.select("pair_id", "prompt_id", ranker=pl.lit("BM25"), score=rounded).select(list(retrieval.SCORES))
    choices = retrieval.chosen(retrieval.ranked(scores, reference, seed))
    measured = retrieval_quality.measure(choices, seed)
    for (_,), part in measured.group_by("rater"):
        values = dict(part.select("metric", "value").iter_rows())
        assert values["precision"] == pytest.approx(values["recall"]) == pytest.approx(values["f1"])
    part = choices.filter(cut_off="over all").sort("pair_id")
    expected = classified(*(part[column].to_numpy() for column in ("relevant", "selected", "prompt_id")), seed=seed)
    f1 = measured.filter(rater="BM25 (over all)", metric="f1").to_dicts()[0]
    assert (f1["low"], f1["high"]) == tuple(expected.set_index("metric").loc["f1", ["low", "high"]])


def test_ties_are_broken_by_the_pair_and_not_by_its_row() -> None:
    scores = graded({"p": [0.0] * 30})
    pairs = scores.select("pair_id", "prompt_id", user_id=pl.lit("u"))
    reference = referenced(pairs, {f"p/a{place}" for place in range(10)})
    picked = []
    for frame in (scores, scores.reverse()):
        choices = retrieval.chosen(retrieval.ranked(frame, reference, 3)).filter("selected", cut_off="over all")
        assert choices["by_lot"].all()
        picked.append(set(choices["pair_id"]))
    assert picked[0] == picked[1] != {f"p/a{place}" for place in range(10)}
    other = retrieval.chosen(retrieval.ranked(scores, reference, 4)).filter("selected", cut_off="over all")
    assert set(other["pair_id"]) != picked[0]


def test_what_a_lottery_explains_is_counted() -> None:
    scores = graded({"p": [2, 1, 0, 0], "q": [0, 0, 0, 0, 0, 0]})
    pairs = scores.select("pair_id", "prompt_id", user_id=pl.lit("u"))
    choices = retrieval.chosen(retrieval.ranked(scores, referenced(pairs, {"p/a0", "p/a2", "q/a0"}), 1))
    lots = retrieval_quality.by_lot(choices).to_dicts()
    assert lots[0] == {"rater": "BM25 (over all)", "selected": 3, "drawn": 1, "blind": pytest.approx(0.3)}
    within = (2 * 2 / 4 + 1 * 1 / 6) / 3
    assert lots[1] == {"rater": "BM25 (within requests)", "selected": 3, "drawn": 1, "blind": pytest.approx(within)}


def test_pairs_without_a_reference_are_ranked_and_in_no_number() -> None:
    pairs = study()
    unjudged = {"food/a0", "sport/a1", "sport/a2"}
    reference = referenced(pairs, {"food/a1"}, unjudged)
    scores = retrieval.score(pairs, MINILM)
    best = retrieval.ranked(scores, reference, 1)
    choices = retrieval.chosen(best)
    assert len(retrieval.judgments(choices)) == 4 * len(pairs)
    known = choices.drop_nulls("relevant")
    assert known.group_by("rater").agg(pl.col("selected").sum())["selected"].to_list() == [1] * 4
    assert set(retrieval_quality.measure(choices, 1)["n"]) == {21}
    assert set(retrieval_quality.average_precision(best, 1)["n"]) == {21}
    assert retrieval_quality.by_lot(choices)["selected"].to_list() == [1] * 4
    assert retrieval_quality.base_rate(best) == pytest.approx(1 / 21)
    counted = dict(retrieval_quality.counted(scores, reference).select("what", "pairs").iter_rows())
    assert list(counted.values())[:4] == [24, 3, 21, 1]
    assert counted["requests that share no word with any of their attributes"] == 6  # `stop`


def test_a_pair_without_a_reference_is_chosen_if_it_ranks_above_the_last_that_is() -> None:
    scores = graded({"p": [9, 8, 7, 6, 5], "q": [4.5, 4, 3, 2], "r": [1, 0.5]})
    pairs = scores.select("pair_id", "prompt_id", user_id=pl.lit("u"))
    unjudged = {"p/a0", "p/a2", "p/a4", "q/a0", "q/a3", "r/a0", "r/a1"}  # p: a1 and a3 are known; q: a1 and a2; r: none
    choices = retrieval.chosen(retrieval.ranked(scores, referenced(pairs, {"p/a3", "q/a2"}, unjudged), 1))
    assert choices["rank"].to_list() == 2 * [*range(1, 12)]
    yes = choices.filter("selected").group_by("cut_off").agg(pl.col("pair_id").sort())
    assert dict(yes.iter_rows()) == {
        "over all": ["p/a0", "p/a1", "p/a2", "p/a3"],  # two are relevant: up to the second with a reference
        "within requests": ["p/a0", "p/a1", "q/a0", "q/a1"],
    }
    said = retrieval.judgments(choices).group_by("rater", maintain_order=True).len().rows()
    assert said == [("BM25 (over all)", 11), ("BM25 (within requests)", 9)]  # how many of r, nobody can say
    assert set(retrieval_quality.measure(choices, 1).filter(metric="recall")["value"]) == {0.5, 0.0}


def test_retrieval_is_held_against_annotators_on_every_pair_that_models_are(as_good_ranks: pl.DataFrame) -> None:
    """Four annotators split evenly: no majority, but a majority of the others once one of them is left out."""
    pairs, four = pairs_of(12, 20), PEOPLE | {"simulated-4": Rater()}
    said = judgments_of(pairs, 4, four | {"alike": Rater("llm")})
    reference = agreed(said, pairs)
    assert reference["reference"].null_count() > 10
    found = retrieval.judgments(retrieval.chosen(retrieval.ranked(as_good_ranks, reference, 1)))
    parts = selectors.split(reference, Selector(test=0.3), 0)
    nobody = table("relevance_raters").empty()
    chosen = selection.selections([said, found], [found.clear()], nobody, reference, parts)
    assert chosen.filter(rater_kind="retrieval")["answered"].all()
    scores = ceiling.left_out(said, chosen, 0).filter(metric="f1", items="all")
    assert set(scores.filter(rater_kind="retrieval")["n_unanswered"]) == {0}
    tested = stand_ins.measure(said, found, pairs, nobody, Replacement()).table
    numbers = tested.filter(pl.col("rater_kind").is_in(["llm", "retrieval"]))
    assert numbers["rater_kind"].to_list() == ["llm", "retrieval", "retrieval"]
    assert set(numbers["n_items"]) == {len(pairs)}
    assert set(numbers["n_unanswered"]) == {0}
    # Ties are harder than other pairs, but a ranker as good as a person still selects some of them.
    ties = reference.filter(pl.col("reference").is_null())["pair_id"].to_list()
    share = found.filter(pl.col("item_id").is_in(ties)).group_by("rater").agg((pl.col("label") == "yes").mean())
    assert share["label"].min() > 0.2  # type: ignore[operator]


@pytest.fixture
def as_good_ranks() -> pl.DataFrame:
    """Scores of a ranker that is as good as the planted annotators."""
    pairs = pairs_of(12, 20)
    own = judgments_of(pairs, 4, PEOPLE | {"simulated-4": Rater(), "ranker": Rater("llm", graded=True)})
    graded = own.filter(rater="ranker").select("score", pair_id="item_id")
    ours = pairs.join(graded, on="pair_id").with_columns(ranker=pl.lit("BM25"))
    return ours.select(list(retrieval.SCORES))


def test_a_pair_without_text_ranks_last_and_is_counted() -> None:
    pairs = study(REQUESTS | {"blank": " \n"}, (*ATTRIBUTES, "  "))
    reference = referenced(pairs, {"food/a6", "blank/a0", "code/a2"})
    scores = retrieval.score(pairs, MINILM)
    empty = pairs.filter((pl.col("prompt_id") == "blank") | pl.col("pair_id").str.ends_with("a6"))["pair_id"]
    assert set(scores.filter(pl.col("score").is_null())["pair_id"]) == set(empty)
    best = retrieval.ranked(scores, reference, 1)
    last = best.filter(pl.col("rank") > len(pairs) - len(empty))
    assert set(last["pair_id"]) == set(empty)
    choices = retrieval.chosen(best)
    assert choices.filter("selected", cut_off="over all")["score"].null_count() == 0
    counted = dict(retrieval_quality.counted(scores, reference).select("what", "pairs").iter_rows())
    assert counted["of these, without text: ranked last"] == len(empty)
    assert retrieval_quality.curves(best).group_by("ranker").agg(pl.col("recall").max())["recall"].to_list() == [1, 1]
    assert check("retrieval_judgments", retrieval.judgments(choices)).height == 4 * len(pairs)


def test_the_same_text_scores_the_same() -> None:
    pairs = study(attributes=("The user cooks dinners.", "The user runs.", "The user cooks dinners."))
    for (_, _), part in retrieval.score(pairs, MINILM).group_by("ranker", "prompt_id", maintain_order=True):
        assert part["score"][0] == part["score"][2]


def test_an_ideal_ranker_is_found_ideal_and_a_useless_one_useless() -> None:
    pairs = pairs_of(20, 30)
    reference = agreed(judgments_of(pairs, 1), pairs)
    truth = (reference["reference"] == "yes").cast(pl.Float64)
    rng = np.random.default_rng(2)
    frames = [
        pairs.select("pair_id", "prompt_id", ranker=pl.lit(name), score=score).select(list(retrieval.SCORES))
        for name, score in (("ideal", truth), ("noise", pl.Series(rng.normal(size=len(pairs)))))
    ]
    best = retrieval.ranked(pl.concat(frames), reference, 1)
    found = {
        (row["ranker"], row["statistic"]): row
        for row in retrieval_quality.average_precision(best, 1).iter_rows(named=True)
    }
    assert found["ideal", "average precision"]["value"] == 1
    base = retrieval_quality.base_rate(best)
    assert found["ideal", "over the base rate"]["value"] == pytest.approx(1 - base)
    noise = found["noise", "over the base rate"]
    assert noise["low"] < 0.02
    assert noise["high"] > -0.02
    assert found["noise", "average precision"]["value"] == pytest.approx(noise["value"] + base)


@pytest.mark.parametrize(
    ("relevant", "unjudged", "says"),
    [
        (set(), set(), "calls none of 24 pairs relevant"),
        (set(), {f"{name}/a{place}" for name in REQUESTS for place in range(6)}, "no pair has a reference"),
        (
            {f"{name}/a{place}" for name in REQUESTS for place in range(6)},
            set(),
            "24 of 24 pairs (100.0%) are relevant",
        ),
        ({"food/a0"}, set(), "1 of 24 pairs (4.2%) are relevant"),
        ({"food/a0"}, {"food/a1", "code/a2"}, "1 of 22 pairs (4.5%) are relevant"),
    ],
)
def test_every_outcome_has_words_numbers_and_a_figure(relevant: set[str], unjudged: set[str], says: str) -> None:
    pairs = study()
    whole_page(pairs, referenced(pairs, relevant, unjudged), says)


def test_a_study_without_pairs_has_a_page() -> None:
    pairs = worded(table("pairs").empty(), table("prompts").empty())
    whole_page(pairs, table("relevance_consensus").empty(), "the study pairs no request with any attribute")


def whole_page(pairs: pl.DataFrame, reference: pl.DataFrame, says: str) -> None:
    """Do all that the notebook does."""
    scores = retrieval.score(pairs, MINILM)
    best = retrieval.ranked(scores, reference, 1)
    choices = retrieval.chosen(best)
    check("retrieval_judgments", retrieval.judgments(choices))
    measured, lots = retrieval_quality.measure(choices, 1), retrieval_quality.by_lot(choices)
    averages = retrieval_quality.average_precision(best, 1)
    assert says in retrieval_quality.sentence(measured, averages, reference)
    assert measured.filter(pl.col("value").is_null())["reason"].null_count() == 0
    assert averages.filter(pl.col("value").is_null())["reason"].null_count() == 0
    assert len(retrieval_quality.wide(measured, lots)) == lots.height
    retrieval_quality.counted(scores, reference)
    retrieval_quality.mistakes(best, pairs, MINILM)
    curves = retrieval_quality.curves(best).to_pandas()
    figure = figures.retrieval_curves(curves, measured.to_pandas(), retrieval_quality.base_rate(best))
    assert figure.axes


def test_the_page_says_so_where_some_of_the_annotators_are_simulated() -> None:
    pairs = study()
    reference = referenced(pairs, {"food/a0"}).with_columns(reference_by=pl.lit("people and simulated"))
    whole_page(pairs, reference, "By the majority of people and simulated annotators, 1 of 24 pairs")


def test_mistakes_are_the_worst_ones_one_a_request() -> None:
    scores = graded({"p": [0.9, 0.8, 0.1, 0.2], "q": [0.7, 0.3, 0.6]})
    pairs = scores.select("pair_id", "prompt_id", user_id=pl.lit("u"), attribute="pair_id", prompt=pl.lit("x" * 300))
    best = retrieval.ranked(scores, referenced(pairs, {"p/a2", "p/a3", "q/a1"}), 1)
    found = retrieval_quality.mistakes(best, pairs, "BM25", most=5)
    assert found["attribute"].to_list() == ["p/a2", "q/a1", "p/a0", "q/a0"]
    assert found["rank"].to_list() == [7, 5, 1, 3]
    assert found["request"].str.len_chars().to_list() == [201] * 4


def test_the_ranker_is_called_after_the_model_and_not_after_its_folder() -> None:
    assert [retrieval.name(model) for model in (MINILM, "BAAI/bge-small-en-v1.5", "/models/mine/")] == [
        MINILM,
        "bge-small-en-v1.5",
        "mine",
    ]
