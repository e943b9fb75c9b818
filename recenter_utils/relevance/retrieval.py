"""Retrieval as a chooser of attributes (§5.2, Figure 4): BM25 and the similarity of embeddings, and two cut-offs.

The request is the query; the attributes of its page, pooled over its users, are ranked. **BM25** (Robertson and
Zaragoza 2009) is bm25s' Lucene variant (Kamphuis et al. 2020): a word of the request adds

    ln(1 + (N - n + 1/2) / (n + 1/2)) · f / (f + k1 (1 - b + b · l / mean l))

to an attribute of l words that holds it f times, where n of the N distinct attributes in the study's pairs hold it; a
word counts as often as the request says it. k1 = 1.5 and b = .75. Words are runs of two or more letters, digits or
underscores in small letters, without bm25s' 33 English stop words and without stemming: `cooks` is not `cook`, scripts
that put no space between words come out as one long word, and `C` as none. **Similarity** is the cosine of the texts'
embeddings.

A ranker is told how many there are to find and chooses so many, so that precision, recall and F1 are one number. The
paper does not say how it counts. Here are both readings: over all pairs, or within each request. All pairs are ranked;
those with a reference set the cut-off, and one without is chosen if it ranks above the last of these that is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath

import bm25s
import numpy as np
import polars as pl
from numpy.typing import NDArray

from recenter_utils.inference.embeddings import embed
from recenter_utils.relevance.draws import lot
from recenter_utils.scales import RELEVANCE
from recenter_utils.tables import table

#: BM25's two constants, the defaults of bm25s and of rank_bm25.
K1, B = 1.5, 0.75

BM25 = "BM25"

#: Both readings of *as many as there are to find*, and what is ranked together in each.
CUT_OFFS = {"over all": ["ranker"], "within requests": ["ranker", "prompt_id"]}

#: Decimals of a cosine that are known whatever texts were encoded beside it; what differs less is a tie.
DECIMALS = 6

SCORES = pl.Schema({"ranker": pl.String, "pair_id": pl.String, "prompt_id": pl.String, "score": pl.Float64})


def words(texts: Sequence[str]) -> list[list[str]]:
    """Return the words of each text that BM25 looks at."""
    found = bm25s.tokenize(list(texts), stopwords="en", return_ids=False, show_progress=False)
    return [list(text) for text in found]


def bm25(requests: Sequence[str], attributes: Sequence[str]) -> NDArray[np.float64]:
    """Return the BM25 score of each pair, 0 where the two share no word; shape (pairs,).

    requests, attributes: a text each a pair. Each distinct attribute is one document, however many pairs it is in.
    """
    queries, query = _distinct(requests)
    documents, document = _distinct(attributes)
    found = np.zeros(len(query))
    spoken = words(documents)
    if not any(spoken):
        return found
    index = bm25s.BM25(k1=K1, b=B, method="lucene", dtype="float64")
    index.index(spoken, create_empty_token=False, show_progress=False)
    order = np.argsort(query, kind="stable")  # each request's pairs side by side
    ends = np.cumsum(np.bincount(query, minlength=len(queries)))[:-1]
    for said, rows in zip(words(queries), np.split(order, ends), strict=True):
        if known := index.get_tokens_ids(said):
            found[rows] = index.get_scores_from_ids(known)[document[rows]]
    return found


def similarity(
    requests: Sequence[str], attributes: Sequence[str], model: str, cache: Path | None = None
) -> NDArray[np.float64]:
    """Return the cosine of each pair's embeddings, -1 to 1, to six decimals; shape (pairs,).

    model, cache: see `embeddings.embed`. MiniLM reads the first 256 tokens of a request.
    """
    queries, query = _distinct(requests)
    documents, document = _distinct(attributes)
    vectors = embed([*queries, *documents], model, cache)
    first, second = vectors[query], vectors[len(queries) + document]
    return np.einsum("ij,ij->i", first, second, dtype=np.float64).round(DECIMALS)


def score(worded: pl.DataFrame, model: str, cache: Path | None = None) -> pl.DataFrame:
    """Return what each ranker gives each pair: ranker, pair_id, prompt_id, score.

    The score is null where the request or the attribute has no text: such a pair ranks last.

    worded: the table `pairs` with the column prompt; see `pairing.worded`. model, cache: see `similarity`.
    """
    said = pl.col("prompt", "attribute").fill_null("").str.strip_chars()
    rows = worded.select("pair_id", "prompt_id", said)
    full = (pl.col("prompt") != "") & (pl.col("attribute") != "")
    there, empty = rows.filter(full), rows.filter(~full)
    texts = there["prompt"].to_list(), there["attribute"].to_list()
    parts = []
    for ranker, scores in ((BM25, bm25(*texts)), (name(model), similarity(*texts, model, cache))):
        both = there.with_columns(score=pl.Series(scores, dtype=pl.Float64)), empty.with_columns(score=None)
        parts += [part.with_columns(ranker=pl.lit(ranker)).select(list(SCORES)).cast(SCORES) for part in both]
    return pl.concat(parts)


def name(model: str) -> str:
    """Return how tables call the ranker by similarity: the embedding model's name, without its folder."""
    return PurePath(model).name or model


