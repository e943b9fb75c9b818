"""What reward models learn from: comparisons with their texts, the targets, and parts that no request is divided by."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from recenter_utils.errors import RecenterError

Array = NDArray[np.float64]

#: A comparison with its texts; `cluster` is the request, of which no part is learned from while another is predicted.
SCHEMA: dict[str, Any] = {
    "comparison_id": pl.String,
    "cluster": pl.String,
    "request": pl.String,
    "attribute": pl.String,
    "generic": pl.String,
    "personalised": pl.String,
}

#: Where neither response is better: what ratings are counted from.
MIDDLE = 3.0


def check(comparisons: pl.DataFrame) -> None:
    """Raise where comparisons lack a column or a text."""
    if missing := [name for name in SCHEMA if name not in comparisons.columns]:
        raise RecenterError(f"Reward models need the column{'s' * (len(missing) > 1)} {', '.join(missing)}.")
    for name in SCHEMA:
        if n := comparisons[name].null_count():
            raise RecenterError(f"{n:,} of {len(comparisons):,} comparisons have no {name}.")


def fingerprint(comparisons: pl.DataFrame) -> str:
    """Return a hash of what is read, in the order of the rows."""
    rows = comparisons.select(list(SCHEMA)).rows()
    return hashlib.blake2b(json.dumps(rows).encode(), digest_size=12).hexdigest()


def folds(clusters: ArrayLike, number: int, seed: int) -> NDArray[np.int64]:
    """Return the part of each row, from 0: its request's, drawn by a hash of the request's name.

    Parts have equal numbers of requests, give or take one. Fewer requests than parts make that many parts. The same
    requests and seed give the same parts, whatever the order of the rows.
    """
    names, place = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    lots = [hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest() for name in names]
    part = np.empty(len(names), dtype=np.int64)
    part[sorted(range(len(names)), key=lambda row: (lots[row], names[row]))] = np.arange(len(names))
    return part[place] % max(1, min(number, len(names)))


def drawn(
    rows: NDArray[np.int64], clusters: NDArray, ratings: NDArray[np.int64], number: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Return rows of requests in a random order, up to `number` ratings; the last request is cut where it has more.

    Args:
        rows: What is drawn from.
        clusters: The request of each row of the study.
        ratings: How many ratings each row of the study has.
        number: Ratings to reach; all rows where there are fewer.
        generator: Decides the order of the requests.
    """
    names = generator.permutation(np.unique(clusters[rows]))
    place = {name: order for order, name in enumerate(names)}
    ordered = rows[np.argsort([place[name] for name in clusters[rows]], kind="stable")]
    before = np.cumsum(ratings[ordered]) - ratings[ordered]
    return np.sort(ordered[before < number])
