"""How well anybody can predict annotators' mean rating: no better than what the annotators share lets them.

Of an item's mean rating, the part that two annotators share repeats with other annotators; the rest is each one's own:
noise, or taste. A prediction that knows the shared part exactly, and nothing else, correlates with the mean ratings as
the square root of their reliability (attenuation, Spearman 1904).
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recenter_utils.stats.pairs import Drawn, divided
from recenter_utils.stats.ratings import cluster_index
from recenter_utils.stats.resampling import resampled

Array = NDArray[np.float64]

_NO_PAIR = "it takes two annotators who rated the same items"


def reliability(ratings: ArrayLike, clusters: ArrayLike | None = None, *, draws: int = 10_000, seed: int = 0) -> Drawn:
    """Return the share of the variance of mean ratings that annotators share.

    The shared variance is the mean covariance of two annotators over the items that both rated, each less their own
    mean on these, pairs weighing as their items less one. Where all annotators rated all items this is Cronbach's
    alpha, which is ICC(3, k), and the Spearman-Brown formula of equal variances. Where they did not, what an item's
    mean owes to who rated it counts as noise. An estimate may be below 0.

    Args:
        ratings: Shape (items, annotators); NaN where there is none. Items without any rating are left out.
        clusters: What is drawn again, a name for each item; default: single items.
        draws: Resamples of the clusters.
        seed: Where they start.
    """
    table = np.asarray(ratings, dtype=float)
    cluster = cluster_index(clusters, len(table))
    rated = np.isfinite(table).any(axis=1)
    table, cluster = table[rated], cluster[rated]
    names, cluster = np.unique(cluster, return_inverse=True)
    known = np.isfinite(table)
    centred = table - np.nanmean(table) if len(table) else table  # so that sums of squares keep their digits
    pairs = [pair for pair in combinations(range(table.shape[1]), 2) if (known[:, pair[0]] & known[:, pair[1]]).any()]
    if not pairs:
        return Drawn(float("nan"), np.full(draws, np.nan), len(names), len(table), _NO_PAIR)
    first, second = (np.array(side) for side in zip(*pairs, strict=True))
    both = known[:, first] & known[:, second]
    x, y = (np.where(both, centred[:, side], 0) for side in (first, second))
    mean = np.nanmean(centred, axis=1)
    items = np.stack([np.ones_like(mean), mean, mean * mean], axis=-1)
    shared = np.concatenate([both, x, y, x * y], axis=1)
    totals = np.zeros((len(names), 3 + shared.shape[1]))
    np.add.at(totals, cluster, np.concatenate([items, shared], axis=1))
    value = float(_reliability(totals.sum(axis=0)))
    drawn = resampled(totals, _reliability, draws, seed) if draws else np.empty(0)
    note = ""
    if np.isnan(value):
        note = _NO_PAIR if both.sum(axis=0).max() < 2 else "all mean ratings are the same"
    return Drawn(value, drawn, len(names), len(table), note)


def ceiling(found: Drawn) -> Drawn:
    """Return the correlation that perfect knowledge of what annotators share would reach: the square root.

    0 where they share less than nothing that can be seen, and 1 at most. found: see `reliability`.
    """
    note = found.note
    if found.value <= 0:
        note = "annotators agree no more than by chance"
    return Drawn(
        float(np.sqrt(np.clip(found.value, 0, 1))), np.sqrt(np.clip(found.draws, 0, 1)), found.clusters, found.n, note
    )


def _reliability(sums: Array) -> Array:
    n, total, squares = sums[..., 0], sums[..., 1], sums[..., 2]
    times, x, y, xy = np.moveaxis(sums[..., 3:].reshape(*sums.shape[:-1], 4, -1), -2, 0)
    covariance = (xy - np.where(times > 0, x * y / np.maximum(times, 1), 0)).sum(axis=-1)
    shared = divided(covariance, np.maximum(times - 1, 0).sum(axis=-1))
    observed = divided(squares - divided(total * total, n), n - 1)
    # What rounding leaves of the spread of equal means is no spread.
    return np.where(observed <= 1e-12, np.nan, divided(shared, observed))
