"""What can lie behind printed numbers: the whole counts and sums that round to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recenter_utils.stats.confusion import METRICS

Counts = NDArray[np.int64]

#: By how much of its last digit a number can be off because it is rounded.
ROUNDED = 0.5

#: Keeps a number that lies half way between two printed ones with both: papers round either way.
_SLACK = 1e-9


def rounds_to(values: ArrayLike, printed: ArrayLike, digits: int = 3) -> NDArray[np.bool_]:
    """Return which values may be printed so, with that many digits behind the point."""
    found: NDArray[np.bool_] = np.abs(np.asarray(values) - np.asarray(printed)) <= _half(digits) + _SLACK
    return found


def counts_behind(
    printed: Mapping[str, float], sizes: tuple[int, int], positives: int | None = None, digits: int = 3
) -> Counts:
    """Return every count of true and false positives, false and true negatives that gives a printed row.

    Args:
        printed: Metrics by name (`confusion.METRICS`), accuracy, precision and recall among them, the latter two not 0.
        sizes: The fewest and the most items there may be.
        positives: How many of them are positive in truth; default: any number.
        digits: Digits behind the point.

    Returns:
        Shape (how many there are, 4); a row's sum is the number of items. The fewest items come first.
    """
    if not all(printed.get(name, 0) > 0 for name in ("accuracy", "precision", "recall")):
        raise ValueError("Counts are looked for by accuracy, precision and recall, which must be there and above 0.")
    half = _half(digits) + _SLACK
    recall, precision, accuracy = printed["recall"], printed["precision"], printed["accuracy"]
    truth = np.arange(1, sizes[1] + 1) if positives is None else np.array([positives])
    truth, tp = _between(truth, np.maximum(1, (recall - half) * truth), np.minimum(truth, (recall + half) * truth))
    most = tp / (precision - half) - tp if precision > half else np.full(len(tp), float(sizes[1]))
    place, fp = _between(np.arange(len(tp)), np.maximum(0, tp / (precision + half) - tp), most)
    tp, fn = tp[place], (truth - tp)[place]
    wrong = fp + fn
    least = np.maximum(np.maximum(tp + wrong, sizes[0]), wrong / (1 - accuracy + half))
    most = np.minimum(sizes[1], wrong / (1 - accuracy - half)) if accuracy < 1 - half else np.full(len(tp), sizes[1])
    place, n = _between(np.arange(len(tp)), least, most)
    counts = np.stack([tp[place], fp[place], fn[place], n - (tp + wrong)[place]], axis=-1)
    for name, value in printed.items():
        counts = counts[rounds_to(METRICS[name].value(counts.astype(float)), value, digits)]
    return counts[np.lexsort((counts[:, 0] + counts[:, 2], counts.sum(axis=-1)))]


def nearest_counts(
    printed: Mapping[str, float], n: int, positives: int, keep: Iterable[str] = (), digits: int = 3
) -> Counts:
    """Return the counts whose metrics are nearest to a printed row: the largest difference is least. Shape (4,).

    keep: metrics that must be as printed. Raises ValueError where no counts give these.
    """
    tp, fp = (part.ravel() for part in np.mgrid[1 : positives + 1, 0 : n - positives + 1])
    counts = np.stack([tp, fp, positives - tp, n - positives - fp], axis=-1)
    off = np.stack([np.abs(METRICS[name].value(counts.astype(float)) - value) for name, value in printed.items()])
    kept = [off[list(printed).index(name)] <= _half(digits) + _SLACK for name in keep]
    far = np.where(np.all(kept, axis=0) if kept else True, off.max(axis=0), np.inf)
    if not np.isfinite(far).any():
        raise ValueError(f"No counts on {n} items with {positives} positive ones give the printed {', '.join(keep)}.")
    nearest: Counts = counts[int(far.argmin())]
    return nearest


def f1_between(precision: float, recall: float, digits: int = 3) -> tuple[float, float]:
    """Return the lowest and highest F1 of a precision and a recall that are printed so."""
    half = _half(digits)
    low, high = ((2 * p * r / (p + r)) for p, r in ((precision + end, recall + end) for end in (-half, half)))
    return low, high


def totals_behind(mean: float, n: int, digits: int = 3) -> Counts:
    """Return the whole totals of n ratings whose mean is printed so; none where no total gives it."""
    half = _half(digits) + _SLACK
    return np.arange(np.ceil((mean - half) * n), np.floor((mean + half) * n) + 1).astype(np.int64)


def splits_behind(
    totals: ArrayLike, gap: float, sizes: tuple[int, int], digits: int = 3, ends: tuple[int, int] = (1, 5)
) -> Counts:
    """Return which totals can be split over two groups of whole ratings so that the means differ by a printed gap.

    Args:
        totals: Totals of the ratings of both groups.
        gap: The first group's mean less the second's.
        sizes: Ratings in the first and in the second.
        digits: Digits behind the point.
        ends: The lowest and the highest rating.
    """
    sums = np.asarray(totals, dtype=np.int64)
    first = np.arange(ends[0] * sizes[0], ends[1] * sizes[0] + 1)
    second = sums[:, None] - first
    allowed = (second >= ends[0] * sizes[1]) & (second <= ends[1] * sizes[1])
    fits: NDArray[np.bool_] = allowed & rounds_to(first / sizes[0] - second / sizes[1], gap, digits)
    return sums[fits.any(axis=1)]


def _half(digits: int) -> float:
    return ROUNDED * 10.0**-digits


def _between(names: Counts, low: NDArray, high: NDArray) -> tuple[Counts, Counts]:
    """Return every whole number from low to high, and the name of the range that it is in."""
    start, stop = np.ceil(low - _SLACK).astype(np.int64), np.floor(high + _SLACK).astype(np.int64)
    many = np.maximum(0, stop - start + 1)
    place = np.repeat(np.arange(len(names)), many)
    return names[place], start[place] + np.arange(len(place)) - np.repeat(many.cumsum() - many, many)
