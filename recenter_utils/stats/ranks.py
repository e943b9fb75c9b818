"""Ranks under resampling: an item drawn three times is three items tied with each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recenter_utils.stats.resampling import multinomial_counts

Array = NDArray[np.float64]

#: Item weights held at once, 8 MiB of them.
HELD = 1 << 20


def midranks(counts: Array) -> Array:
    """Return the midrank of each value, less the mean rank, from how often each occurs; values in order.

    counts: shape (..., values). Tied items share the mean of their ranks, as in Spearman's correlation.
    """
    below = counts.cumsum(axis=-1)
    return below - counts / 2 - below[..., -1:] / 2 if counts.shape[-1] else counts


def rank_correlations(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    values: int,
    cluster: NDArray[np.int64],
    clusters: int,
    draws: int,
    seed: int,
) -> tuple[Array, Array]:
    """Return Spearman's correlation of pairs of columns with many distinct values, and its resamples.

    Ranks are made anew in every resample. The work grows with draws x items x pairs; with few distinct values
    the table of joint counts is far cheaper.

    Args:
        first: Codes of the values in order, shape (items, pairs); below 0 where a pair lacks the item.
        second: The same of the other column.
        values: Number of distinct values.
        cluster: Each item's cluster, from 0.
        clusters: Number of clusters.
        draws: Resamples; 0 for none.
        seed: The draws of `multinomial_counts`.

    Returns:
        Values, shape (pairs,), and draws, shape (draws, pairs).
    """
    pairs = first.shape[1]
    whole = np.ones((1, clusters))
    found = np.array([_correlation(whole, first[:, p], second[:, p], cluster)[0] for p in range(pairs)])
    drawn = np.empty((draws, pairs))
    if not draws or not clusters:
        return found, drawn[:0]
    place = 0
    step = max(1, HELD // max(len(first), 1))
    for counts in multinomial_counts(clusters, draws, seed):
        for start in range(0, len(counts), step):
            piece = counts[start : start + step]
            for pair in range(pairs):
                drawn[place : place + len(piece), pair] = _correlation(piece, first[:, pair], second[:, pair], cluster)
            place += len(piece)
    return found, drawn


def _correlation(
    counts: Array, first: NDArray[np.int64], second: NDArray[np.int64], cluster: NDArray[np.int64]
) -> Array:
    """Return the correlation for each row of `counts`, shape (draws, clusters)."""
    both = np.flatnonzero(first >= 0)
    if not len(both):
        return np.full(len(counts), np.nan)
    weight = counts[:, cluster[both]]
    (x, times_x), (y, times_y) = _ranks(weight, first[both]), _ranks(weight, second[both])
    together = np.einsum("di,di,di->d", weight, x, y)
    spread = np.einsum("dv,dv->d", *times_x) * np.einsum("dv,dv->d", *times_y)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(spread == 0, np.nan, together / np.sqrt(spread))


def _ranks(weight: Array, codes: NDArray[np.int64]) -> tuple[Array, tuple[Array, Array]]:
    """Return each item's midrank, and each value's squared midrank with how often it occurs."""
    order = np.argsort(codes, kind="stable")
    _, starts, value = np.unique(codes[order], return_index=True, return_inverse=True)
    times = np.add.reduceat(weight[:, order], starts, axis=1)
    ranks = midranks(times)
    of_item = np.empty_like(weight)
    of_item[:, order] = ranks[:, value]
    return of_item, (times, ranks * ranks)
