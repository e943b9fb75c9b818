"""True and false positives and negatives: what follows from their counts, and its interval over clusters."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recenter_utils.stats.resampling import Interval, intervals

Array = NDArray[np.float64]

NAN = float("nan")


def _never(counts: Array) -> NDArray[np.bool_]:
    return np.zeros(counts.shape[:-1], dtype=bool)


def _no_positive(counts: Array) -> NDArray[np.bool_]:
    tp, _, fn, _ = _columns(counts)
    return tp + fn == 0


def _one_class(counts: Array) -> NDArray[np.bool_]:
    _, fp, _, tn = _columns(counts)
    return _no_positive(counts) | (fp + tn == 0)


class Metric(NamedTuple):
    """From counts of shape (..., 4), true and false positives, then false and true negatives, to the value.

    `untold` is true where the truth leaves nothing to tell predictors apart by: the metric is then 0 or undefined,
    whatever is predicted.
    """

    value: Callable[[Array], Array]
    undefined: str
    untold: Callable[[Array], NDArray[np.bool_]] = _never

    def told(self, counts: Array) -> Array:
        """Return the value, NaN where it is untold: what counts in a resample.

        Otherwise a resample without a positive item would be a 0 for who predicts one, and none for who does not.
        """
        return np.where(self.untold(counts), np.nan, self.value(counts))


def _ratio(top: Array, bottom: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(bottom == 0, np.nan, top / bottom)


def _columns(counts: Array) -> tuple[Array, Array, Array, Array]:
    return counts[..., 0], counts[..., 1], counts[..., 2], counts[..., 3]


def _accuracy(counts: Array) -> Array:
    tp, _, _, tn = _columns(counts)
    return _ratio(tp + tn, counts.sum(axis=-1))


def _precision(counts: Array) -> Array:
    tp, fp, _, _ = _columns(counts)
    return _ratio(tp, tp + fp)


def _recall(counts: Array) -> Array:
    tp, _, fn, _ = _columns(counts)
    return _ratio(tp, tp + fn)


def _f1(counts: Array) -> Array:
    tp, fp, fn, _ = _columns(counts)
    return _ratio(2 * tp, 2 * tp + fp + fn)


def _kappa(counts: Array) -> Array:
    tp, fp, fn, tn = _columns(counts)
    return _ratio(2 * (tp * tn - fp * fn), (tp + fp) * (fp + tn) + (tp + fn) * (fn + tn))


def _flag_rate(counts: Array) -> Array:
    tp, fp, _, _ = _columns(counts)
    return _ratio(tp + fp, counts.sum(axis=-1))


#: In the order of rows.
METRICS = {
    "accuracy": Metric(_accuracy, ""),
    "precision": Metric(_precision, "nothing is predicted positive", _no_positive),
    "recall": Metric(_recall, "nothing is positive in truth", _no_positive),
    "f1": Metric(_f1, "nothing is positive, in truth or predicted", _no_positive),
    "kappa": Metric(_kappa, "truth and predictions are one and the same class", _one_class),
    "flag_rate": Metric(_flag_rate, ""),
}


def cluster_counts(truth: NDArray[np.bool_], predicted: Array, cluster: NDArray[np.int64], clusters: int) -> Array:
    """Return true and false positives, false and true negatives of each cluster, shape (clusters, 4)."""
    kind = np.where(predicted == 1, np.where(truth, 0, 1), np.where(truth, 2, 3))
    return np.bincount(cluster * 4 + kind, minlength=clusters * 4).reshape(clusters, 4).astype(float)


def with_ends(found: float, drawn: Array, undefined: str, clusters: int, draws: int, level: float) -> Interval:
    """Return a value with its percentile interval from resamples, shape (draws,), and the reason where either lacks."""
    if np.isnan(found):
        return Interval(NAN, NAN, NAN, undefined)
    if not draws:
        return Interval(found, NAN, NAN)
    if clusters < 2:
        return Interval(found, NAN, NAN, "one cluster has no spread between clusters")
    low, high = intervals(drawn[:, None], level)
    lacking = int(np.isnan(drawn).sum())
    note = f"{lacking} of {draws} resamples leave it undefined and are left out" if lacking else ""
    return Interval(found, float(low[0]), float(high[0]), note)


def zeros(counts: Array) -> dict[str, str]:
    """Say of which metrics a 0 is by construction: no predictor of that kind could have another value."""
    tp, fp, fn, tn = counts
    if not tp + fp:
        return {
            "f1": "nothing is predicted positive",
            "kappa": "all predictions are the same: kappa is 0 whatever the truth",
        }
    if not fn + tn:
        return {"kappa": "all predictions are the same: kappa is 0 whatever the truth"}
    if not tp + fn:
        return {
            "precision": "nothing is positive in truth",
            "f1": "nothing is positive in truth",
            "kappa": "all items are the same in truth: kappa is 0 whatever is predicted",
        }
    if not fp + tn:
        return {"kappa": "all items are the same in truth: kappa is 0 whatever is predicted"}
    return {}
