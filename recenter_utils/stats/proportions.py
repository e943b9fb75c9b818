"""Intervals of shares that were counted over independent things, such as users."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from recenter_utils.stats.resampling import Interval


def wilson(given: ArrayLike, lacking: str = "there are no rows", level: float = 0.95) -> Interval:
    """Return the share of trues with Wilson's score interval (1927). It is statsmodels', which loads slowly.

    given: booleans, one a thing. lacking: Why there may be none, where the share is undefined.
    """
    values = np.asarray(given, dtype=bool)
    if not values.size:
        return Interval(float("nan"), float("nan"), float("nan"), lacking)
    n, share, z = values.size, float(values.mean()), NormalDist().inv_cdf((1 + level) / 2)
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    low, high = np.clip([middle - half, middle + half], 0, 1)
    return Interval(share, min(float(low), share), max(float(high), share))
