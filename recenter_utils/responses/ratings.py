"""Ratings of comparisons as numbers: which rater gave which, with the request, page and generator of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recenter_utils.relevance import agreement
from recenter_utils.scales import PEOPLE, PREFERENCE
from recenter_utils.stats.pairs import divided

Array = NDArray[np.float64]

#: The scale's numbers, generic to personalised, and the one that prefers neither.
SCALE = tuple(float(PREFERENCE.score(label)) for label in PREFERENCE.labels)
NEUTRAL = SCALE[len(SCALE) // 2]

#: Rows of all together.
ALL_ANNOTATORS = "all annotators"
ALL_GENERATORS = "all generators"


class Ratings(NamedTuple):
    """Who rated what.

    comparisons: the table, a row an item, also those that nobody rated. raters: everybody who answered and counts,
    annotators first; kinds: what each is. numbers: shape (comparisons, raters), 1 generic to 5 personalised, NaN
    without an answer.
    """

    comparisons: pl.DataFrame
    raters: list[str]
    kinds: list[str]
    numbers: Array

    @property
    def people(self) -> list[int]:
        """The columns of annotators."""
        return [place for place, kind in enumerate(self.kinds) if kind in PEOPLE]

    @property
    def judges(self) -> list[int]:
        """The columns of models."""
        return [place for place, kind in enumerate(self.kinds) if kind not in PEOPLE]

    @property
    def generators(self) -> list[str]:
        """The generators that have comparisons, in the order of the table."""
        return self.comparisons["generator"].unique(maintain_order=True).to_list()

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Which cells of `numbers` have an answer."""
        return np.asarray(np.isfinite(self.numbers), dtype=bool)

    @property
    def by_people(self) -> NDArray[np.bool_]:
        """Which comparisons an annotator rated."""
        return np.asarray(self.answered[:, self.people].any(axis=1), dtype=bool)

    def of(self, columns: Sequence[int]) -> Array:
        """Return some raters' columns."""
        return self.numbers[:, list(columns)]

    def mean(self, columns: Sequence[int]) -> Array:
        """Return the mean rating of each comparison over some raters, NaN where none of them answered."""
        part = self.of(columns)
        return divided(np.nansum(part, axis=1), np.isfinite(part).sum(axis=1).astype(float))

    def long(self, columns: Sequence[int]) -> pl.DataFrame:
        """Return the ratings of some raters, a row each: the columns of `comparisons`, rater and rating."""
        item, place = np.nonzero(np.isfinite(self.of(columns)))
        names = [self.raters[column] for column in columns]
        return self.comparisons[item].with_columns(
            rater=pl.Series([names[at] for at in place], dtype=pl.String),
            rating=pl.Series(self.of(columns)[item, place], dtype=pl.Float64),
        )


def read(judgments: pl.DataFrame, comparisons: pl.DataFrame, excluded: tuple[str, ...] = ()) -> Ratings:
    """Return the ratings of everybody whom study.yaml does not exclude.

    judgments: the table `preference_judgments`. comparisons: the table.
    """
    kinds = agreement.raters(judgments, excluded)
    numbers = np.full((len(comparisons), len(kinds)), np.nan)
    row = {name: place for place, name in enumerate(comparisons["comparison_id"])}
    column = {name: place for place, name in enumerate(kinds)}
    for item, rater, label in judgments.select("item_id", "rater", "label").iter_rows():
        if item in row and rater in column:
            numbers[row[item], column[rater]] = PREFERENCE.score(label)
    return Ratings(comparisons, list(kinds), list(kinds.values()), numbers)
