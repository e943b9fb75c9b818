"""P-values of small correlations, from every way to pair the two columns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from recenter_utils.stats.ratings import numbers

#: Up to so many points every pairing is gone through: 9 have 362,880.
EXACT_UP_TO = 9

ALTERNATIVES = ("two-sided", "greater", "less")

#: Random pairings held at once.
PIECE = 1 << 14


class PermutationTest(NamedTuple):
    """A correlation, its p-value, the pairings gone through, and whether these are all there are."""

    value: float
    p: float
    n: int
    pairings: int
    exact: bool
    reason: str = ""


def correlation_test(
    x: ArrayLike,
    y: ArrayLike,
    method: str = "spearman",
    alternative: str = "two-sided",
    *,
    exact_up_to: int = EXACT_UP_TO,
    draws: int = 100_000,
    seed: int = 0,
) -> PermutationTest:
    """Test a correlation against all pairings of the two columns, which are equally likely if they are independent.

    With five points a Spearman correlation of .90 has a two-sided p of 10/120 = .083, where the usual t
    approximation says .037.

    Args:
        x: Numbers; None or NaN leaves the point out.
        y: Their partners.
        method: `spearman` (midranks for ties) or `pearson`.
        alternative: `greater` or `less` count the pairings with a correlation at least as high or as low;
            `two-sided` is twice the smaller of the two, at most 1.
        exact_up_to: With more points, `draws` random pairings stand for all, and p is (hits + 1) / (draws + 1).
        draws: Random pairings.
        seed: Where they start.

    Returns:
        Value and p are NaN, with the reason, where there are fewer than two points or one column is constant.
    """
    if method not in ("spearman", "pearson"):
        raise ValueError(f"'{method}' is no correlation: spearman and pearson are.")
    if alternative not in ALTERNATIVES:
        raise ValueError(f"'{alternative}' is no alternative: {', '.join(ALTERNATIVES)} are.")
    left, right = numbers(x), numbers(y)
    if len(left) != len(right):
        raise ValueError(f"{len(left)} and {len(right)} numbers make no pairs.")
    known = np.isfinite(left) & np.isfinite(right)
    left, right = left[known], right[known]
    n = len(left)
    if n < 2:
        return _undefined(n, f"{n} point{'s' * (n != 1)} make{'s' * (n == 1)} no correlation")
    if np.ptp(left) == 0 or np.ptp(right) == 0:
        return _undefined(n, "all numbers of a column are the same")
    if method == "spearman":
        # Twice the centred midranks are whole numbers, so that equal correlations compare as equal.
        left, right = 2 * rankdata(left) - (n + 1), 2 * rankdata(right) - (n + 1)
        slack = 0.5
    else:
        left, right = left / np.abs(left).max(), right / np.abs(right).max()
        left, right = left - left.mean(), right - right.mean()
        slack = 1e-12 * float(np.linalg.norm(left) * np.linalg.norm(right))
    observed = float(left @ right)
    value = observed / float(np.sqrt((left @ left) * (right @ right)))
    exact = n <= exact_up_to
    sums = right[orders(n)] @ left if exact else _random_sums(left, right, draws, seed)
    extra = 0 if exact else 1
    high = (int((sums >= observed - slack).sum()) + extra) / (len(sums) + extra)
    low = (int((sums <= observed + slack).sum()) + extra) / (len(sums) + extra)
    p = {"greater": high, "less": low}.get(alternative, min(1.0, 2 * min(high, low)))
    return PermutationTest(max(-1.0, min(1.0, value)), p, n, len(sums), exact)


def least_significant(n: int, level: float = 0.05) -> float:
    """Return the smallest Spearman correlation of n points, without ties, whose exact two-sided p is at most `level`.

    NaN where no correlation is high enough, and with more points than are gone through (`EXACT_UP_TO`). With five
    points only a correlation of 1 has a p below .05.
    """
    if not 2 <= n <= EXACT_UP_TO:
        return float("nan")
    places = 2.0 * np.arange(n) - (n - 1)
    sums = np.sort(places[orders(n)] @ places)
    p = 2 * (len(sums) - np.searchsorted(sums, sums, side="left")) / len(sums)
    enough = sums[p <= level]
    return float(enough[0] / (places @ places)) if len(enough) else float("nan")


def orders(n: int) -> NDArray[np.int8]:
    """Return every order of `n` things, shape (n!, n)."""
    table = np.zeros((1, min(n, 1)), dtype=np.int8)
    for thing in range(1, n):
        table = np.concatenate([np.insert(table, place, thing, axis=1) for place in range(thing + 1)])
    return table


def _random_sums(left: NDArray, right: NDArray, draws: int, seed: int) -> NDArray[np.float64]:
    generator = np.random.default_rng(seed)
    parts = []
    for start in range(0, draws, PIECE):
        size = min(PIECE, draws - start)
        parts.append(generator.permuted(np.broadcast_to(right, (size, len(right))), axis=1) @ left)
    return np.concatenate(parts)


def _undefined(n: int, reason: str) -> PermutationTest:
    return PermutationTest(float("nan"), float("nan"), n, 0, True, reason)
