"""Linear mixed models with crossed and nested random intercepts, fitted by restricted maximum likelihood (REML).

The same model as `statsmodels.MixedLM` with one group and variance components, and the same likelihood. That one
inverts a matrix of all rows at every step, which takes half a minute on a thousand ratings, and its search may end
below the top where a variance is close to 0; this takes a fraction of a second. Intervals of fixed effects use
Satterthwaite's degrees of freedom, since a handful of annotators is far from infinitely many; those of deviations are
profiles of the likelihood, which may start at 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq, minimize
from scipy.stats import chi2, t

from recenter_utils.stats.nested import Sums, sums_of
from recenter_utils.stats.resampling import Interval

Array = NDArray[np.float64]

#: The factor of what is left of a row.
RESIDUAL = "residual"

NAN = float("nan")

#: A variance this small beside the residual one is none, and one this large leaves no residual.
_NONE, _ALL = 1e-7, 1e7


class Combination(NamedTuple):
    """A sum of fixed effects with its standard error, degrees of freedom and interval."""

    value: float
    error: float
    freedom: float
    low: float
    high: float


@dataclass(frozen=True)
class Mixed:
    """A fitted model; where it could not be fitted all numbers are NaN or absent, and `reason` says why.

    estimates, covariance: of the fixed effects `terms`. variances: of each factor in the model, the residual last.
    dropped: factors that the rows say nothing of, and why.
    """

    terms: tuple[str, ...]
    estimates: Array
    covariance: Array
    variances: dict[str, float]
    dropped: dict[str, str]
    log_likelihood: float
    n: int
    reason: str = ""
    sums: Sums | None = field(default=None, repr=False)

    def combination(self, weights: Mapping[str, float], level: float = 0.95) -> Combination:
        """Return the sum of fixed effects times weights, with an interval of Satterthwaite's t.

        Its degrees of freedom are 2 v² / var(v), v the estimated variance of the sum (Giesbrecht and Burns 1985);
        a factor whose variance is estimated as 0 is taken as absent.
        """
        if self.sums is None:
            return Combination(NAN, NAN, NAN, NAN, NAN)
        row = np.array([weights.get(term, 0.0) for term in self.terms])
        value, variance = float(row @ self.estimates), float(row @ self.covariance @ row)
        freedom = _freedom(self.sums, np.array(list(self.variances.values())), row)
        error = math.sqrt(variance)
        reach = float(t.ppf((1 + level) / 2, freedom)) * error
        return Combination(value, error, freedom, value - reach, value + reach)

    def deviation(self, factor: str, level: float = 0.95) -> Interval:
        """Return a factor's standard deviation with its profile likelihood interval."""
        if self.sums is None or factor not in self.variances:
            return Interval(NAN, NAN, NAN, self.reason or self.dropped[factor])
        low, high = _profile(
            self.sums, np.array(list(self.variances.values())), list(self.variances).index(factor), level
        )
        return Interval(math.sqrt(self.variances[factor]), math.sqrt(low), math.sqrt(high))


def fit(
    outcome: ArrayLike,
    columns: Mapping[str, ArrayLike],
    nested: Mapping[str, ArrayLike],
    crossed: Mapping[str, ArrayLike],
) -> Mixed:
    """Fit outcome = columns · effects + a random intercept for each group of each factor + a residual.

    Args:
        outcome: Shape (rows,).
        columns: The fixed effects by name; an intercept must be among what they span.
        nested: The group of each row in factors that lie in one another, the outermost first.
        crossed: The same for factors that cross these, such as a few annotators.

    Raises:
        ValueError: A group lies in two groups of the factor outside it.
    """
    y = np.asarray(outcome, dtype=float)
    fixed = np.array([np.asarray(column, dtype=float) for column in columns.values()]).reshape(len(columns), len(y)).T
    dropped = _unknowable(fixed, nested, crossed)
    if fault := _fault(y, fixed):
        return _unfitted(columns, dropped, len(y), fault)
    kept = [{name: groups for name, groups in part.items() if name not in dropped} for part in (nested, crossed)]
    sums = sums_of(y, fixed, *kept)
    variances, fault = _fitted(sums, float(np.var(y)))
    if fault:
        return _unfitted(columns, dropped, len(y), fault)
    found = sums.solved(variances)
    names = (*sums.factors, RESIDUAL)
    return Mixed(
        tuple(columns),
        found.estimates[0],
        found.inverse[0],
        dict(zip(names, variances.tolist(), strict=True)),
        dropped,
        float(found.log_likelihood[0]),
        len(y),
        sums=sums,
    )