def ranked(scores: pl.DataFrame, consensus: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Return all pairs, each ranker's best first: the columns of `score`, relevant and rank.

    Equal scores stand in an order drawn from the seed and pair_id, never in that of the rows; a pair without text is
    last. relevant: null without a reference. rank: from 1, among all of a ranker's pairs.
    """
    known = consensus.select("pair_id", relevant=pl.col("reference") == "yes")
    found = scores.join(known, on="pair_id", maintain_order="left")
    drawn = pl.Series("drawn", [lot(seed, "retrieval", pair) for pair in found["pair_id"]], dtype=pl.Binary)
    found = found.with_columns(drawn, place=pl.col("ranker").rle_id())
    found = found.sort("place", -pl.col("score"), "drawn", "pair_id", nulls_last=True)
    return found.select(*SCORES, "relevant", rank=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("ranker"))


def chosen(best: pl.DataFrame) -> pl.DataFrame:
    """Return what each ranker chooses at each cut-off: the columns of `ranked`, rater, cut_off, selected, by_lot.

    Of the pairs with a reference as many are selected as are relevant, over all or within each request; of those
    without one, what ranks above the last of them. selected: null where there is no reference at all, over all or in
    the request: nobody can say how many to choose there. by_lot: selected at a score that a pair with a reference
    beyond the cut-off has as well.

    best: see `ranked`.
    """
    parts = []
    known = pl.col("relevant").is_not_null()
    before = known.cast(pl.Int64).cum_sum() - known.cast(pl.Int64)
    for cut_off, group in CUT_OFFS.items():
        part = best.with_columns(
            rater=pl.format("{} ({})", "ranker", pl.lit(cut_off)),
            cut_off=pl.lit(cut_off),
            selected=pl.when(known.any().over(group)).then(before.over(group) < pl.col("relevant").sum().over(group)),
        )
        beyond = known & ~pl.col("selected")
        same = pl.col("score").eq_missing(pl.col("score").filter(beyond).max().over(group)) & beyond.any().over(group)
        parts.append(part.with_columns(by_lot=(pl.col("selected") & same).fill_null(value=False)))
    return pl.concat(parts)


def judgments(choices: pl.DataFrame) -> pl.DataFrame:
    """Return the table `retrieval_judgments`: yes for what a ranker selects; the score is what it ranks by.

    Where nobody can say how many to choose there is no row. choices: see `chosen`.
    """
    columns = table("retrieval_judgments").columns
    found = choices.drop_nulls("selected").select(
        "rater",
        "score",
        task=pl.lit(RELEVANCE.task),
        item_id="pair_id",
        rater_kind=pl.lit("retrieval"),
        label=pl.when("selected").then(pl.lit("yes")).otherwise(pl.lit("no")),
        flagged=pl.lit(value=False),
    )
    lacking = [pl.lit(None, dtype).alias(column) for column, dtype in columns.items() if column not in found.columns]
    return found.with_columns(lacking).select(list(columns)).cast(columns)


def _distinct(texts: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Return the distinct texts in their first order, and the place of each text among them."""
    places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    return list(places), np.array([places[text] for text in texts], dtype=np.int64)
