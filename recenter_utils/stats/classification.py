"""How well yes-or-no predictions fit the truth, with intervals over clusters; two predictors on the same items."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from recenter_utils.stats import confusion
from recenter_utils.stats.precision_recall import pr_curve, precision_draws, precision_value
from recenter_utils.stats.ratings import cluster_index, numbers
from recenter_utils.stats.resampling import Interval, resampled

__all__ = ["METRICS", "average_precision", "difference", "from_counts", "pr_curve", "scores"]

Array = NDArray[np.float64]

NAN = float("nan")


#: What `scores` computes, in the order of its rows.
METRICS = tuple(confusion.METRICS)


def scores(
    truth: ArrayLike,
    predicted: ArrayLike,
    clusters: ArrayLike | None = None,
    *,
    draws: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    """Return what describes yes-or-no predictions, each with a percentile interval over clusters.

    Args:
        truth: Booleans (or 0 and 1), whether each item is positive.
        predicted: The same as predicted; None or NaN where there is no answer, and the item is left out.
        clusters: What is drawn again, a name for each item, such as its user; default: single items.
        draws: Resamples, the same ones for all metrics; 0 for values only.
        seed: Where they start.
        level: Share of the draws inside the interval.

    Returns:
        metric (accuracy, precision, recall, f1, kappa, flag_rate: the share predicted positive), value, low, high
        (NaN where undefined), n (items with an answer) and reason (None, or why a number is missing or what to
        know of it). Precision without a positive prediction is NaN, not 0. A resample without a positive item says
        nothing of precision, recall, F1 and kappa, nor one without a negative item of kappa: these are left out of
        the interval, and counted in its reason.
    """
    items = _read(truth, clusters, predicted)
    totals = confusion.cluster_counts(items.truth, items.answers[0], items.cluster, items.clusters)
    return _scored(totals, draws, seed, level)


def difference(
    truth: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    metric: str = "f1",
    clusters: ArrayLike | None = None,
    *,
    draws: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Return the second predictor's metric less the first's, on the items that both answered.

    Both are resampled together, so that what they share, such as hard items, is no noise in the difference.

    Args:
        truth: Booleans (or 0 and 1), whether each item is positive.
        first: Predictions; graded scores where the metric is `average_precision`. None or NaN: no answer.
        second: The other's.
        metric: One of METRICS, or `average_precision`.
        clusters: What is drawn again, a name for each item; default: single items.
        draws: Resamples.
        seed: Where they start.
        level: Share of the draws inside the interval.
    """
    if metric not in (*METRICS, "average_precision"):
        raise ValueError(f"'{metric}' is no metric: {', '.join(METRICS)} and average_precision are.")
    items = _read(truth, clusters, first, second, graded=metric == "average_precision")
    if metric == "average_precision":
        return _graded(items, draws, seed, level)
    parts = [confusion.cluster_counts(items.truth, answer, items.cluster, items.clusters) for answer in items.answers]
    chosen = confusion.METRICS[metric]

    return _gap(np.concatenate(parts, axis=1), chosen, draws, seed, level)


