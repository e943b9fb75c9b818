"""Learning from some comparisons and predicting others: a head on frozen features, or a whole backbone, out of fold."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recenter_utils.training import bases
from recenter_utils.training.reward import ridge
from recenter_utils.training.reward.comparisons import fingerprint
from recenter_utils.training.reward.kept import Kept

Array = NDArray[np.float64]
Rows = NDArray[np.int64]


class Learner(Protocol):
    """Anything that learns how far the personalised response is preferred."""

    def predict(self, rows: Rows, targets: Array) -> Array:
        """Learn these rows' targets, and return what is then predicted of every row."""
        ...


class Head:
    """A linear head on differences of frozen features, see `features.differences` and `ridge`."""

    def __init__(self, differences: Array, clusters: NDArray) -> None:
        self._differences, self._clusters = differences, clusters

    def predict(self, rows: Rows, targets: Array) -> Array:
        """Learn these rows' targets, and return what is then predicted of every row."""
        return ridge.fit(self._differences[rows], targets, self._clusters[rows]).predict(self._differences)


class Backbone:
    """A whole backbone that is trained anew each time, see `fitting.fit`. What it predicted is kept on disk.

    A run that is interrupted so loses the one training that it was in the middle of.
    """

    def __init__(
        self, comparisons: pl.DataFrame, base: str, settings: Mapping[str, Any], seed: int, folder: Path
    ) -> None:
        self._comparisons, self._base, self._settings, self._seed = comparisons, base, settings, seed
        self._kept = Kept(folder, [fingerprint(comparisons), bases.fingerprint(base), dict(settings), seed])

    def predict(self, rows: Rows, targets: Array) -> Array:
        """Learn these rows' targets, and return what is then predicted of every row."""
        known = self._kept.read(self._key(rows, targets), len(self._comparisons))
        if known is not None:
            return known
        from recenter_utils.training.reward.fitting import fit  # on first use: it brings torch along

        fitted = fit(self._comparisons[rows], targets, self._base, self._settings, self._seed)
        said = fitted.preferences(self._comparisons)
        del fitted
        gc.collect()  # the next one would stand in memory beside it
        self._kept.write(self._key(rows, targets), said)
        return said

    def _key(self, rows: Rows, targets: Array) -> str:
        # A base from the hub has its commit once it is here: after the first training at the latest.
        return self._kept.key(rows, targets, bases.commit(self._base))


class OutOfFold(NamedTuple):
    """What is predicted of every row by models that saw no row of its request: points from the middle, NaN where none.

    n_ratings: ratings that they learned from, a mean over the parts.
    """

    values: Array
    n_ratings: float


def out_of_fold(
    learner: Learner,
    targets: Array,
    ratings: Rows,
    parts: Rows,
    draw: Callable[[Rows], Rows] = lambda rows: rows,
) -> OutOfFold:
    """Return each row's prediction by the model that learned from the other parts.

    The models of the parts are brought to the same mean prediction over all rows. Otherwise a part whose ratings are
    high, and that the other parts' model knows nothing of, would be predicted low: predictions without any worth would
    correlate negatively with ratings.

    Args:
        learner: What learns.
        targets: Shape (rows,), NaN where a row has no rating.
        ratings: How many ratings are behind each target.
        parts: See `comparisons.folds`.
        draw: Takes the rows that can be learned from, and returns those that are.
    """
    found, means, learned = np.full(len(targets), np.nan), [], []
    for part in np.unique(parts):
        rows = draw(np.flatnonzero((parts != part) & np.isfinite(targets)))
        if not len(rows):
            continue
        said = learner.predict(rows, targets[rows])
        means.append(float(said.mean()))
        learned.append(int(ratings[rows].sum()))
        inside = parts == part
        found[inside] = said[inside] - means[-1]
    return OutOfFold(found + (np.mean(means) if means else 0), float(np.mean(learned)) if learned else 0.0)
