"""Mixed models of balanced designs in closed form: what `stats.mixed` fits, for many studies at once.

Every request has equally many users of its own, every generator answers it for each of them, each of these pages has
equally many comparisons, and every annotator rates all. Then all that a study says of its variances is six mean
squares, of requests (R), users (U), pages (P), comparisons (C), annotators (A) and what is left (E), each scaled
chi-square around its expectation. These expectations are ordered, E ≤ C ≤ P ≤ U ≤ R and E ≤ A, since a variance is
never negative; the restricted maximum likelihood estimates are the mean squares where these have that order, and else
their isotonic regression (Robertson, Wright and Dykstra 1988, §1.5).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Strata in the order of arrays, and which others lie directly below each.
STRATA = ("E", "C", "P", "U", "R", "A")
_BELOW = {"C": "E", "P": "C", "U": "P", "R": "U", "A": "E"}

#: Factors of `stats.mixed` in the order in which strata add them.
_FACTOR = {"E": "residual", "C": "comparison", "P": "page", "U": "user", "R": "request", "A": "annotator"}


class Balanced(NamedTuple):
    """A design: requests that every generator answers for each of their users, comparisons a page, annotators who rate
    all of them. users: of each request, and of no other."""

    requests: int
    generators: int
    comparisons: int
    annotators: int
    users: int = 1

    @property
    def pages(self) -> int:
        """How many pages each annotator judges."""
        return self.requests * self.users * self.generators

    @property
    def ratings(self) -> int:
        """How many ratings it takes."""
        return self.pages * self.comparisons * self.annotators

    @property
    def freedoms(self) -> Array:
        """Degrees of freedom of each stratum's mean square; 0 where the design has none."""
        r, g, k, a, u = self
        pages = self.pages
        found = [(pages * k - 1) * (a - 1), pages * (k - 1), (r * u - 1) * (g - 1), r * (u - 1), r - 1, a - 1]
        return np.array(found, dtype=float)

    def expectations(self, variances: Mapping[str, float]) -> Array:
        """Return what each mean square is expected to be. variances: by factor, as in `stats.mixed`; absent is 0."""
        _, g, k, a, u = self
        residual, comparison, page, user, request, annotator = (variances.get(name, 0.0) for name in _FACTOR.values())
        within = residual + a * comparison
        between = within + a * k * page
        users = between + a * k * g * user
        requests = users + a * k * g * u * request
        return np.array([residual, within, between, users, requests, residual + self.pages * k * annotator])

    @property
    def of_one(self) -> Array:
        """What the variance of one generator's mean is of the expectations, for annotators in general."""
        return np.array([-1.0, 0.0, self.generators - 1.0, 0.0, 1.0, 1.0]) / self.ratings

    @property
    def of_two(self) -> Array:
        """What the variance of the difference of two generators' means is of the expectations."""
        return np.array([0.0, 0.0, 2.0 * self.generators, 0.0, 0.0, 0.0]) / self.ratings

    def mean_squares(self, ratings: Array) -> Array:
        """Return the mean squares of studies, shape (studies, 6), NaN without degrees of freedom.

        ratings: shape (studies, requests · users, generators, comparisons, annotators), a request's users side by side.
        """
        r, g, k, a, u = self
        whole = ratings.mean(axis=(1, 2, 3, 4), keepdims=True)
        generator, user = (ratings.mean(axis=axes, keepdims=True) for axes in ((1, 3, 4), (2, 3, 4)))
        request = user.reshape(-1, r, u).mean(axis=2).repeat(u, axis=1).reshape(user.shape)
        page, comparison = (ratings.mean(axis=axes, keepdims=True) for axes in ((3, 4), (4,)))
        annotator = ratings.mean(axis=(1, 2, 3), keepdims=True)
        parts = [
            (ratings - comparison - annotator + whole, 1),
            (comparison - page, a),
            (page - user - generator + whole, a * k),
            (user - request, a * k * g),
            (request - whole, a * k * g),
            (annotator - whole, self.pages * k),
        ]
        sums = np.stack([times * (part**2).sum(axis=(1, 2, 3, 4)) for part, times in parts], axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.freedoms > 0, sums / self.freedoms, np.nan)

    def fitted(self, mean_squares: Array) -> Array:
        """Return the expectations of highest restricted likelihood, of the shape of the mean squares (studies, 6)."""
        there = [name for name, freedom in zip(STRATA, self.freedoms, strict=True) if freedom > 0]
        lower = [kept for kept in _subsets(there) if all(one in kept for name in kept for one in _beneath(name, there))]
        weights = self.freedoms
        found = np.full_like(mean_squares, np.nan)
        total = np.nan_to_num(mean_squares) * weights
        for name in there:
            best = np.full(len(mean_squares), -np.inf)
            # The largest, over sets closed upwards that hold it, of the least mean over sets closed downwards.
            for outside in lower:
                if name in outside:
                    continue
                least = np.full(len(mean_squares), np.inf)
                for inside in lower:
                    if name in inside:
                        # In one order in every process: a set's differs, and with it the last bit of a sum.
                        places = sorted(STRATA.index(one) for one in inside - outside)
                        least = np.minimum(least, total[:, places].sum(axis=1) / weights[places].sum())
                best = np.maximum(best, least)
            found[:, STRATA.index(name)] = best
        return found

    def spread(self, fitted: Array, coefficients: Array) -> tuple[Array, Array]:
        """Return the variance of an estimate and Satterthwaite's degrees of freedom, each of shape (studies,).

        Strata whose expectations are fitted as one share their degrees of freedom: the variance between is 0.
        """
        value = np.nan_to_num(fitted)
        own = self.freedoms
        one = np.isclose(value[:, :, None], value[:, None, :], rtol=1e-9, atol=0) & (own > 0)
        together = (one * coefficients).sum(axis=2)
        freedom = (one * own).sum(axis=2)
        with np.errstate(invalid="ignore", divide="ignore"):
            uncertainty = np.nansum(own / freedom * 2 * (together * value) ** 2 / freedom, axis=1)
            variance = value @ coefficients
            return variance, 2 * variance**2 / uncertainty


def _subsets(names: list[str]) -> list[frozenset[str]]:
    return [
        frozenset(name for name, kept in zip(names, chosen, strict=True) if kept)
        for chosen in product((False, True), repeat=len(names))
    ]


def _beneath(name: str, there: list[str]) -> list[str]:
    """Return the strata below one, those that the design has."""
    found = []
    while name in _BELOW:
        name = _BELOW[name]
        found.append(name)
    return [one for one in found if one in there]
