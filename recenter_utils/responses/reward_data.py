"""What reward models of a study learn from and are tested on: comparisons with their texts, and who rated them how."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recenter_utils.relevance.agreement import people_word
from recenter_utils.responses import ratings as read_ratings
from recenter_utils.responses.ratings import Ratings
from recenter_utils.settings import Reward
from recenter_utils.training.reward.comparisons import SCHEMA, check, folds

Array = NDArray[np.float64]

#: Ratings that an annotator needs for models of their own.
LEAST_RATINGS = 30


@dataclass(frozen=True)
class Rated:
    """Comparisons with their texts, who rated them how, and the part of each: its request's.

    texts: see `training.reward.comparisons.SCHEMA`, a row an item, in the order of `ratings.comparisons`.
    """

    texts: pl.DataFrame
    ratings: Ratings
    parts: NDArray[np.int64]

    @property
    def requests(self) -> NDArray:
        """The request of each comparison: the cluster of its interval."""
        return self.texts["cluster"].to_numpy()

    @property
    def annotators(self) -> list[str]:
        """The annotators who count, by name."""
        return [self.ratings.raters[place] for place in self.ratings.people]

    @property
    def word(self) -> str:
        """What pages call them."""
        return people_word([self.ratings.kinds[place] for place in self.ratings.people])

    @property
    def numbers(self) -> Array:
        """Their ratings, shape (comparisons, annotators), NaN where there is none."""
        return self.ratings.of(self.ratings.people)

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many of them rated each comparison."""
        return np.isfinite(self.numbers).sum(axis=1)

    @property
    def mean(self) -> Array:
        """Their mean rating of each comparison, NaN where nobody rated it."""
        return self.ratings.mean(self.ratings.people)

    @property
    def lacking(self) -> str:
        """Why nothing can be learned and tested; an empty string where something can."""
        if not len(self.texts):
            return "there are no comparisons"
        if not self.counts.any():
            return "no annotator who counts has rated a comparison"
        if len(np.unique(self.requests[self.counts > 0])) < 2:
            return "testing on other requests than are learned from takes two requests"
        return ""

    def able(self) -> list[int]:
        """Return the places of annotators with enough ratings, of two requests or more, for models of their own."""
        known = np.isfinite(self.numbers)
        return [
            place
            for place in range(known.shape[1])
            if known[:, place].sum() >= LEAST_RATINGS and len(np.unique(self.parts[known[:, place]])) > 1
        ]


def read(
    comparisons: pl.DataFrame,
    responses: pl.DataFrame,
    prompts: pl.DataFrame,
    judgments: pl.DataFrame,
    rules: Reward,
    seed: int,
    excluded: tuple[str, ...] = (),
) -> Rated:
    """Return what is learned from and tested on.

    comparisons, responses, prompts: the tables. judgments: the table `preference_judgments`. excluded: annotators whom
    study.yaml leaves out.
    """
    ordered = comparisons.sort("comparison_id")
    texts = ordered.join(prompts.select("prompt_id", request="text"), on="prompt_id", how="left", maintain_order="left")
    for side in ("generic", "personalised"):
        said = responses.select("text", pl.col("response_id").alias(f"{side}_id")).rename({"text": side})
        texts = texts.join(said, on=f"{side}_id", how="left", maintain_order="left")
    texts = texts.rename({"prompt_id": "cluster"}).select(list(SCHEMA))
    check(texts)
    return Rated(texts, read_ratings.read(judgments, ordered, excluded), folds(texts["cluster"], rules.folds, seed))


def divided_parts(rated: Rated) -> pl.DataFrame:
    """Return for each part its requests, comparisons, those that are rated, and their ratings; then all together."""
    rows = []
    for part in [*np.unique(rated.parts), None]:
        inside = np.ones(len(rated.texts), dtype=bool) if part is None else rated.parts == part
        rows.append(
            {
                "part": "all" if part is None else str(part + 1),
                "requests": len(np.unique(rated.requests[inside])),
                "comparisons": int(inside.sum()),
                "rated": int((rated.counts[inside] > 0).sum()),
                "ratings": int(rated.counts[inside].sum()),
            }
        )
    columns = ("requests", "comparisons", "rated", "ratings")
    return pl.DataFrame(rows, {"part": pl.String} | dict.fromkeys(columns, pl.Int64))
