"""One judge and one yes-or-no reference: kappa as it is, at its most and at another cut, and the area under the curve.

Each is a function of sums over clusters, so that a resample of clusters needs these sums and never the items.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from recenter_utils.stats.pairs import divided
from recenter_utils.stats.ratings import MISSING, Ratings

Array = NDArray[np.float64]


def kappa_of(n: ArrayLike, reference: ArrayLike, said: ArrayLike, both: ArrayLike) -> Array:
    """Return Cohen's kappa from counts: all items, the reference's yes, the judge's yes, both at once.

    NaN where chance agreement is complete: both give the same one answer.
    """
    items, truth, yes, hits = (np.asarray(counts, dtype=float) for counts in (n, reference, said, both))
    return 1 - divided((truth + yes - 2 * hits) * items, truth * (items - yes) + yes * (items - truth))


def highest_kappa(n: ArrayLike, reference: ArrayLike, said: ArrayLike) -> Array:
    """Return the highest kappa that two such numbers of yes allow: the smaller set lies within the larger one."""
    return kappa_of(n, reference, said, np.minimum(reference, said))


class Sums(NamedTuple):
    """What one judge and one reference sum up to in each cluster.

    `totals` has shape (clusters, 4): items, the reference's yes, the judge's yes, both; `scored` the same of items with
    a score. `seen` and `hits`, shape (scores, clusters), count items and the reference's yes down to each distinct
    score, from the highest. `won`, shape (clusters, clusters), counts how often a yes of the one cluster has a higher
    score than a no of the other.
    """

    totals: Array
    scored: Array
    seen: Array
    hits: Array
    won: Array

    @classmethod
    def of(
        cls,
        truth: NDArray,
        said: NDArray,
        both: NDArray[np.bool_],
        there: NDArray[np.bool_],
        scores: Array,
        of: Ratings,
    ) -> Sums:
        """Count codes 0 and 1 of both over the items where both answered, and over those `there` with a score."""
        kinds = np.stack([np.ones_like(truth), truth, said, truth * said], axis=1)
        totals, scored = (
            of.totals(np.where(counts[:, None], 0, MISSING).repeat(4, axis=1), 1, kinds)[:, :, 0]
            for counts in (both, there)
        )
        distinct, place = np.unique(-scores[there], return_inverse=True)
        shape, cluster, yes = (max(len(distinct), 1), of.n_clusters), of.cluster[there], truth[there] == 1
        at = np.zeros((2, *shape))
        np.add.at(at, (yes.astype(int), place, cluster), 1)
        negatives, positives = at
        below = negatives.sum(axis=0) - np.cumsum(negatives, axis=0) + negatives / 2
        won = np.asarray(sparse.csr_array(positives.T) @ below)
        return cls(totals, scored, np.cumsum(at.sum(axis=0), axis=0), np.cumsum(positives, axis=0), won)

    def statistics(self, counts: Array) -> Array:
        """Return the measured statistics, then kappa on the items with a score, for each row of cluster counts."""
        n, truth, yes, both = (counts @ self.totals).T
        scored = (counts @ self.scored).T
        ranked = divided(((counts @ self.won) * counts).sum(axis=1), scored[1] * (scored[0] - scored[1]))
        columns = [divided(yes, n), divided(truth, n), kappa_of(n, truth, yes, both), highest_kappa(n, truth, yes)]
        return np.column_stack([*columns, self._matched(counts, scored[0], scored[1]), ranked, kappa_of(*scored)])

    def _matched(self, counts: Array, n: Array, wanted: Array) -> Array:
        """Return kappa where the judge says yes as often as the reference, `wanted` times.

        With both numbers of yes given, kappa is linear in the hits, so that its mean over the choices among tied items
        is kappa at their mean hits.
        """
        low, high = np.zeros(len(counts), dtype=int), np.full(len(counts), len(self.seen) - 1)
        while (low < high).any():
            middle = (low + high) // 2
            enough = (self.seen[middle] * counts).sum(axis=1) >= wanted
            low, high = np.where(enough, low, middle + 1), np.where(enough, middle, high)
        (above, sure), (reached, most) = (
            [np.where(place >= 0, (part[place] * counts).sum(axis=1), 0) for part in (self.seen, self.hits)]
            for place in (low - 1, low)
        )
        part = np.nan_to_num(divided(wanted - above, reached - above))
        return kappa_of(n, wanted, wanted, sure + part * (most - sure))
