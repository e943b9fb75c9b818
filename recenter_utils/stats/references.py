"""How well yes-or-no predictions fit several references, each on its own items: means over references.

Such as each annotator in turn against the others. All references are resampled together, over the same clusters, so
that what they share is no noise in a difference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from recenter_utils.stats.confusion import METRICS, NAN, cluster_counts, with_ends, zeros
from recenter_utils.stats.pairs import divided
from recenter_utils.stats.ratings import cluster_index
from recenter_utils.stats.resampling import Interval, resampled

Array = NDArray[np.float64]

_Value = Callable[[Array], Array]


def mean_scores(
    truths: ArrayLike,
    predictions: ArrayLike,
    clusters: ArrayLike | None = None,
    *,
    draws: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    """Return the mean over references of each metric, with a percentile interval over clusters.

    Args:
        truths: Shape (items, references), 0 or 1; NaN where an item is not one of the reference's.
        predictions: The same shape, what is held against each; NaN where there is no answer: left out.
        clusters: What is drawn again, a name for each item; default: single items.
        draws: Resamples, the same ones for all metrics and references; 0 for values only.
        seed: Where they start.
        level: Share of the draws inside the interval.

    Returns:
        The columns of `classification.scores`; n counts items once for each reference that has them. A mean is over the
        references on which its metric is defined, each resample's over those on which it is defined in it. Precision,
        F1 and kappa say nothing of a reference without a positive item, nor kappa of one without a negative item:
        these are left out, unless there is no other.
    """
    (totals,) = _totals(truths, clusters, predictions)
    by_construction = [zeros(counts) for counts in totals.sum(axis=0)]
    found = _means(totals, [(metric.told, metric.value) for metric in METRICS.values()], draws, seed, level)
    rows = []
    for (name, metric), one in zip(METRICS.items(), found, strict=True):
        reason = one.reason or (metric.undefined if np.isnan(one.value) else "")
        if one.value == 0 and all(name in notes for notes in by_construction):
            reason = "; ".join(filter(None, (by_construction[0][name], reason)))
        rows.append({"metric": name, **one._replace(reason=reason)._asdict(), "n": int(totals.sum())})
    table = pd.DataFrame(rows)[["metric", "value", "low", "high", "n", "reason"]]
    table["reason"] = pd.Series([row["reason"] or None for row in rows], dtype=object)
    return table


def mean_difference(
    truths: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    metric: str = "f1",
    clusters: ArrayLike | None = None,
    *,
    draws: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Return the mean over references of the second's metric less the first's, on the items that both answered.

    Arguments as in `mean_scores`; metric: one of `classification.METRICS`.
    """
    chosen = METRICS[metric]
    both = np.concatenate(_totals(truths, clusters, first, second), axis=-1)

    def gap(of: _Value) -> _Value:
        return lambda sums: of(sums[..., 4:]) - of(sums[..., :4])

    (found,) = _means(both, [(gap(chosen.told), gap(chosen.value))], draws, seed, level)
    return found._replace(reason=found.reason or (chosen.undefined if np.isnan(found.value) else ""))


def _totals(truths: ArrayLike, clusters: ArrayLike | None, *answers: ArrayLike) -> list[Array]:
    """Return for each of the answers the counts of `confusion`, shape (clusters, references, 4)."""
    truth, *given = (np.asarray(values, dtype=float) for values in (truths, *answers))
    if truth.ndim != 2 or any(values.shape != truth.shape for values in given):
        shapes = ", ".join(str(values.shape) for values in (truth, *given))
        raise ValueError(f"Truths and predictions must have one shape (items, references), not {shapes}.")
    kept: NDArray[np.bool_] = ~np.isnan(np.stack([truth, *given])).any(axis=0)
    index = cluster_index(clusters, len(truth))
    names, index = np.unique(index[kept.any(axis=1)], return_inverse=True)
    places = np.full(len(truth), -1)
    places[kept.any(axis=1)] = index
    return [
        np.stack(
            [
                cluster_counts(truth[rows, number] == 1, values[rows, number], places[rows], len(names))
                for number, rows in enumerate(kept.T)
            ],
            axis=1,
        )
        if truth.shape[1]
        else np.empty((0, 0, 4))
        for values in given
    ]


def _means(
    totals: Array, values: Sequence[tuple[_Value, _Value]], draws: int, seed: int, level: float
) -> list[Interval]:
    """Return for each of `values` its mean over references.

    values: from counts of shape (..., references, columns), see `Metric.told`; then what holds where that is NaN for
    every reference.
    The reason of an undefined one is left empty where only the caller knows it.
    """
    if not len(totals):
        return [Interval(NAN, NAN, NAN, "there are no items with an answer")] * len(values)
    totals = totals[:, totals.sum(axis=(0, 2)) > 0]  # a reference without any item is none

    def means(sums: Array) -> Array:
        return np.stack([_mean(told(sums)) for told, _ in values], axis=-1)

    drawn = resampled(totals, means, draws, seed) if draws and len(totals) > 1 else np.empty((0, len(values)))
    rows = []
    for place, (told, value) in enumerate(values):
        single = told(totals.sum(axis=0))
        single = value(totals.sum(axis=0)) if np.isnan(single).all() else single
        found = with_ends(float(_mean(single)), drawn[:, place], "", len(totals), draws, level)
        if (lacking := int(np.isnan(single).sum())) and not np.isnan(found.value):
            note = f"undefined on {lacking} of {len(single)} references, which are left out of the mean"
            found = found._replace(reason="; ".join(filter(None, (note, found.reason))))
        rows.append(found)
    return rows


def _mean(values: Array) -> Array:
    """Return the mean over the last axis of what is defined there; NaN where nothing is."""
    there = np.isfinite(values)
    return divided(np.where(there, values, 0).sum(axis=-1), there.sum(axis=-1))