def _fault(y: Array, fixed: Array) -> str:
    if not len(y):
        return "there are no rows"
    if len(y) <= fixed.shape[1]:
        return f"{len(y)} rows do not determine {fixed.shape[1]} effects"
    if np.ptp(y) == 0:
        return "all outcomes are the same"
    if np.linalg.matrix_rank(fixed) < fixed.shape[1]:
        return "the effects cannot be told apart"
    return ""


def _unfitted(columns: Mapping[str, ArrayLike], dropped: dict[str, str], n: int, why: str) -> Mixed:
    terms = len(columns)
    return Mixed(tuple(columns), np.full(terms, NAN), np.full((terms, terms), NAN), {}, dropped, NAN, n, why)


def _unknowable(fixed: Array, nested: Mapping[str, ArrayLike], crossed: Mapping[str, ArrayLike]) -> dict[str, str]:
    """Return the factors whose variance the rows say nothing of, and why."""
    rows = len(fixed)
    found: dict[str, str] = {}
    partitions: dict[str, NDArray] = {}
    for name, groups in {**nested, **crossed}.items():
        _, code = np.unique(np.asarray(groups), return_inverse=True)
        number = int(code.max()) + 1 if rows else 0
        same = next((other for other, codes in partitions.items() if _same(code, codes)), None)
        if number < 2:
            found[name] = "there is only one" if number else "there is none"
        elif number == rows:
            found[name] = "each has one row, so that it is one with the residual"
        elif same is not None:
            found[name] = f"one with '{same}': both divide the rows alike"
        elif number <= fixed.shape[1] and _spanned(np.eye(number)[code], fixed):
            found[name] = "one with the fixed effects"
        else:
            partitions[name] = code
    return found


def _same(one: NDArray, other: NDArray) -> bool:
    together = len(np.unique(np.column_stack([one, other]), axis=0))
    return together == one.max() + 1 == other.max() + 1


def _spanned(members: Array, fixed: Array) -> bool:
    left = members - fixed @ np.linalg.lstsq(fixed, members, rcond=None)[0]
    return bool(np.abs(left).max() < 1e-8)


def _fitted(sums: Sums, scale: float) -> tuple[Array, str]:
    """Return the variances of highest likelihood, the residual last; or why there are none."""
    free = sums.n - sums.terms

    def profiled(ratios: Array) -> tuple[Array, Array]:
        """Return the deviance at ratios of variances to the residual one, shape (batch, factors), and that one."""
        found = sums.solved(np.column_stack([ratios, np.ones(len(ratios))]))
        residual = found.squares / free
        with np.errstate(invalid="ignore", divide="ignore"):
            return -2 * found.log_likelihood - found.squares + free * (1 + np.log(residual)), residual

    ratios = np.zeros(len(sums.factors))
    if len(ratios):
        # Two starts: from one alone a shallow ridge can end the search early.
        ratios = _minimum(lambda points: profiled(points)[0], [np.full(len(ratios), 0.3), np.full(len(ratios), 0.03)])
    residual = float(profiled(ratios[None])[1][0])
    if residual <= scale * 1e-9 or ratios.max(initial=0) > _ALL:
        return ratios, "nothing is left to the residual: within groups all outcomes are the same"
    ratios[ratios < _NONE] = 0
    return np.r_[ratios, 1] * residual, ""


