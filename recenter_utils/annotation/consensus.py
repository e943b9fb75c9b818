"""What annotators said together about each attribute: majority, Dawid-Skene, and whether it is a problem."""

from __future__ import annotations

import polars as pl

from recenter_utils.annotation.annotators import LABELS, included, wide
from recenter_utils.stats import reliability
from recenter_utils.tables import table

#: Stands in tables for attributes without a majority.
NO_MAJORITY = "no majority"


def consensus(judgments: pl.DataFrame, items: pl.DataFrame, excluded: tuple[str, ...] = ()) -> pl.DataFrame:
    """Return the table `consensus`: every item with an answer by an annotator whom study.yaml does not exclude.

    judgments: a table of judgments of attribute quality. items: item_id, user_id, source, kind.
    """
    kept = included(judgments, excluded)
    n = pl.sum_horizontal(LABELS)
    majority = pl.coalesce(*(pl.when(pl.col(label) * 2 > n).then(pl.lit(label)) for label in LABELS))
    counts = kept.group_by("item_id").agg((pl.col("label") == label).sum().alias(label) for label in LABELS)
    found = counts.join(items.select("item_id", "user_id", "source", "kind"), on="item_id").with_columns(
        majority=majority, problematic=(n - pl.col("accepted")) * 2 >= n
    )
    columns = table("consensus").columns
    return found.join(_dawid_skene(kept), on="item_id", how="left").sort("item_id").select(list(columns)).cast(columns)


def crossed(found: pl.DataFrame) -> pl.DataFrame:
    """Return how often the majority (a row) and Dawid-Skene (a column) say what, from the table `consensus`."""
    rows = found.with_columns(pl.col("majority").fill_null(NO_MAJORITY))
    counts = rows.group_by(majority="majority").agg(
        *((pl.col("dawid_skene") == label).sum().alias(f"Dawid-Skene: {label}") for label in LABELS[::-1])
    )
    order = {label: place for place, label in enumerate([*LABELS[::-1], NO_MAJORITY])}
    return counts.sort(pl.col("majority").replace_strict(order, return_dtype=pl.Int64))


def differing(found: pl.DataFrame, merged: pl.DataFrame) -> pl.DataFrame:
    """Return the attributes on which majority and Dawid-Skene differ, the surest of the model's verdicts first.

    merged: the table `merged_attributes`.
    """
    words = merged.select("attribute", item_id="attribute_id")
    return (
        found.filter(pl.col("majority") != pl.col("dawid_skene"))
        .join(words, on="item_id")
        .sort(pl.col("posterior").neg(), "item_id")
        .select("user_id", "attribute", *LABELS[::-1], "majority", "dawid_skene", "posterior")
    )


def _dawid_skene(judgments: pl.DataFrame) -> pl.DataFrame:
    """Return item_id, dawid_skene and posterior; no rows where the model is undefined."""
    posterior = reliability.dawid_skene(wide(judgments), LABELS).posterior
    return pl.DataFrame(
        {
            "item_id": posterior.index.to_list(),
            "dawid_skene": posterior.idxmax(axis=1).to_list() if len(posterior) else [],
            "posterior": posterior.max(axis=1).clip(upper=1).to_list() if len(posterior) else [],
        },
        schema={"item_id": pl.String, "dawid_skene": pl.String, "posterior": pl.Float64},
    )
