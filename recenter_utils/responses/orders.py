"""In which order two responses are shown to a model, and which comparisons it judges in both: drawn, never chosen."""

from __future__ import annotations

import math

import polars as pl

from recenter_utils import lots
from recenter_utils.codebook.responses import CONDITIONS


def drawn(comparisons: pl.DataFrame, rater: str, seed: int) -> pl.DataFrame:
    """Return comparisons with `first_shown`, drawn for each comparison and this rater.

    A draw depends on the seed, the rater and the comparison alone: other rows and their order change none.
    """
    names = comparisons["comparison_id"]
    shown = [CONDITIONS[lots.place(seed, "order", rater, name) % 2] for name in names]
    return comparisons.with_columns(first_shown=pl.Series(shown, dtype=pl.String))


def swapped(comparisons: pl.DataFrame) -> pl.DataFrame:
    """Return comparisons with the other response first. comparisons: with `first_shown`."""
    other = dict(zip(CONDITIONS, CONDITIONS[::-1], strict=True))
    return comparisons.with_columns(pl.col("first_shown").replace_strict(other, return_dtype=pl.String))


def in_both(comparisons: pl.DataFrame, share: float, seed: int) -> pl.DataFrame:
    """Return the comparisons that every model judges in both orders: all of a share of pages, rounded up.

    Whole pages, since pages are what intervals resample.
    """
    pages = comparisons["page_id"].unique().to_list()
    number = math.ceil(round(share * len(pages), 6))  # a product may come out a hair above a whole number
    chosen = lots.drawn(pages, number, seed, "both orders")
    return comparisons.filter(pl.col("page_id").is_in(chosen))


def as_shown(comparisons: pl.DataFrame) -> pl.DataFrame:
    """Return comparisons with `response_a`, the text shown first, and `response_b`.

    comparisons: with `first_shown`, and the texts `generic` and `personalised`.
    """
    first = pl.col("first_shown") == "generic"
    return comparisons.with_columns(
        response_a=pl.when(first).then("generic").otherwise("personalised"),
        response_b=pl.when(first).then("personalised").otherwise("generic"),
    )
