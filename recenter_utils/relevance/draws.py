"""Random draws that depend on a seed and on names alone: not on the order of rows, nor on who else is there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import polars as pl

from recenter_utils.tables import table


def lot(seed: int, *names: str) -> bytes:
    """Return a number drawn for these names, as bytes to sort by."""
    text = "\0".join((str(seed), *names))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def drawn(names: Iterable[str], number: int, seed: int, *purpose: str) -> list[str]:
    """Return `number` of the names, or all where there are fewer, in a random order.

    A further name takes the place of at most one that was drawn before. purpose: what is drawn, so that two draws
    among the same names differ.
    """
    return sorted(names, key=lambda name: (lot(seed, *purpose, name), name))[:number]


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
