"""How well several predictions fit one target: correlations and squared errors, with the same resamples for all.

Differences between two predictions are then differences draw by draw, and what they share is no noise in them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recenter_utils.stats.pairs import Drawn, divided, pearson
from recenter_utils.stats.ranks import rank_correlations
from recenter_utils.stats.ratings import cluster_index
from recenter_utils.stats.resampling import resampled

Array = NDArray[np.float64]

#: What can be computed of a target and a prediction.
STATISTICS = ("spearman", "pearson", "mse")

_NO_ITEM = "nothing is both rated and predicted"


def fits(
    target: ArrayLike,
    predictions: ArrayLike,
    statistic: str,
    clusters: ArrayLike | None = None,
    *,
    draws: int = 2000,
    seed: int = 0,
) -> list[Drawn]:
    """Return `statistic` of the target and each prediction, on the items that both have.

    Args:
        target: Shape (items,), or (items, predictions) where each prediction has its own; NaN where unknown.
        predictions: Shape (items, predictions); NaN where there is none.
        statistic: `spearman`, `pearson`, or `mse`, the mean squared difference.
        clusters: What is drawn again, a name for each item; default: single items.
        draws: Resamples of the clusters; calls with the same clusters and seed share them.
        seed: Where they start.
    """
    if statistic not in STATISTICS:
        raise ValueError(f"'{statistic}' is no fit of a prediction: {', '.join(STATISTICS)} are.")
    said = np.asarray(predictions, dtype=float)
    wanted = np.asarray(target, dtype=float)
    wanted = np.broadcast_to(wanted[:, None] if wanted.ndim == 1 else wanted, said.shape)
    there = np.isfinite(wanted) & np.isfinite(said)
    cluster = cluster_index(clusters, len(said))
    number = int(cluster.max()) + 1 if len(cluster) else 0
    if statistic == "spearman":
        values, drawn = _spearman(wanted, said, there, cluster, number, draws, seed)
    else:
        values, drawn = _summed(wanted, said, there, statistic, cluster, number, draws, seed)
    found = []
    for place in range(said.shape[1]):
        items = there[:, place]
        n, note = int(items.sum()), ""
        if np.isnan(values[place]):
            note = _undefined(wanted[items, place], said[items, place])
        found.append(Drawn(float(values[place]), drawn[:, place], len(np.unique(cluster[items])), n, note))
    return found


def mean(parts: list[Drawn]) -> Drawn:
    """Return the mean of one number or more, draw by draw; of those that are defined, with a note of the others."""
    known = [part for part in parts if not np.isnan(part.value)]
    if not known:
        return parts[0]
    drawn = np.stack([part.draws for part in known])
    there = np.isfinite(drawn)
    note = f"{len(parts) - len(known)} of {len(parts)} are undefined and left out" if len(known) < len(parts) else ""
    return Drawn(
        float(np.mean([part.value for part in known])),
        divided(np.where(there, drawn, 0).sum(axis=0), there.sum(axis=0)),
        max(part.clusters for part in known),
        sum(part.n for part in known),
        note,
    )


def out_of_fold(found: Drawn, parts: int, ends: tuple[float, float] = (-np.inf, np.inf)) -> Drawn:
    """Return what was measured on cross-validated predictions with draws spread as widely as they should be.

    Resamples take the predictions as they are. The models of the parts learned from each other's items, so that the
    measure varies more than that: its variance is some 1 + parts / (parts - 1) times as large, by the rule of Nadeau
    and Bengio (2003) for a test part of 1 / (parts - 1) of the training part.

    Args:
        found: A number with draws over all parts.
        parts: How many.
        ends: What the number lies between.
    """
    wider = np.sqrt(1 + parts / (parts - 1)) if parts > 1 else 1.0
    return found._replace(draws=np.clip(found.value + wider * (found.draws - found.value), *ends))


def _spearman(
    wanted: Array,
    said: Array,
    there: NDArray[np.bool_],
    cluster: NDArray[np.int64],
    number: int,
    draws: int,
    seed: int,
) -> tuple[Array, Array]:
    scale = np.unique(np.concatenate([wanted[there], said[there]]))
    codes = [np.where(there, np.searchsorted(scale, values), -1) for values in (wanted, said)]
    return rank_correlations(codes[0], codes[1], len(scale), cluster, number, draws, seed)


def _summed(
    wanted: Array,
    said: Array,
    there: NDArray[np.bool_],
    statistic: str,
    cluster: NDArray[np.int64],
    number: int,
    draws: int,
    seed: int,
) -> tuple[Array, Array]:
    n = there.sum(axis=0)
    x, y = (np.where(there, values, 0) for values in (wanted, said))
    if statistic == "mse":
        parts = [there.astype(float), np.where(there, (x - y) ** 2, 0)]
    else:
        # Less their means, so that sums of squares keep their digits.
        x, y = (np.where(there, values - divided(values.sum(axis=0), n), 0) for values in (x, y))
        parts = [there.astype(float), x, y, x * x, y * y, x * y]
    totals = np.zeros((number, said.shape[1], len(parts)))
    np.add.at(totals, cluster, np.stack(parts, axis=-1))

    def value(sums: Array) -> Array:
        return divided(sums[..., 1], sums[..., 0]) if statistic == "mse" else pearson(sums)

    drawn = resampled(totals, value, draws, seed) if draws and number else np.empty((0, said.shape[1]))
    return value(totals.sum(axis=0)), drawn


def _undefined(wanted: Array, said: Array) -> str:
    if not len(wanted):
        return _NO_ITEM
    if len(wanted) == 1:
        return "one item is no correlation"
    return "all ratings are the same" if np.ptp(wanted) == 0 else "all predictions are the same"
