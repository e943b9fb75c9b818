"""Agreement of two raters, for all pairs at once: what a statistic sums over clusters, and its value from the sums.

A pair uses the items that both raters answered. Each statistic is a function of sums over items, so that a
resample of clusters needs the sums of each cluster and never the items.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recenter_utils.stats.ranks import midranks, rank_correlations
from recenter_utils.stats.ratings import MISSING, Ratings
from recenter_utils.stats.resampling import Interval, noted_intervals, resampled

Array = NDArray[np.float64]

#: What can be computed for a pair of raters.
STATISTICS = ("kappa", "linear_kappa", "quadratic_kappa", "agreement", "ac1", "spearman", "pearson")

#: Up to so many labels, Spearman's sums are the whole table of joint counts.
FEW_LABELS = 32


#: What is said of a kappa that could not be another number.
CONSTANT = "a rater gave one label only: the value is 0 whatever the other one says"

#: Items that a pair of raters must share for its agreement to count in a mean over pairs. With fewer, chance decides.
LEAST_SHARED = 20


class PairEstimates(NamedTuple):
    """Values of all pairs, draws (draws, pairs), items shared in each cluster (clusters, pairs), and notes."""

    values: Array
    draws: Array
    shared: Array
    notes: list[str]

    @property
    def n(self) -> NDArray[np.int64]:
        """The items of each pair."""
        return self.shared.sum(axis=0).astype(np.int64)

    @property
    def clusters(self) -> NDArray[np.int64]:
        """The clusters in which each pair shares an item."""
        return (self.shared > 0).sum(axis=0)


class Drawn(NamedTuple):
    """A number, its draws, the clusters it rests on, how many things are in it, and what to know of it."""

    value: float
    draws: Array
    clusters: int
    n: int
    note: str

    def interval(self, level: float = 0.95) -> Interval:
        """Return it with its interval."""
        value, drawn = np.array([self.value]), self.draws[:, None]
        low, high, (note,) = noted_intervals(value, drawn, [self.clusters], [self.note], level)
        return Interval(self.value, float(low[0]), float(high[0]), note)

    def less(self, other: Drawn) -> Drawn:
        """Return this less the other, draw by draw."""
        undefined = [one.note for one in (self, other) if np.isnan(one.value)]
        notes = dict.fromkeys(filter(None, undefined or (self.note, other.note)))
        return Drawn(
            self.value - other.value,
            self.draws - other.draws,
            min(self.clusters, other.clusters),
            self.n + other.n,
            "; ".join(notes),
        )


def mean_of_pairs(found: PairEstimates, members: NDArray[np.bool_], least_shared: int = LEAST_SHARED) -> Drawn:
    """Return the mean over those pairs that are members, share enough items and have a value.

    Where no member shares `least_shared` items all of them count. Each resample's mean is over the pairs that have a
    value in it; its `n` counts pairs.
    """
    enough = members & (found.n >= least_shared)
    notes = []
    if few := int(members.sum() - enough.sum()) if enough.any() else 0:
        notes.append(f"{few} of {members.sum()} pairs share fewer than {least_shared} items and are left out")
    if not enough.any():
        enough = members
        notes.append(f"no pair shares {least_shared} items, so all count" if members.any() else "")
    kept = enough & np.isfinite(found.values)
    if not kept.any():
        places = np.flatnonzero(enough)
        why = found.notes[places[0]] if len(places) else "agreement needs two raters"
        return Drawn(float("nan"), np.full(len(found.draws), np.nan), 0, 0, why)
    if undefined := int((enough & ~kept).sum()):
        notes.append(f"{undefined} of {members.sum()} pairs are undefined and left out")
    if constant := sum(found.notes[place] == CONSTANT for place in np.flatnonzero(kept)):
        notes.append(f"{constant} of {kept.sum()} pairs have a rater who gave one answer only: 0 by construction")
    # Few raters who judge the same few clusters: most resamples lack one pair or another, and none should be lost.
    there = np.isfinite(found.draws[:, kept])
    pairs_drawn = there.sum(axis=1)
    drawn = divided(np.where(there, found.draws[:, kept], 0).sum(axis=1), pairs_drawn)
    if fewer := int(((pairs_drawn > 0) & (pairs_drawn < kept.sum())).sum()):
        notes.append(f"{fewer:,} of {len(drawn):,} resamples lack some of the pairs and average the others")
    clusters = int((found.shared[:, kept] > 0).any(axis=1).sum())
    return Drawn(float(found.values[kept].mean()), drawn, clusters, int(kept.sum()), "; ".join(filter(None, notes)))


def estimate_pairs(ratings: Ratings, statistic: str, draws: int, seed: int) -> PairEstimates:
    """Return `statistic` of every pair of raters, with the same resamples of clusters for all of them."""
    if statistic not in STATISTICS:
        raise ValueError(f"'{statistic}' is no statistic of a pair: {', '.join(STATISTICS)} are.")
    first, second = _paired(ratings)
    n = ratings.totals(np.where(first >= 0, 0, MISSING), 1)[:, :, 0]
    labels = len(ratings.labels)
    used = [(ratings.totals(side, labels).sum(axis=0) > 0).sum(axis=1) for side in (first, second)]
    if statistic == "spearman" and labels > FEW_LABELS:
        values, drawn = rank_correlations(first, second, labels, ratings.cluster, ratings.n_clusters, draws, seed)
    else:
        totals, value = _sums(ratings, first, second, statistic)
        values = value(totals.sum(axis=0, keepdims=True))[0]
        drawn = resampled(totals, value, draws, seed) if draws and ratings.n_clusters else np.empty((0, len(values)))
    notes = [
        _note(statistic, int(count), int(min(a, b)), bool(np.isnan(value)))
        for count, a, b, value in zip(n.sum(axis=0), *used, values, strict=True)
    ]
    return PairEstimates(values, drawn, n, notes)


def disagreement_weights(labels: int, statistic: str) -> Array:
    """Return how far apart two labels count, shape (labels, labels), as Cohen (1968) weighs them: 0 is the same."""
    apart = np.abs(np.subtract.outer(np.arange(labels), np.arange(labels))).astype(float)
    return {"linear_kappa": apart, "quadratic_kappa": apart**2}.get(statistic, (apart > 0).astype(float))


def _paired(ratings: Ratings) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return both raters' codes, shape (items, pairs): MISSING for both where either is."""
    left = [a for a, _ in ratings.pairs]
    right = [b for _, b in ratings.pairs]
    first, second = ratings.codes[:, left], ratings.codes[:, right]
    both = (first >= 0) & (second >= 0)
    return np.where(both, first, MISSING), np.where(both, second, MISSING)