def average_precision(
    truth: ArrayLike,
    scores: ArrayLike,
    clusters: ArrayLike | None = None,
    *,
    draws: int = 2_000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Return the mean precision over the steps of recall, with a percentile interval over clusters.

    A resample weighs each item by how often its cluster is drawn, so that its work grows with the items: 2,000
    draws unless told otherwise.

    Args:
        truth: Booleans (or 0 and 1), whether each item is positive.
        scores: How sure the predictor is that it is; None or NaN where there is no answer.
        clusters: What is drawn again, a name for each item; default: single items.
        draws: Resamples; 0 for the value only.
        seed: Where they start.
        level: Share of the draws inside the interval.
    """
    return _graded(_read(truth, clusters, scores, graded=True), draws, seed, level)


def from_counts(tp: int, fp: int, fn: int, n: int) -> pd.DataFrame:
    """Return what `scores` computes, without intervals, from counts such as a paper prints.

    Args:
        tp: Items predicted positive that are.
        fp: Items predicted positive that are not.
        fn: Positive items that were missed.
        n: All items.

    Returns:
        The columns of `scores`; low and high are NaN.
    """
    counts = np.array([tp, fp, fn, n - tp - fp - fn], dtype=float)
    if (counts < 0).any():
        raise ValueError(f"{tp} + {fp} + {fn} of {n} items are no counts: each is 0 or more, and n holds them all.")
    return _scored(counts[None] if n else np.empty((0, 4)), draws=0)


class _Items(NamedTuple):
    """Items that every predictor answered."""

    truth: NDArray[np.bool_]
    answers: list[Array]
    cluster: NDArray[np.int64]
    clusters: int


def _read(truth: ArrayLike, clusters: ArrayLike | None, *answers: ArrayLike, graded: bool = False) -> _Items:
    columns = [numbers(values) for values in (truth, *answers)]
    if len({len(column) for column in columns}) > 1:
        lengths = ", ".join(str(len(column)) for column in columns)
        raise ValueError(f"Truth and predictions must be equally many, not {lengths}.")
    for place, column in enumerate(columns):
        known = column[~np.isnan(column)]
        if (place == 0 or not graded) and not np.isin(known, (0, 1)).all():
            raise ValueError(f"Truth and predictions are true or false, not {known[~np.isin(known, (0, 1))][0]}.")
        if not np.isfinite(known).all():
            raise ValueError("A score is infinite.")
    cluster = cluster_index(clusters, len(columns[0]))
    kept = ~np.isnan(columns).any(axis=0)
    names, index = np.unique(cluster[kept], return_inverse=True)
    return _Items(columns[0][kept] == 1, [column[kept] for column in columns[1:]], index, len(names))


def _scored(totals: Array, draws: int, seed: int = 0, level: float = 0.95) -> pd.DataFrame:
    """Return the table of `scores` from the counts of each cluster, shape (clusters, 4)."""
    sums = totals.sum(axis=0)
    zeros, lacking = confusion.zeros(sums), "" if len(totals) else "there are no items with an answer"
    drawn = resampled(totals, _all_metrics, draws, seed) if draws and len(totals) > 1 else np.empty((0, len(METRICS)))
    rows = []
    for place, (name, metric) in enumerate(confusion.METRICS.items()):
        value, why = float(metric.value(sums)), lacking or metric.undefined
        found = confusion.with_ends(value, drawn[:, place], why, len(totals), draws, level)
        if found.value == 0 and name in zeros:
            found = found._replace(reason="; ".join(part for part in (zeros[name], found.reason) if part))
        rows.append({"metric": name, **found._asdict(), "n": int(sums.sum())})
    table = pd.DataFrame(rows)[["metric", "value", "low", "high", "n", "reason"]]
    table["reason"] = pd.Series([row["reason"] or None for row in rows], dtype=object)
    return table


def _all_metrics(counts: Array) -> Array:
    return np.stack([metric.told(counts) for metric in confusion.METRICS.values()], axis=-1)


def _gap(totals: Array, metric: confusion.Metric, draws: int, seed: int, level: float) -> Interval:
    """Return the difference of a metric between two predictors; totals: the first's counts, then the second's."""
    if not len(totals):
        return Interval(NAN, NAN, NAN, "there are no items with an answer")
    sums = totals.sum(axis=0)
    found = float(metric.value(sums[4:]) - metric.value(sums[:4]))

    def gap(drawn: Array) -> Array:
        return metric.told(drawn[..., 4:]) - metric.told(drawn[..., :4])

    drawn = resampled(totals, gap, draws, seed) if draws and len(totals) > 1 else np.empty(0)
    return confusion.with_ends(found, drawn, metric.undefined, len(totals), draws, level)


def _graded(items: _Items, draws: int, seed: int, level: float) -> Interval:
    """Return average precision, or with two predictors the second's less the first's."""
    if not len(items.truth):
        return Interval(NAN, NAN, NAN, "there are no items with an answer")
    values = [precision_value(items.truth, answer) for answer in items.answers]
    found = values[-1] - values[0] if len(values) > 1 else values[0]
    drawn = np.empty(0)
    if draws and items.clusters > 1 and not np.isnan(found):
        parts = [
            precision_draws(items.truth, answer, items.cluster, items.clusters, draws, seed) for answer in items.answers
        ]
        drawn = parts[-1] - parts[0] if len(parts) > 1 else parts[0]
    return confusion.with_ends(found, drawn, "nothing is positive in truth", items.clusters, draws, level)
