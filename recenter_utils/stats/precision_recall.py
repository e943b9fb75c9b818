"""Precision and recall over all thresholds of a graded score."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from recenter_utils.stats.ratings import numbers
from recenter_utils.stats.resampling import multinomial_counts

Array = NDArray[np.float64]

#: Item weights held at once, 8 MiB of them.
HELD = 1 << 20


def pr_curve(truth: ArrayLike, scores: ArrayLike) -> pd.DataFrame:
    """Return precision, recall and threshold: one row a distinct score, from the highest, so that recall rises.

    An item counts as predicted positive where its score is at least the threshold. Items without a score (None or
    NaN) are left out. There is no made-up last point, and no row where nothing is positive in truth.
    """
    positive, graded = numbers(truth), numbers(scores)
    known = ~(np.isnan(positive) | np.isnan(graded))
    positive, graded = positive[known] == 1, graded[known]
    if not positive.any():
        return pd.DataFrame({"precision": [], "recall": [], "threshold": []}, dtype=float)
    order, last = _steps(graded)
    hits = np.cumsum(positive[order])[last]
    return pd.DataFrame(
        {"precision": hits / (last + 1), "recall": hits / positive.sum(), "threshold": graded[order][last]}
    )


def precision_value(truth: NDArray[np.bool_], scores: Array) -> float:
    """Return average precision: the sum over thresholds of the step in recall times precision; NaN if none is true."""
    return float(_average_precision(np.ones((1, len(truth))), truth, scores)[0])


def precision_draws(
    truth: NDArray[np.bool_], scores: Array, cluster: NDArray[np.int64], clusters: int, draws: int, seed: int
) -> Array:
    """Return average precision in each resample of clusters; NaN where a resample has nothing positive."""
    step = max(1, HELD // max(len(truth), 1))
    parts = []
    for counts in multinomial_counts(clusters, draws, seed):
        for start in range(0, len(counts), step):
            parts.append(_average_precision(counts[start : start + step, cluster], truth, scores))
    return np.concatenate(parts)


def _average_precision(weight: Array, truth: NDArray[np.bool_], scores: Array) -> Array:
    """Return average precision for each row of item weights, shape (draws, items)."""
    order, last = _steps(scores)
    ordered = weight[:, order]
    hits = np.cumsum(ordered * truth[order], axis=1)[:, last]
    flagged = np.cumsum(ordered, axis=1)[:, last]
    steps = np.diff(hits, axis=1, prepend=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(steps > 0, steps * hits / flagged, 0).sum(axis=1) / hits[:, -1]


def _steps(scores: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the items from the highest score, and where in that order each distinct score ends."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.diff(scores[order], append=-np.inf))
    return order, ends