def _sums(
    ratings: Ratings, first: NDArray[np.int64], second: NDArray[np.int64], statistic: str
) -> tuple[Array, Callable[[Array], Array]]:
    """Return what is summed, shape (clusters, pairs, sums), and the function from sums to values."""
    labels = len(ratings.labels)
    one = np.where(first >= 0, 0, MISSING)
    if statistic == "spearman":
        return ratings.totals(np.where(first >= 0, first * labels + second, MISSING), labels**2), _spearman(labels)
    if statistic == "pearson":
        x, y = _centred(ratings.scores, first), _centred(ratings.scores, second)
        parts = [ratings.totals(one, 1, weights) for weights in (np.ones_like(x), x, y, x * x, y * y, x * y)]
        return np.concatenate(parts, axis=2), pearson
    weights = disagreement_weights(max(labels, 1), statistic)
    apart = ratings.totals(one, 1, weights[first, second])
    rows, columns = ratings.totals(first, labels), ratings.totals(second, labels)
    value = {"agreement": _agreement, "ac1": _ac1}.get(statistic, _kappa(weights))
    return np.concatenate([apart, rows, columns], axis=2), value


def _centred(scores: Array, codes: NDArray[np.int64]) -> Array:
    """Return the numbers of codes less each column's mean, so that sums of squares keep their digits."""
    there = codes >= 0
    found = np.where(there, scores[codes], 0) if len(scores) else np.zeros(codes.shape)
    return np.where(there, found - found.sum(axis=0) / np.maximum(there.sum(axis=0), 1), 0)


