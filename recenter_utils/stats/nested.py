"""Likelihood of linear models with random intercepts: groups nested in one another, and a few that cross them.

Rows of ratings fall into comparisons, these into pages, these into requests; annotators cross all of them. The inverse
of the covariance of such rows is never formed. A nested level is absorbed into sums over its groups (Sherman and
Morrison's formula, once a group), and the crossing groups, which are few, by Woodbury's. A likelihood then costs as
much as a pass over the innermost groups, and many are computed at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Places = NDArray[np.int64]


class Solved(NamedTuple):
    """What generalised least squares give at some variances; all with a leading axis of batches.

    log_likelihood: restricted (REML), with all constants. estimates: shape (batch, terms). inverse: the covariance of
    the estimates, shape (batch, terms, terms). squares: the weighted sum of squared residuals.
    """

    log_likelihood: Array
    estimates: Array
    inverse: Array
    squares: Array


@dataclass(frozen=True)
class Sums:
    """The sums of a study's rows that its likelihood needs; see `sums_of`.

    products: of all columns with each other, shape (columns, columns); columns are the fixed effects', the crossing
    groups' and, last, the outcome. inner: sums of the columns over the innermost nested groups, and `sizes` their
    numbers of rows. starts: for each further level outwards, where its groups start among those inside.
    """

    n: int
    terms: int
    nested: tuple[str, ...]
    crossed: tuple[str, ...]
    widths: tuple[int, ...]
    products: Array
    inner: Array
    sizes: Array
    starts: tuple[Places, ...]

    @property
    def factors(self) -> tuple[str, ...]:
        """The groupings, in the order of their variances: nested ones from the outermost, then crossing ones."""
        return self.nested + self.crossed

    def solved(self, variances: ArrayLike) -> Solved:
        """Return the likelihood and the fixed effects at variances of shape (batch, factors + 1), the residual last."""
        given = np.atleast_2d(np.asarray(variances, dtype=float))
        products, log_determinant = self._without_nested(given)
        products, log_determinant = self._without_crossed(given, products, log_determinant)
        within, beside, outcome = products[:, :-1, :-1], products[:, :-1, -1], products[:, -1, -1]
        inverse = np.asarray(np.linalg.inv(within), dtype=np.float64)
        estimates = (inverse @ beside[..., None])[..., 0]
        squares = outcome - np.einsum("bi,bi->b", beside, estimates)
        log_determinant = log_determinant + np.linalg.slogdet(within)[1]
        free = (self.n - self.terms) * np.log(2 * np.pi)
        return Solved(-(free + log_determinant + squares) / 2, estimates, inverse, squares)

    def _without_nested(self, given: Array) -> tuple[Array, Array]:
        residual = given[:, -1]
        products = self.products / residual[:, None, None]
        log_determinant = self.n * np.log(residual)
        if not self.nested:
            return products, log_determinant
        sums = self.inner / residual[:, None, None]
        weights = self.sizes / residual[:, None]
        for level in range(len(self.nested)):
            variance = given[:, len(self.nested) - 1 - level, None]
            spread = 1 + variance * weights
            log_determinant = log_determinant + np.log(spread).sum(axis=1)
            products = products - np.swapaxes(sums * (variance / spread)[..., None], 1, 2) @ sums
            if level < len(self.starts):
                sums = np.add.reduceat(sums / spread[..., None], self.starts[level], axis=1)
                weights = np.add.reduceat(weights / spread, self.starts[level], axis=1)
        return products, log_determinant

    def _without_crossed(self, given: Array, products: Array, log_determinant: Array) -> tuple[Array, Array]:
        if not self.crossed:
            return products, log_determinant
        first, last = self.terms, products.shape[1] - 1
        kept = np.r_[:first, last]
        root = np.sqrt(np.repeat(given[:, len(self.nested) : -1], self.widths, axis=1))
        own = products[:, first:last, first:last] * root[:, :, None] * root[:, None, :] + np.eye(last - first)
        beside = products[:, first:last, kept] * root[:, :, None]
        log_determinant = log_determinant + np.linalg.slogdet(own)[1]
        explained = np.swapaxes(beside, 1, 2) @ np.linalg.solve(own, beside)
        return products[:, kept[:, None], kept] - explained, log_determinant


def sums_of(
    outcome: ArrayLike, columns: ArrayLike, nested: Mapping[str, ArrayLike], crossed: Mapping[str, ArrayLike]
) -> Sums:
    """Return the sums of a study's rows.

    Args:
        outcome: Shape (rows,).
        columns: The fixed effects', shape (rows, terms).
        nested: The group of each row in each nested factor, the outermost first.
        crossed: The same for factors that cross them; the work grows with the cube of their groups.

    Raises:
        ValueError: A group lies in two groups of the factor outside it.
    """
    y, fixed = np.asarray(outcome, dtype=float), np.asarray(columns, dtype=float)
    codes = [np.unique(np.asarray(groups), return_inverse=True)[1] for groups in nested.values()]
    order = np.lexsort(codes[::-1]) if codes else np.arange(len(y))
    members = [_members(groups) for groups in crossed.values()]
    table = np.column_stack([fixed, *members, y])[order]
    first: list[Places] = []
    changed = np.zeros(len(y), dtype=bool)
    for name, code in zip(nested, codes, strict=True):
        own = code[order]
        changed = changed | np.r_[True, own[1:] != own[:-1]]
        first.append(np.flatnonzero(changed))
        if len(first[-1]) > len(np.unique(own)):
            raise ValueError(f"A group of '{name}' lies in several groups of the factor outside it.")
    inner = first[-1] if first else np.zeros(0, dtype=np.int64)
    return Sums(
        len(y),
        fixed.shape[1],
        tuple(nested),
        tuple(crossed),
        tuple(one.shape[1] for one in members),
        table.T @ table,
        np.add.reduceat(table, inner, axis=0) if first else np.empty((0, table.shape[1])),
        np.diff(np.r_[inner, len(y)]).astype(float) if first else np.empty(0),
        tuple(np.searchsorted(first[at], first[at - 1]) for at in range(len(first) - 1, 0, -1)),
    )


def _members(groups: ArrayLike) -> Array:
    names, code = np.unique(np.asarray(groups), return_inverse=True)
    return np.eye(len(names))[code]
