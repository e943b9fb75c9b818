"""Agreement of a whole panel of raters: percent agreement, Fleiss' kappa, Gwet's AC1, Krippendorff's alpha.

Raters are interchangeable here and items may have unequal numbers of answers. Alpha takes items with two answers
or more. The others follow Gwet (2014, Handbook of Inter-Rater Reliability, chapters 2 and 3): an item's agreement
is the share of its pairs of answers that are equal, averaged over items with two answers or more; a label's share
is averaged over all items, each item's answers sharing one vote. With equal numbers this is Fleiss (1971).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from recenter_utils.stats.pairs import ac1_from, divided
from recenter_utils.stats.ratings import Ratings

Array = NDArray[np.float64]

#: How labels differ: as kinds, by rank, or by number.
MEASUREMENTS = ("nominal", "ordinal", "interval")

#: What can be computed for a panel.
STATISTICS = ("percent_agreement", "fleiss_kappa", "krippendorff_alpha", "gwet_ac1")

#: Chance agreement that is complete up to rounding.
ROUNDING = 1e-12


def panel_sums(
    ratings: Ratings, statistic: str, measurement: str = "nominal"
) -> tuple[Array, Callable[[Array], Array]]:
    """Return what `statistic` sums over items, shape (clusters, sums), and the function from sums to values."""
    if statistic not in STATISTICS:
        raise ValueError(f"'{statistic}' is no statistic of a panel: {', '.join(STATISTICS)} are.")
    if measurement not in MEASUREMENTS:
        raise ValueError(f"'{measurement}' is no level of measurement: {', '.join(MEASUREMENTS)} are.")
    counts = _label_counts(ratings)
    answers = counts.sum(axis=1)
    several = answers > 1
    if statistic == "krippendorff_alpha":
        return _coincidences(ratings, counts), alpha(ratings.scores, measurement)
    agreed = np.zeros(len(counts))
    chosen = counts[several]
    agreed[several] = (chosen * (chosen - 1)).sum(axis=1) / (answers[several] * (answers[several] - 1))
    sums = np.column_stack([agreed, several, counts / np.maximum(answers, 1)[:, None]])
    value = {"percent_agreement": _percent, "fleiss_kappa": _fleiss, "gwet_ac1": _gwet}[statistic]
    return _by_cluster(sums, ratings.cluster, ratings.n_clusters), value


def panel_note(ratings: Ratings, statistic: str, undefined: bool) -> str:
    """Say why a value is missing; empty where it is not."""
    if not undefined:
        return ""
    if len(ratings.raters) < 2:
        return "agreement needs two raters"
    if not ((ratings.codes >= 0).sum(axis=1) > 1).any():
        return "no item has answers from two raters"
    if statistic == "gwet_ac1":
        return "a scale of one label has nothing to agree on"
    return "all answers are the same one label, so that chance agreement is complete"


def alpha(scores: Array, measurement: str) -> Callable[[Array], Array]:
    """Return the function from summed coincidences, shape (..., labels * labels), to Krippendorff's alpha.

    The distance of two labels is 1 (nominal), the squared difference of their numbers (interval), or of their
    midranks among the answers summed (ordinal: Krippendorff 2019, chapter 12), so that it is made anew in every
    resample.
    """
    labels = len(scores)

    def value(sums: Array) -> Array:
        together = sums.reshape(*sums.shape[:-1], labels, labels)
        times = together.sum(axis=-1)
        n = times.sum(axis=-1)
        if measurement == "nominal":
            observed = n - np.einsum("...aa->...", together)
            expected = n * n - (times * times).sum(axis=-1)
        else:
            places = np.broadcast_to(scores, times.shape)
            if measurement == "ordinal":
                places = times.cumsum(axis=-1) - times / 2
            distance = (places[..., :, None] - places[..., None, :]) ** 2
            observed = (together * distance).sum(axis=(-1, -2))
            expected = ((times[..., None, :] @ distance)[..., 0, :] * times).sum(axis=-1)
        with np.errstate(invalid="ignore"):
            lone = expected <= ROUNDING * n * n * _scale(scores, measurement, n)
        return np.where(lone, np.nan, 1 - divided((n - 1) * observed, expected))

    return value


def _scale(scores: Array, measurement: str, n: Array) -> Array:
    """Return the size of a squared distance, which rounding is judged against."""
    if measurement == "ordinal":
        return n * n
    return np.full(n.shape, float(np.ptp(scores)) ** 2 if measurement == "interval" and len(scores) else 1.0)


def _label_counts(ratings: Ratings) -> Array:
    """Return how many raters gave each item each label, shape (items, labels)."""
    items, labels = len(ratings.codes), len(ratings.labels)
    there = ratings.codes >= 0
    place = np.arange(items)[:, None] * labels + ratings.codes
    return np.bincount(place[there], minlength=items * labels).reshape(items, labels).astype(float)


def _coincidences(ratings: Ratings, counts: Array) -> Array:
    """Return Krippendorff's coincidences of labels in each cluster, shape (clusters, labels * labels).

    An item with m answers gives m * (m - 1) ordered pairs of them, each counted 1 / (m - 1) times.
    """
    labels = counts.shape[1]
    table = np.zeros((ratings.n_clusters, labels, labels))
    rows = np.flatnonzero(counts.sum(axis=1) > 1)
    rows = rows[np.argsort(ratings.cluster[rows], kind="stable")]
    names, starts = np.unique(ratings.cluster[rows], return_index=True)
    for name, part in zip(names, np.split(counts[rows], starts[1:]), strict=False):
        once = part / (part.sum(axis=1, keepdims=True) - 1)
        table[name] = once.T @ part - np.diag(once.sum(axis=0))
    return table.reshape(ratings.n_clusters, labels * labels)


def _by_cluster(rows: Array, cluster: NDArray[np.int64], clusters: int) -> Array:
    sums = np.zeros((clusters, rows.shape[1]))
    np.add.at(sums, cluster, rows)
    return sums


def _shares(sums: Array) -> tuple[Array, Array]:
    """Return the share of agreement and each label's share of the answers."""
    votes = sums[..., 2:]
    return divided(sums[..., 0], sums[..., 1]), divided(votes, votes.sum(axis=-1, keepdims=True))


def _percent(sums: Array) -> Array:
    return _shares(sums)[0]


def _fleiss(sums: Array) -> Array:
    agreement, shares = _shares(sums)
    chance = (shares**2).sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(1 - chance <= ROUNDING, np.nan, (agreement - chance) / (1 - chance))


def _gwet(sums: Array) -> Array:
    return ac1_from(*_shares(sums))
