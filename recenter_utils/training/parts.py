"""Parts of the data to learn from, to choose on and to test on; a cluster (a user, a request) is in one of them."""

from __future__ import annotations

import hashlib

import polars as pl


def divide(clusters: pl.DataFrame, validation: float, test: float, seed: int) -> dict[str, str]:
    """Return the part of each cluster: train, validation or test, drawn by a hash of its name.

    The same seed and clusters give the same parts, whatever the order of the rows. A group of two clusters or more has
    one in the test part, one of three or more also one in the validation part.

    Args:
        clusters: Columns cluster, distinct; group, each of which is divided in these shares; and stratum, each of which
            is spread evenly over its group's parts.
        validation: Share of a group's clusters to choose on.
        test: Share that is only measured on.
        seed: Where the draw starts.
    """
    drawn = [hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).hexdigest() for name in clusters["cluster"]]
    # Each stratum's clusters are spread evenly over 0 to 1, so that a stretch of it holds all strata in proportion.
    placed = clusters.with_columns(drawn=pl.Series(drawn, dtype=pl.String)).with_columns(
        place=(pl.col("drawn").rank("ordinal").over("stratum") - 0.5) / pl.len().over("stratum")
    )
    parts: dict[str, str] = {}
    for _, group in placed.sort("place", "drawn").group_by("group", maintain_order=True):
        names = group["cluster"].to_list()
        tested = max(1, round(test * len(names))) if len(names) > 1 else 0
        chosen = max(1, round(validation * len(names))) if len(names) > 2 else 0
        for number, name in enumerate(names):
            parts[name] = "test" if number < tested else "validation" if number < tested + chosen else "train"
    return parts
