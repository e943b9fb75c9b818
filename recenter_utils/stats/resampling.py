"""Intervals from a bootstrap over clusters: people and prompts are drawn again, never their single rows.

Every statistic that is a function of sums over clusters (means, proportions, differences, 2 x 2 tables)
goes through `resampled_totals`: a resample is a multinomial draw of how often each cluster counts, and all
resamples are one matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Counts held at once while drawing, 32 MiB of them.
HELD = 1 << 22


class Interval(NamedTuple):
    """A number with its interval; undefined is NaN, and `reason` says why."""

    value: float
    low: float
    high: float
    reason: str = ""


def multinomial_counts(clusters: int, draws: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield how often each cluster is drawn, in pieces of shape (some draws, clusters) that make up `draws` rows.

    Each row sums to `clusters`. The same seed gives the same rows.
    """
    generator = np.random.default_rng(seed)
    step = max(1, HELD // max(clusters, 1))
    for start in range(0, draws, step):
        size = min(step, draws - start)
        # Counting uniform picks is the same multinomial draw as `generator.multinomial`, seven times as fast.
        picks = generator.integers(clusters, size=(size, clusters)) + clusters * np.arange(size)[:, None]
        yield np.bincount(picks.ravel(), minlength=size * clusters).reshape(size, clusters).astype(float)


def resampled_totals(totals: ArrayLike, draws: int = 10_000, seed: int = 0) -> NDArray[np.float64]:
    """Return the column sums of `totals` in each resample of its rows.

    Args:
        totals: Shape (clusters, columns), one row a cluster; at least one.
        draws: Resamples.
        seed: The same seed gives the same draws, whatever the columns.

    Returns:
        Shape (draws, columns).
    """
    table = np.asarray(totals, dtype=float)
    return np.concatenate([counts @ table for counts in multinomial_counts(len(table), draws, seed)])


def resampled(
    totals: ArrayLike,
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    draws: int = 10_000,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Return `statistic` of the sums of `totals` in each resample of its rows; the draws of `resampled_totals`.

    Only the statistic's values are kept, so that totals may be wide.

    Args:
        totals: Shape (clusters, ...), one row a cluster; at least one.
        statistic: Takes sums of shape (some draws, ...) and returns one row a draw.
        draws: Resamples; at least one.
        seed: The same seed gives the same draws, whatever the columns.

    Returns:
        Shape (draws, ...), as the statistic has it.
    """
    table = np.asarray(totals, dtype=float)
    flat = table.reshape(len(table), math.prod(table.shape[1:]))
    step = max(1, HELD // 16 // max(flat.shape[1], 1))
    parts = []
    for counts in multinomial_counts(len(table), draws, seed):
        for start in range(0, len(counts), step):
            piece = counts[start : start + step]
            parts.append(statistic((piece @ flat).reshape(len(piece), *table.shape[1:])))
    return np.concatenate(parts)


def interval(draws: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval of `draws`: NaN draws are left out, and fewer than two others give NaN.

    A draw is undefined where the statistic is, such as a resample that lacks one of two groups.
    """
    finite = np.asarray(draws, dtype=float)
    finite = finite[np.isfinite(finite)]
    if len(finite) < 2:
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def intervals(draws: ArrayLike, level: float = 0.95) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lower and upper ends of `interval` for each column of `draws`, shape (draws, columns)."""
    columns = np.ascontiguousarray(np.asarray(draws, dtype=float).T)
    ends = np.full((2, len(columns)), np.nan)
    whole = np.isfinite(columns).all(axis=1)
    if columns.shape[1] > 1 and whole.any():
        ends[:, whole] = np.quantile(columns[whole], [(1 - level) / 2, (1 + level) / 2], axis=1)
    for column in np.flatnonzero(~whole):
        ends[:, column] = interval(columns[column], level)
    return ends[0], ends[1]


def noted_intervals(
    values: NDArray[np.float64], draws: NDArray[np.float64], clusters: ArrayLike, notes: list[str], level: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[str]]:
    """Return both ends of each column's interval, and its note with what concerns the interval added.

    Args:
        values: The statistics on the data itself, one a column of draws; an undefined one has no interval.
        draws: Shape (draws, columns); no row at all: no intervals.
        clusters: How many clusters each rests on; a single one gives no interval.
        notes: What is known of each already.
        level: Share of the draws inside the interval.
    """
    alone = np.asarray(clusters) < 2
    if not len(draws):
        return np.full(len(values), np.nan), np.full(len(values), np.nan), notes
    low, high = intervals(draws, level)
    unknown = np.isnan(values) | alone
    low[unknown] = high[unknown] = np.nan
    lacking = np.isnan(draws).sum(axis=0)
    added = []
    for value, note, one, missing in zip(values, notes, alone, lacking, strict=True):
        more = ""
        if not np.isnan(value):
            if one:
                more = "one cluster has no spread between clusters"
            elif missing:
                more = f"{missing} of {len(draws)} resamples leave it undefined and are left out"
        added.append("; ".join(part for part in (note, more) if part))
    return low, high, added


def cluster_bootstrap(
    values: ArrayLike,
    clusters: ArrayLike,
    groups: ArrayLike | None = None,
    draws: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Return a mean, or a difference of two means, with a percentile interval over clusters.

    Args:
        values: One number a row; booleans give a proportion.
        clusters: The cluster of each row, such as its user or its prompt.
        groups: Whether each row belongs to the second group; the value is then the second group's mean minus
            the first's, and a cluster with rows in both counts in both, as it does in the data.
        draws: Resamples.
        seed: Where the draws start; the order of the rows does not matter.
        level: Share of the draws inside the interval.

    Returns:
        The statistic on the data itself and its interval. With no rows, a value that is not finite or an empty
        group all three are NaN; with a single cluster the interval alone is.
    """
    rows = np.asarray(values, dtype=float)
    second = np.zeros(len(rows), dtype=bool) if groups is None else np.asarray(groups, dtype=bool)
    names, index = np.unique(np.asarray(clusters), return_inverse=True)
    if not len(rows) == len(index) == len(second):
        raise ValueError(f"{len(rows)} values, {len(index)} clusters and {len(second)} groups must be equally many.")
    if not len(rows):
        return _undefined("there are no rows")
    if not np.isfinite(rows).all():
        return _undefined("a value is missing or not finite")
    if groups is not None and (second.all() or not second.any()):
        return _undefined("one of the two groups is empty")
    columns = []
    for part in (~second, second) if groups is not None else (~second,):
        columns += [np.bincount(index, rows * part, len(names)), np.bincount(index, part, len(names))]
    totals = np.column_stack(columns)
    value = float(_statistic(totals.sum(axis=0, keepdims=True))[0])
    if len(names) < 2:
        return Interval(value, float("nan"), float("nan"), "one cluster has no spread between clusters")
    resampled = _statistic(resampled_totals(totals, draws, seed))
    lacking = int(np.isnan(resampled).sum())
    reason = f"{lacking} of {draws} resamples lack one of the two groups and are left out" if lacking else ""
    return Interval(value, *interval(resampled, level), reason)


def _statistic(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore", divide="ignore"):
        means = totals[:, 0::2] / totals[:, 1::2]
    return means[:, -1] - (means[:, 0] if means.shape[1] == 2 else 0)


def _undefined(reason: str) -> Interval:
    return Interval(float("nan"), float("nan"), float("nan"), reason)
