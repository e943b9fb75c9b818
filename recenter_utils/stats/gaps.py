"""Gaps in ratings between marked items and others: pooled, within strata, and what the mix of strata alone makes.

Where strata with more marked items are rated lower, the pooled gap is below the gap within them, and where they are
rated higher above it. With n marked and m other ratings in a stratum, the gap within strata weighs each stratum's own
by nm / (n + m), as least squares with a dummy for each stratum does. The three are bound together exactly:

    pooled = mix + share · within

where the mix is the gap that the strata's mean ratings alone would make, and the share is the part of the variance of
the mark that lies within strata. All are functions of sums over clusters, so that a resample needs no single rating.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, t

from recenter_utils.stats.pairs import divided

Array = NDArray[np.float64]
Codes = NDArray[np.int64]

#: Part of a variance below which nothing is left of it but rounding.
ROUNDING = 1e-10


def cells(values: Array, marked: NDArray[np.bool_], stratum: Codes, cluster: Codes, clusters: int) -> Array:
    """Return the numbers and sums of ratings, shape (clusters, strata, 2, 2): not marked and marked; number and sum.

    Args:
        values: The ratings, shape (ratings,).
        marked: Whether each one's item is marked.
        stratum: Its stratum, from 0.
        cluster: Its cluster, from 0.
        clusters: How many clusters there are, also those without a rating.
    """
    strata = int(stratum.max(initial=-1)) + 1
    place = (cluster * strata + stratum) * 2 + marked
    size = clusters * strata * 2
    both = [np.bincount(place, weights, size) for weights in (None, values)]
    return np.stack(both, axis=-1).astype(float).reshape(clusters, strata, 2, 2)


def pooled(sums: Array) -> Array:
    """Return the mean of all marked ratings less that of the others; sums: (..., strata, 2, 2), see `cells`."""
    n, total = np.moveaxis(sums.sum(axis=-3), -1, 0)
    means = divided(total, n)
    return means[..., 1] - means[..., 0]


def within(sums: Array) -> Array:
    """Return the gap within strata; NaN where no stratum has ratings of both kinds. sums: see `pooled`."""
    top, weight = _weighed(sums)
    return divided(top.sum(axis=-1), weight.sum(axis=-1))


def mix(sums: Array) -> Array:
    """Return the pooled gap that there would be if each rating were the mean of its stratum. sums: see `pooled`."""
    n, total = sums[..., 0], sums[..., 1]
    size, both = n.sum(axis=-1), total.sum(axis=-1)
    # Less the mean of all, so that strata which are rated alike make a gap of exactly 0.
    means = divided(both, size) - divided(both.sum(axis=-1), size.sum(axis=-1))[..., None]
    shares = divided(n, n.sum(axis=-2, keepdims=True))
    return ((shares[..., 1] - shares[..., 0]) * np.nan_to_num(means)).sum(axis=-1)


def nested(values: Array, marked: NDArray[np.bool_], stratum: Codes, cluster: Codes, clusters: int) -> Array:
    """Return what the gap within strata sums over clusters where no stratum lies in two, shape (clusters, 2).

    However many strata there are, such as one a page, two numbers of a cluster say all of them: see `ratio`.
    """
    top, weight = _weighed(cells(values, marked, np.zeros_like(stratum), stratum, int(stratum.max(initial=-1)) + 1))
    home = np.zeros(len(top), dtype=np.int64)
    home[stratum] = cluster
    if not (home[stratum] == cluster).all():
        raise ValueError("A stratum lies in two clusters.")
    return np.column_stack([np.bincount(home, part[:, 0], clusters) for part in (top, weight)])


def ratio(sums: Array) -> Array:
    """Return the gap from the sums of `nested`, shape (..., 2)."""
    return divided(sums[..., 0], sums[..., 1])


def crossed(
    values: Array, marked: NDArray[np.bool_], stratum: Codes, crossing: Codes, cluster: Codes, clusters: int
) -> Array:
    """Return what the gap within two crossed kinds of strata sums over clusters; see `partial`.

    Args:
        values: The ratings.
        marked: Whether each one's item is marked.
        stratum: A stratum that lies in one cluster, such as a request.
        crossing: One that lies in several, such as a generator; few of them.
        cluster: Each rating's cluster, from 0.
        clusters: How many clusters there are.

    Returns:
        Products of the mark, a dummy for each crossing stratum and the rating, all less their means in the stratum:
        shape (clusters, c, c), c = crossing strata + 2.
    """
    dummies = crossing[:, None] == np.arange(int(crossing.max(initial=-1)) + 1)
    columns = np.column_stack([marked, dummies, values]).astype(float)
    strata = int(stratum.max(initial=-1)) + 1
    n = np.maximum(np.bincount(stratum, minlength=strata), 1)
    means = np.column_stack([np.bincount(stratum, column, strata) for column in columns.T]).reshape(strata, -1)
    columns -= (means / n[:, None])[stratum]
    found = np.zeros((clusters, columns.shape[1], columns.shape[1]))
    np.add.at(found, cluster, columns[:, :, None] * columns[:, None, :])
    return found


def partial(sums: Array) -> Array:
    """Return the coefficient of the mark beside dummies for both kinds of strata. sums: (..., c, c), see `crossed`."""
    mark, others = sums[..., 0, 1:-1], sums[..., 1:-1, 1:-1]
    # The dummies of a resample may say the same twice, or one of them nothing: least squares of the shortest length.
    explained = np.einsum("...i,...ij->...j", mark, np.linalg.pinv(others, rcond=1e-9, hermitian=True))
    left = sums[..., 0, 0] - np.einsum("...i,...i->...", explained, mark)
    top = sums[..., 0, -1] - np.einsum("...i,...i->...", explained, sums[..., 1:-1, -1])
    return divided(top, np.where(left <= ROUNDING * np.maximum(sums[..., 0, 0], 1), 0.0, left))


def reach(clusters: int, level: float = 0.95) -> float:
    """Return how many times as far from the estimate an interval's ends go for resting on few clusters.

    A resample of k clusters spreads as if there were k / (k - 1) times as many of them, and its quantiles take the
    spread as known: the factor is t(k - 1) / z · sqrt(k / (k - 1)), as for the mean of k numbers (Hesterberg 2015,
    "What teachers should know about the bootstrap", section 4). NaN below two clusters, which have no spread.
    """
    if clusters < 2:
        return math.nan
    upper = (1 + level) / 2
    return float(t.ppf(upper, clusters - 1) / norm.ppf(upper) * math.sqrt(clusters / (clusters - 1)))


class Parts(NamedTuple):
    """A pooled gap taken apart: pooled = mix + share · within."""

    pooled: float
    mix: float
    share: float
    within: float


def parts_of(n: ArrayLike, marked: ArrayLike, means: ArrayLike, pooled: float) -> Parts:
    """Take a pooled gap apart where only each stratum's mean rating is known, and not its means of both kinds.

    The gap within strata follows exactly: it is what is left of the pooled one, over the share.

    Args:
        n: Ratings of each stratum.
        marked: How many of them are of marked items.
        means: The mean of all its ratings.
        pooled: The gap over all strata.

    Returns:
        Share and within are NaN where all ratings are of one kind, within also where no stratum has both.
    """
    size, one = np.asarray(n, dtype=float), np.asarray(marked, dtype=float)
    kinds = np.stack([size - one, one], axis=-1)
    # With each rating at its stratum's mean the pooled gap is the mix.
    alone = mix(np.stack([kinds, kinds * np.asarray(means, dtype=float)[:, None]], axis=-1))
    weight = divided(kinds.prod(axis=-1), size)
    share = float(np.nansum(weight) * divided(size.sum(), kinds.sum(axis=0).prod()))
    return Parts(pooled, float(alone), share, float(divided(np.array(pooled - float(alone)), np.array(share))))


def _weighed(sums: Array) -> tuple[Array, Array]:
    """Return each stratum's gap times its weight, and its weight; 0 where it lacks a kind."""
    n, total = sums[..., 0], sums[..., 1]
    size = np.maximum(n.sum(axis=-1), 1)
    top = (total[..., 1] * n[..., 0] - total[..., 0] * n[..., 1]) / size
    return top, n.prod(axis=-1) / size