def _minimum(function: Callable[[Array], Array], starts: Sequence[Array], floor: ArrayLike = 0.0) -> Array:
    """Return where a function of points, shape (batch, coordinates), is lowest at or above `floor`, by any start."""
    low = np.broadcast_to(np.asarray(floor, dtype=float), starts[0].shape)

    def with_slope(point: Array) -> tuple[float, Array]:
        steps = 1e-5 * np.maximum(point, 1e-2)
        below = np.maximum(point - steps, low)
        above = point + steps
        places = np.repeat(point[None], 2 * len(point) + 1, axis=0)
        at = np.arange(len(point))
        places[at, at], places[len(point) + at, at] = below, above
        values = function(places)
        return float(values[-1]), (values[len(point) : -1] - values[: len(point)]) / (above - below)

    found = [
        minimize(
            with_slope, np.maximum(start, low), jac=True, method="L-BFGS-B", bounds=[(value, None) for value in low],
            options={"ftol": 1e-13, "gtol": 1e-6, "maxiter": 300},
        )
        for start in starts
    ]  # fmt: skip
    return np.asarray(min(found, key=lambda one: float(one.fun)).x)


def _freedom(sums: Sums, variances: Array, row: Array) -> float:
    there = np.flatnonzero(variances > 0)
    number, step = len(there), 1e-3
    moves = [np.zeros(number)]
    moves += [sign * step * one for one in np.eye(number) for sign in (1, -1)]
    pairs = [(i, j) for i in range(number) for j in range(i + 1, number)]
    for i, j in pairs:
        both = np.eye(number)[i], np.eye(number)[j]
        moves += [step * (a * both[0] + b * both[1]) for a in (1, -1) for b in (1, -1)]
    given = np.repeat(variances[None], len(moves), axis=0)
    given[:, there] *= np.exp(np.array(moves))
    found = sums.solved(given)
    loss, spread = -found.log_likelihood, np.einsum("i,bij,j->b", row, found.inverse, row)
    up, down = 1 + 2 * np.arange(number), 2 + 2 * np.arange(number)
    curvature = np.diag((loss[up] - 2 * loss[0] + loss[down]) / step**2)
    for place, (i, j) in enumerate(pairs):
        first, second, third, fourth = loss[1 + 2 * number + 4 * place :][:4]
        curvature[i, j] = curvature[j, i] = (first - second - third + fourth) / (4 * step**2)
    slope = (spread[up] - spread[down]) / (2 * step)
    uncertainty = float(slope @ np.linalg.pinv(curvature, hermitian=True) @ slope)
    return 2 * float(spread[0]) ** 2 / uncertainty if uncertainty > 0 else math.inf


def _profile(sums: Sums, variances: Array, place: int, level: float) -> tuple[float, float]:
    best, unit = float(sums.solved(variances).log_likelihood[0]), variances[-1]
    others = np.delete(np.arange(len(variances)), place)
    floor = np.where(others == len(variances) - 1, 1e-6, 0.0)
    drop = float(chi2.ppf(level, 1)) / 2
    last = variances[others] / unit  # where the search before ended, which the next one starts from

    def short(value: float) -> float:
        """Return by how much the highest likelihood with this variance falls short of the limit."""

        def loss(points: Array) -> Array:
            given = np.empty((len(points), len(variances)))
            given[:, others], given[:, place] = points * unit, value
            return -sums.solved(given).log_likelihood

        nonlocal last
        last = _minimum(loss, [last], floor) if len(others) else last
        return float(loss(last[None])[0]) + best - drop

    own = variances[place]
    low = 0.0
    if place == len(variances) - 1 or (own and short(0.0) > 0):
        under = own / 2
        while short(under) < 0:
            under /= 4
        low = float(brentq(short, under, own, xtol=1e-4 * own, rtol=1e-4))
    over = 2 * max(own, 0.01 * unit)
    while short(over) < 0:
        if over > 1e6 * unit:
            return low, NAN
        over *= 4
    return low, float(brentq(short, own, over, xtol=1e-4 * over, rtol=1e-4))
