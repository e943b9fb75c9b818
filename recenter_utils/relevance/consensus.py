"""What annotators said together about each pair, and the reference that selectors are held against (§5.2)."""

from __future__ import annotations

import polars as pl

from recenter_utils.annotation.annotators import included
from recenter_utils.scales import PEOPLE
from recenter_utils.tables import table

#: Why a pair has no majority.
EVEN = "no majority: as many yes as no"
UNJUDGED = "no majority: no annotator who counts judged it"

#: Who made the references, by the kinds of annotators who count: people's only where all of them are people.
_MAKERS = {("human",): "people", ("simulated",): "simulated", PEOPLE: "people and simulated"}


def consensus(judgments: pl.DataFrame, pairs: pl.DataFrame, excluded: tuple[str, ...] = ()) -> pl.DataFrame:
    """Return the table `relevance_consensus`: every pair, judged or not.

    The majority is the answer of more than half of the annotators who answered, whoever skipped; an even split has
    none. The reference is the majority. Only in a study in which no annotator counts it is what the benchmark says.

    judgments: of any raters; those of models are not looked at. pairs: the table. excluded: annotators whom study.yaml
    leaves out.
    """
    people = included(judgments, excluded).filter(pl.col("rater_kind").is_in(PEOPLE))
    counts = people.group_by(pair_id="item_id").agg(
        (pl.col("label") == label).sum().cast(pl.Int64).alias(label) for label in ("yes", "no")
    )
    found = pairs.join(counts, on="pair_id", how="left", maintain_order="left").with_columns(
        pl.col("yes", "no").fill_null(0)
    )
    majority = pl.when(pl.col("yes") > pl.col("no")).then(pl.lit("yes")).when(pl.col("no") > pl.col("yes"))
    found = found.with_columns(majority=majority.then(pl.lit("no")))
    if people.is_empty():
        linked = pl.when("benchmark").then(pl.lit("yes")).when(~pl.col("benchmark")).then(pl.lit("no"))
        found = found.with_columns(reference=linked, by=pl.lit("benchmark"))
    else:
        kinds = tuple(kind for kind in PEOPLE if kind in people["rater_kind"])
        found = found.with_columns(reference="majority", by=pl.lit(_MAKERS[kinds]))
    found = found.with_columns(reference_by=pl.when(pl.col("reference").is_not_null()).then("by"))
    columns = table("relevance_consensus").columns
    return found.select(list(columns)).cast(columns)


def counts(found: pl.DataFrame) -> pl.DataFrame:
    """Return how many pairs have which majority, and how many have none and why: outcome, pairs, share, requests.

    found: the table `relevance_consensus`.
    """
    judged = pl.col("yes") + pl.col("no") > 0
    outcome = (
        pl.when(pl.col("majority").is_not_null())
        .then(pl.format("majority: {}", "majority"))
        .when(judged)
        .then(pl.lit(EVEN))
        .otherwise(pl.lit(UNJUDGED))
    )
    counted = (
        found.with_columns(outcome=outcome)
        .group_by("outcome")
        .agg(pairs=pl.len().cast(pl.Int64), requests=pl.col("prompt_id").n_unique().cast(pl.Int64))
    )
    order = pl.DataFrame({"outcome": ["majority: yes", "majority: no", EVEN, UNJUDGED]})
    every = order.join(counted, on="outcome", how="left", maintain_order="left").with_columns(
        pl.col("pairs", "requests").fill_null(0)
    )
    share = pl.col("pairs") / len(found) if len(found) else pl.lit(None, pl.Float64)
    return every.select("outcome", "pairs", share.alias("share"), "requests")
