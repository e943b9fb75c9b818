"""Ratings as numbers: which label each rater gave each item, and what they add up to in each cluster."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

#: A cell without an answer.
MISSING = -1


class Ratings(NamedTuple):
    """The answers of several raters on the same items.

    `codes` has shape (items, raters): the place of the label among `labels`, or MISSING. `cluster` is each item's
    cluster, from 0 to `n_clusters` - 1. `scores` has a number for each label.
    """

    raters: list[Hashable]
    labels: list[Hashable]
    scores: NDArray[np.float64]
    codes: NDArray[np.int64]
    cluster: NDArray[np.int64]
    n_clusters: int

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The pairs of raters, by their columns."""
        return list(combinations(range(len(self.raters)), 2))

    def totals(self, codes: ArrayLike, width: int, weights: ArrayLike | None = None) -> NDArray[np.float64]:
        """Count `codes`, shape (items, columns), in each cluster; a code below 0 counts nowhere.

        Returns:
            Shape (n_clusters, columns, width), or the sums of `weights` where these are given.
        """
        table = np.asarray(codes)
        columns = table.shape[1]
        place = (self.cluster[:, None] * columns + np.arange(columns)) * width + table
        there = table >= 0
        given = None if weights is None else np.broadcast_to(np.asarray(weights, dtype=float), table.shape)[there]
        found = np.bincount(place[there], given, self.n_clusters * columns * width)
        return found.astype(float).reshape(self.n_clusters, columns, width)


def read_ratings(
    wide: pd.DataFrame, labels: Sequence[Hashable] | None, clusters: ArrayLike | None = None, least: int = 1
) -> Ratings:
    """Return the answers of `wide` as numbers.

    Args:
        wide: One row an item, one column a rater; None or NaN where a rater did not answer.
        labels: Every label of the scale, in order, also those that nobody gave. None: the answers are numbers.
        clusters: The cluster of each row; default: each item is its own.
        least: Items with fewer answers are left out.

    Raises:
        ValueError: An answer is none of `labels`, a rater or label stands twice, or clusters do not fit the rows.
    """
    raters: list[Hashable] = list(wide.columns)
    if len(set(raters)) < len(raters):
        raise ValueError(f"A rater has two columns: {raters}.")
    if labels is None:
        numbers = wide.to_numpy(dtype=float, na_value=np.nan).reshape(len(wide), len(raters))
        scale: list[Hashable] = [float(number) for number in np.unique(numbers[np.isfinite(numbers)])]
        codes = np.where(np.isfinite(numbers), np.searchsorted(np.array(scale, dtype=float), numbers), MISSING)
    else:
        scale = list(labels)
        codes = _codes(wide, scale)
    cluster = cluster_index(clusters, len(wide))
    kept = (codes >= 0).sum(axis=1) >= least
    names, cluster = np.unique(cluster[kept], return_inverse=True)
    return Ratings(raters, scale, scores_of(scale), codes[kept].astype(np.int64), cluster, len(names))


def scores_of(labels: Sequence[Hashable]) -> NDArray[np.float64]:
    """Return the numbers that labels stand for: their own where all are numbers, else their places from 0."""
    try:
        scores = [float(label) for label in labels]  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return np.arange(len(labels), dtype=float)
    return np.array(scores) if all(map(math.isfinite, scores)) else np.arange(len(labels), dtype=float)


def numbers(values: ArrayLike) -> NDArray[np.float64]:
    """Return values as floats, NaN where one is missing: None, NaN or NA."""
    column = pd.Series(list(values), dtype=object)  # type: ignore[arg-type]
    return np.asarray(column.where(column.notna(), np.nan), dtype=float)


def _codes(wide: pd.DataFrame, labels: list[Hashable]) -> NDArray[np.int64]:
    if len(set(labels)) < len(labels):
        raise ValueError(f"A label stands twice on the scale: {labels}.")
    place = {label: code for code, label in enumerate(labels)}
    codes = np.full(wide.shape, MISSING)
    for column in range(wide.shape[1]):
        code, said = pd.factorize(wide.iloc[:, column])
        known = np.array([place.get(label, MISSING) for label in said] + [MISSING])
        codes[:, column] = known[code]
        if strange := [label for label in said if label not in place]:
            wrong = int((codes[:, column] == MISSING).sum() - (code == -1).sum())
            raise ValueError(
                f"{wrong} answers of '{wide.columns[column]}' are not on the scale, such as {strange[0]!r}; "
                f"the labels are {labels}."
            )
    return codes


def cluster_index(clusters: ArrayLike | None, rows: int) -> NDArray[np.int64]:
    """Return each row's cluster as a number from 0, in the order of the names; None makes each row its own."""
    if clusters is None:
        return np.arange(rows)
    # Sorted, so that the order of the rows does not decide which draws a cluster gets.
    index, _ = pd.factorize(pd.Series(np.asarray(clusters)), sort=True)
    if len(index) != rows:
        raise ValueError(f"{len(index)} clusters and {rows} rows must be equally many.")
    if (index < 0).any():
        raise ValueError(f"{int((index < 0).sum())} rows have no cluster.")
    return index.astype(np.int64)
