"""Which requests are drawn, and in which order their attributes stand."""

from __future__ import annotations

import polars as pl

from recenter_utils.lots import drawn, lot
from recenter_utils.tables import table


def sampled(prompts: pl.DataFrame, number: int, seed: int) -> pl.DataFrame:
    """Return `number` requests of the table `prompts`, in the order of the draw: the first pages are a random part."""
    order = pl.DataFrame({"prompt_id": drawn(prompts["prompt_id"], number, seed, "prompts")}, {"prompt_id": pl.String})
    found = order.join(prompts, on="prompt_id", how="left", maintain_order="left")
    return found.select(list(table("prompts").columns))


def pooled(candidates: pl.DataFrame, prompts: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Return the table `pairs`: requests in their order, and the attributes of each, of all its users, shuffled.

    candidates: prompt_id, user_id, attribute_id, attribute and benchmark; a row a pair.
    """
    columns = table("pairs").columns
    places = {name: place for place, name in enumerate(prompts["prompt_id"])}
    rows = sorted(
        candidates.to_dicts(),
        key=lambda row: (
            places[row["prompt_id"]],
            lot(seed, "places", row["prompt_id"], row["attribute_id"]),
            row["attribute_id"],
        ),
    )
    found = pl.DataFrame(rows, schema=candidates.schema)
    found = found.with_columns(
        pair_id=pl.concat_str("prompt_id", "attribute_id", separator="/"),
        place=pl.int_range(pl.len(), dtype=pl.Int64).over("prompt_id"),
    )
    return found.select(list(columns)).cast(columns)
