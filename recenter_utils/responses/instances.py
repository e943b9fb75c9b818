"""Which requests of which users are answered: those with an attribute that matters, by the study's selector (§6.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from recenter_utils.errors import RecenterError, nearest
from recenter_utils.lots import drawn
from recenter_utils.scales import PEOPLE

#: The selector that goes by what annotators said together, or without any by the benchmark.
MAJORITY = "majority"

#: A request with a user, and the attributes of theirs that matter for it, in the order in which they are given.
COLUMNS: dict[str, Any] = {
    "prompt_id": pl.String,
    "user_id": pl.String,
    "attribute_ids": pl.List(pl.String),
    "attributes": pl.List(pl.String),
}

_REFERENCES = {
    "people": "the majority of people",
    "simulated": "the majority of simulated annotators",
    "people and simulated": "the majority of annotators",
    "benchmark": "the benchmark",
}


def answered(selector: str, consensus: pl.DataFrame, *judgments: pl.DataFrame) -> pl.DataFrame:
    """Return what the selector says of each pair that it says anything of: pair_id, label.

    Args:
        selector: `majority`, or the name of a rater.
        consensus: The table `relevance_consensus`.
        judgments: Tables of judgments of relevance, whoever made them.

    Raises:
        RecenterError: Pairs were judged, and nobody of that name judged any.
    """
    if selector == MAJORITY:
        return consensus.drop_nulls("reference").select("pair_id", label="reference")
    said = pl.concat([part.select("item_id", "rater", "label") for part in judgments])
    found = said.filter(rater=selector).select(pair_id="item_id", label="label")
    if found.is_empty() and len(said):
        raise RecenterError(
            f"responses.selector: nobody called '{selector}' has judged relevance."
            f"{nearest(selector, raters(*judgments))}"
        )
    return found


def raters(*judgments: pl.DataFrame) -> list[str]:
    """Return what a selector can be called: `majority`, and every model and retrieval method that judged a pair.

    judgments: see `answered`. People are left out: their names are their own.
    """
    kinds = pl.concat([part.select("rater", "rater_kind") for part in judgments])
    named = kinds.unique().filter(~pl.col("rater_kind").is_in(PEOPLE)).sort("rater_kind", "rater")
    return [MAJORITY, *named["rater"]]


def relevant(said: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """Return every request with every user who has an attribute that matters for it, in the columns of `COLUMNS`.

    said: see `answered`. pairs: the table. Attributes stand in the order in which the request's pairs do.
    """
    yes = pairs.join(said.filter(label="yes").select("pair_id"), on="pair_id", how="semi").sort("prompt_id", "place")
    found = yes.group_by("prompt_id", "user_id", maintain_order=True).agg(
        attribute_ids="attribute_id", attributes="attribute"
    )
    return found.select(pl.col(name).cast(dtype) for name, dtype in COLUMNS.items())


def sampled(found: pl.DataFrame, pages: int, generators: int, seed: int) -> pl.DataFrame:
    """Return as many of them as make so many pages over all generators, in the order of the draw; at least one.

    found: see `relevant`. Each generator answers all that are drawn. A further one takes the place of at most one that
    was drawn before; a further generator leaves fewer of them, and draws no others.
    """
    places = {f"{request}\0{user}": place for place, (request, user) in enumerate(_keys(found))}
    chosen = drawn(places, max(1, pages // max(generators, 1)), seed, "responses")
    return found[[places[name] for name in chosen]]


def selected_by(selector: str, consensus: pl.DataFrame) -> str:
    """Return who says which attributes matter, in the words of a page."""
    if selector != MAJORITY:
        return selector
    makers = consensus["reference_by"].drop_nulls().unique()
    return _REFERENCES[makers[0]] if len(makers) == 1 else "the majority of annotators"


def counts(
    said: pl.DataFrame, pairs: pl.DataFrame, found: pl.DataFrame, chosen: pl.DataFrame, pages: int, generators: int
) -> pl.DataFrame:
    """Return how many there were at each step: step, n, note.

    said, found and chosen: see `answered`, `relevant` and `sampled`. pages, generators: how many are wanted, of each.
    """
    silent = len(pairs) - len(said)
    per = max(1, pages // max(generators, 1))
    rows = [
        ("pairs of a request and an attribute", len(pairs), ""),
        ("of which the selector speaks", len(said), f"{silent:,} are left out" if silent else ""),
        ("which matter to it", int((said["label"] == "yes").sum()), ""),
        ("requests with a user of whom something matters", len(found), ""),
        ("drawn", len(chosen), f"{pages:,} pages are wanted of {generators:,} generators: {per:,} of each"),
        ("different requests among them", chosen["prompt_id"].n_unique(), ""),
        ("different users", chosen["user_id"].n_unique(), ""),
        ("attributes given, over all", int(chosen["attribute_ids"].list.len().sum()), ""),
    ]
    return pl.DataFrame(rows, schema={"step": pl.String, "n": pl.Int64, "note": pl.String}, orient="row")


def lacking(selector: str, said: pl.DataFrame, pairs: pl.DataFrame, names: Sequence[str]) -> str:
    """Say why there is nothing to answer, and what can be done about it; empty where there is something.

    said: see `answered`. names: see `raters`.
    """
    if (said["label"] == "yes").any():
        return ""
    if pairs.is_empty():
        return "No request meets a user: name a file of requests in pairing.prompts."
    others = [name for name in names if name != selector]
    remedy = f"name another selector in responses.selector, such as '{others[0]}'" if others else "judge more pairs"
    if said.is_empty() and selector == MAJORITY:
        return (
            "It is not known which attributes matter: no annotator who counts has judged a pair, and there is no "
            f"benchmark. Judge relevance, or {remedy}."
        )
    return f"By the selector no attribute matters for any request: {remedy}."


def _keys(found: pl.DataFrame) -> list[tuple[str, str]]:
    return list(found.select("prompt_id", "user_id").iter_rows())
