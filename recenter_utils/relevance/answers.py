"""What each model answered on the pairs with a reference, and how sure it was."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recenter_utils.annotation.annotators import included
from recenter_utils.scales import PEOPLE

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

NO_JUDGE = "no model has judged a pair"
NO_REFERENCE = "no pair has a reference: nobody has judged one, or annotators are divided on all"


class Answers(NamedTuple):
    """A model's answers on the pairs with a reference: whether it answered and said yes, and its graded scores.

    scores: NaN where it left the pair unanswered, or its answer has no graded score.
    """

    name: str
    answered: Flags
    yes: Flags
    scores: Array

    @property
    def graded(self) -> bool:
        """Whether it has scores that say more than its labels do."""
        return bool(np.setdiff1d(self.scores[~np.isnan(self.scores)], (0.0, 1.0)).size)

    @property
    def ungraded(self) -> Flags:
        """The answers without a graded score."""
        return self.answered & np.isnan(self.scores)

    @property
    def n_unanswered(self) -> int:
        """How many of the pairs it left unanswered."""
        return int((~self.answered).sum())

    @property
    def predictions(self) -> Array:
        """The score of every pair, for uses to which any guess will do: ungraded, 1 for yes and 0 for no or nothing."""
        return np.where(np.isnan(self.scores), self.yes, self.scores)


def referenced(consensus: pl.DataFrame) -> pl.DataFrame:
    """Return the pairs of `relevance_consensus` that have a reference, sorted, and whether it is yes: `relevant`."""
    found = consensus.drop_nulls("reference").sort("pair_id")
    return found.with_columns(relevant=pl.col("reference") == "yes")


def of_models(
    judgments: pl.DataFrame, raters: pl.DataFrame, pool: pl.DataFrame, excluded: tuple[str, ...] = ()
) -> list[Answers]:
    """Return every model's answers on the pairs of `pool` (see `referenced`), in their order.

    judgments, raters: the tables `relevance_judgments` and `relevance_raters`; a model that answered nothing has its
    place.
    """
    known = pl.concat([included(raters, excluded), included(judgments, excluded)], how="diagonal")
    names = known.filter(~pl.col("rater_kind").is_in(PEOPLE))["rater"].unique(maintain_order=True)
    found = []
    for name in names:
        own = judgments.filter(rater=name).select("item_id", "label", "score")
        joined = pool.select(item_id="pair_id").join(own, on="item_id", how="left", maintain_order="left")
        scores = joined["score"].cast(pl.Float64).to_numpy().astype(float)
        label = joined["label"]
        found.append(Answers(name, label.is_not_null().to_numpy(), label.eq_missing("yes").to_numpy(), scores))
    return found
