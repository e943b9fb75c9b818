"""Ordered logit models of ratings, by `statsmodels.OrderedModel`, with errors that are robust to shared clusters."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t
from statsmodels.miscmodels.ordinal_model import OrderedModel

from recenter_utils.stats.mixed import Combination

Array = NDArray[np.float64]

NAN = float("nan")

#: Robust errors take at least so many clusters for each number of the model: with fewer they come out too small.
CLUSTERS_A_NUMBER = 2

#: An effect of so many logits, or an error of as many, is one that ran off to infinity.
_ENDLESS = 15.0


@dataclass(frozen=True)
class Ordered:
    """A fitted model: a rating is above a cut with log odds of effects less the cut.

    estimates, covariance: of the effects `terms`, then of the cuts between the ratings that occur. ratings: these, in
    order. clusters: how many the errors rest on. Where it could not be fitted `reason` says why; where it could, but
    its errors are not to be trusted, `unsure` does.
    """

    terms: tuple[str, ...]
    ratings: tuple[float, ...]
    estimates: Array
    covariance: Array
    clusters: int
    reason: str = ""
    unsure: str = ""

    def combination(
        self, weights: Mapping[str, float], centre: float | None = None, level: float = 0.95
    ) -> Combination:
        """Return the sum of effects times weights on the scale of log odds, with its interval.

        centre: take off the middle between the cuts below and above this rating: 0 is then where ratings above it and
        below it are as likely. NaN where no rating is below, or none above. Where errors are unsure, the value alone.
        """
        if self.reason:
            return Combination(NAN, NAN, NAN, NAN, NAN)
        row = np.array([*(weights.get(term, 0.0) for term in self.terms), *np.zeros(len(self.ratings) - 1)])
        if centre is not None:
            below, above = sum(one < centre for one in self.ratings), sum(one <= centre for one in self.ratings)
            if not below or above == len(self.ratings):
                return Combination(NAN, NAN, NAN, NAN, NAN)
            row[len(self.terms) + below - 1] -= 0.5
            row[len(self.terms) + above - 1] -= 0.5
        value = float(row @ self.estimates)
        if self.unsure:
            return Combination(value, NAN, NAN, NAN, NAN)
        error = math.sqrt(float(row @ self.covariance @ row))
        reach = float(t.ppf((1 + level) / 2, self.clusters - 1)) * error
        return Combination(value, error, self.clusters - 1, value - reach, value + reach)


def fit(ratings: ArrayLike, columns: Mapping[str, ArrayLike], clusters: ArrayLike) -> Ordered:
    """Fit log odds(rating > cut) = columns · effects - cut.

    Args:
        ratings: Shape (rows,), numbers.
        columns: The effects by name, without an intercept: the cuts are that.
        clusters: What rows share errors in; intervals have the t of their number less one. The sandwich of their
            scores is biased downwards with few of them for the model's numbers (Cameron and Miller 2015, §VI), so that
            intervals take `CLUSTERS_A_NUMBER` for each.
    """
    y = np.asarray(ratings, dtype=float)
    fixed = np.column_stack([np.ones(len(y)), *(np.asarray(one, dtype=float) for one in columns.values())])
    names, groups = np.unique(np.asarray(clusters), return_inverse=True)
    scale = tuple(np.unique(y).tolist())
    nothing = np.empty(0), np.empty((0, 0))
    why = ""
    if len(scale) < 2:
        why = "all ratings are the same" if len(scale) else "there are no ratings"
    elif np.linalg.matrix_rank(fixed) < fixed.shape[1]:
        why = "the effects cannot be told apart"
    elif len(names) < 2:
        why = "one cluster has no spread between clusters"
    if why:
        return Ordered(tuple(columns), scale, *nothing, len(names), why)
    numbers = len(columns) + len(scale) - 1
    unsure = f"{len(names)} clusters are fewer than {CLUSTERS_A_NUMBER} for each of {numbers} numbers"
    unsure = unsure if len(names) < CLUSTERS_A_NUMBER * numbers else ""
    answer = pd.Series(pd.Categorical(y, categories=scale, ordered=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they warn of is looked at below, and said
        model = OrderedModel(answer, fixed[:, 1:] if columns else None, distr="logit")
        found = model.fit(method="bfgs", disp=False, maxiter=500, cov_type="cluster", cov_kwds={"groups": groups})
    own = len(columns)
    raw, spread = np.asarray(found.params, dtype=float), np.asarray(found.cov_params(), dtype=float)
    # statsmodels keeps the first cut and the logarithms of the steps to the next ones.
    steps = np.r_[raw[own], np.exp(raw[own + 1 :])]
    slope = np.eye(len(raw))
    slope[own:, own:] = np.tril(np.ones((len(steps), len(steps)))) * np.r_[1.0, steps[1:]]
    estimates = np.r_[raw[:own], np.cumsum(steps)]
    covariance = slope @ spread @ slope.T
    if not found.mle_retvals["converged"]:
        why = "the search for the highest likelihood did not end"
    elif (
        not np.isfinite(covariance).all()
        or np.abs(np.r_[estimates, np.sqrt(np.abs(np.diag(covariance)))]).max() > _ENDLESS
    ):
        why = "an effect has no finite estimate: some group has all its ratings at one end"
    return Ordered(tuple(columns), scale, estimates, covariance, len(names), why, unsure)