def _margins(sums: Array) -> tuple[Array, Array, Array]:
    """Return the summed disagreement and both raters' label counts."""
    labels = sums.shape[-1] // 2
    return sums[..., 0], sums[..., 1 : 1 + labels], sums[..., 1 + labels :]


def _agreement(sums: Array) -> Array:
    apart, rows, _ = _margins(sums)
    return 1 - divided(apart, rows.sum(axis=-1))


def _kappa(weights: Array) -> Callable[[Array], Array]:
    def value(sums: Array) -> Array:
        apart, rows, columns = _margins(sums)
        if not rows.shape[-1]:
            return np.full(apart.shape, np.nan)
        return 1 - divided(apart * rows.sum(axis=-1), ((rows @ weights) * columns).sum(axis=-1))

    return value


def _ac1(sums: Array) -> Array:
    apart, rows, columns = _margins(sums)
    n = rows.sum(axis=-1)
    return ac1_from(1 - divided(apart, n), divided(rows + columns, 2 * n[..., None]))


def ac1_from(agreement: Array, shares: Array) -> Array:
    """Return Gwet's AC1 from the share of agreement and the labels' mean shares, shape (..., labels).

    Chance agreement is the mean over labels of share * (1 - share), times labels / (labels - 1) (Gwet 2008).
    """
    labels = shares.shape[-1]
    if labels < 2:
        return np.full(agreement.shape, np.nan)
    chance = (shares * (1 - shares)).sum(axis=-1) / (labels - 1)
    return (agreement - chance) / (1 - chance)


def pearson(sums: Array) -> Array:
    """Return Pearson's correlation from sums of 1, x, y, xx, yy and xy on the last axis; NaN where one is constant."""
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    spread_x, spread_y = n * xx - x * x, n * yy - y * y
    # What rounding leaves of a rater's spread where all numbers are the same is no spread.
    flat = (spread_x <= 1e-12 * n * xx) | (spread_y <= 1e-12 * n * yy)
    return np.where(flat, np.nan, divided(n * xy - x * y, np.sqrt(np.maximum(spread_x * spread_y, 0))))


def _spearman(labels: int) -> Callable[[Array], Array]:
    def value(sums: Array) -> Array:
        joint = sums.reshape(*sums.shape[:-1], labels, labels)
        rows, columns = joint.sum(axis=-1), joint.sum(axis=-2)
        x, y = midranks(rows), midranks(columns)
        together = ((x[..., None, :] @ joint)[..., 0, :] * y).sum(axis=-1)
        return divided(together, np.sqrt((rows * x * x).sum(axis=-1) * (columns * y * y).sum(axis=-1)))

    return value


def divided(top: Array, bottom: Array) -> Array:
    """Return top / bottom, NaN where the bottom is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(bottom == 0, np.nan, top / bottom)


def _note(statistic: str, n: int, fewest: int, undefined: bool) -> str:
    """Say why a pair's value is missing, or why it is 0 by construction."""
    if not n:
        return "no item has an answer from both raters"
    if statistic in ("spearman", "pearson"):
        return "" if not undefined else "one item is no correlation" if n == 1 else "a rater gave one answer only"
    if statistic.endswith("kappa"):
        if undefined:
            return "both raters gave the same one label only, so that chance agreement is complete"
        if fewest == 1:
            return CONSTANT
    return "a scale of one label has nothing to agree on" if undefined else ""
