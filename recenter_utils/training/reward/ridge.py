"""Ridge regression without an intercept, its penalty chosen by leaving out whole groups, in closed form.

Rows are differences of two responses' features and targets are signed, so that a row turned round turns its prediction
round: an intercept would break that.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

#: Penalties that are tried, as multiples of the mean squared length of a row; the largest first, which wins a tie.
GRID = 10.0 ** np.arange(4, -2.5, -0.5)

_ROUNDING = 1e-10


class Ridge(NamedTuple):
    """A fitted head: weights, shape (features,), the penalty, and the squared error with each group left out."""

    weights: Array
    penalty: float
    left_out_error: float

    def predict(self, rows: Array) -> Array:
        """Return the prediction of each row, shape (rows,)."""
        return np.asarray(rows @ self.weights)


def fit(rows: Array, targets: ArrayLike, groups: ArrayLike) -> Ridge:
    """Return the ridge regression whose penalty predicts best what it did not see.

    Each penalty is measured by predicting each group from all others; with a single group, each row from all others.
    The error of a group left out needs no second fit: it is (I - H)⁻¹ times the group's residuals, where H is the
    group's block of the matrix that maps targets to fitted values.

    Args:
        rows: Shape (rows, features); at least one row.
        targets: One number a row.
        groups: What is left out together, a name for each row.
    """
    y = np.asarray(targets, dtype=float)
    scale = float((rows * rows).sum(axis=1).mean())
    if scale == 0:
        return Ridge(np.zeros(rows.shape[1]), float("inf"), float((y * y).mean()))
    left, squares = _directions(rows)
    towards = left.T @ y
    penalties = scale * GRID
    kept = squares / (squares + penalties[:, None])
    residuals = y - (kept * towards) @ left.T
    errors = np.zeros(len(penalties))
    names, place = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2:
        place = np.arange(len(y))
    for members in _members(place):
        part = left[members]
        hat = (part * kept[:, None, :]) @ part.T
        wrong = np.linalg.solve(np.eye(len(members)) - hat, residuals[:, members, None])[..., 0]
        errors += (wrong * wrong).sum(axis=1)
    best = int(errors.argmin())
    weights = rows.T @ (left @ (towards / (squares + penalties[best])))
    return Ridge(weights, float(penalties[best]), float(errors[best] / len(y)))


def _directions(rows: Array) -> tuple[Array, Array]:
    """Return the left singular vectors of `rows`, shape (rows, rank), and the squared singular values."""
    wide = rows.shape[0] <= rows.shape[1]
    squares, vectors = np.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
    known = squares > _ROUNDING * squares[-1]
    squares, vectors = squares[known], vectors[:, known]
    return (vectors if wide else rows @ vectors / np.sqrt(squares)), squares


def _members(place: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    order = np.argsort(place, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(place[order])) + 1)
