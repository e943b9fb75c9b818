"""How personalised responses are rated (§6.2; Figure 5, Table 6): by annotators, by models, and how alike they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import polars as pl
from numpy.typing import NDArray

from recenter_utils.responses.ratings import ALL_ANNOTATORS, ALL_GENERATORS, NEUTRAL, SCALE, Ratings
from recenter_utils.stats.pairs import Drawn, PairEstimates, divided, estimate_pairs, mean_of_pairs
from recenter_utils.stats.ratings import cluster_index, read_ratings
from recenter_utils.stats.resampling import Interval, noted_intervals, resampled
from recenter_utils.tables import table

Array = NDArray[np.float64]

#: Rater, generator and statistic of a number.
Key = tuple[str, str, str]

_NO_PEOPLE = "no annotator to hold it against"
_UNRATED = "nobody has rated these"
_ALONE = "no comparison has ratings of both"


class _Number(NamedTuple):
    """A number with its interval, and how many comparisons and ratings of the rater it rests on."""

    found: Interval
    n: int
    n_ratings: int


def measure(ratings: Ratings, *, draws: int = 10_000, seed: int = 0) -> pl.DataFrame:
    """Return the table `preference_scores`: annotators together, each annotator and each model.

    Point values: a mean is over single ratings, as in the paper, so that a comparison which two annotators rated counts
    twice. An inflation is over comparisons that the model and an annotator rated: its rating less their mean.

    Intervals are over requests, since all generators answer the same ones; those over pages take the pages of a request
    as if they had nothing in common.

    Args:
        ratings: See `ratings.read`.
        draws: Resamples of requests, and of pages.
        seed: Where they start.
    """
    requests, pages = (
        _numbers(ratings, ratings.comparisons[column].to_numpy(), draws, seed) for column in ("prompt_id", "page_id")
    )
    of_people = {ratings.kinds[place] for place in ratings.people}
    kinds: dict[str, str | None] = {ALL_ANNOTATORS: of_people.pop() if len(of_people) == 1 else None}
    kinds |= zip(ratings.raters, ratings.kinds, strict=True)
    unanswered = _unanswered(ratings)
    rows = []
    for (rater, generator, statistic), number in requests.items():
        beside = pages[rater, generator, statistic].found
        rows.append(
            {
                "rater": rater,
                "rater_kind": kinds[rater],
                "generator": generator,
                "statistic": statistic,
                **number.found._asdict(),
                "low_pages": beside.low,
                "high_pages": beside.high,
                "n": number.n,
                "n_ratings": number.n_ratings,
                "n_unanswered": unanswered[rater, generator],
                "reason": number.found.reason or beside.reason or None,
            }
        )
    return table("preference_scores").frame(rows)


def share_and_mean(total: float, no_better: float, n: float) -> tuple[float, float]:
    """Return the share of ratings of 3 or less and the mean rating from counts, such as published ones.

    total: the sum of ratings. no_better: how many are 3 or less. n: how many there are.
    """
    share, mean = _value(np.array([[no_better, n], [total, n]]))
    return float(share), float(mean)


def _numbers(ratings: Ratings, clusters: NDArray, draws: int, seed: int) -> dict[Key, _Number]:
    found: dict[Key, _Number] = {}
    generators = ratings.comparisons["generator"].to_numpy()
    columns = _columns(ratings)
    for generator in (ALL_GENERATORS, *ratings.generators):
        rows = np.arange(len(generators)) if generator == ALL_GENERATORS else np.flatnonzero(generators == generator)
        found |= _means(columns, rows, generator, clusters, draws, seed)
    return found | _likeness(ratings, clusters, draws, seed)


class _Column(NamedTuple):
    """What a mean is of: the sum and the number of ratings of each comparison, and how many are the rater's own."""

    rater: str
    statistic: str
    top: Array
    bottom: Array
    own: Array
    nothing: str


def _columns(ratings: Ratings) -> list[_Column]:
    people, together = ratings.of(ratings.people), ratings.mean(ratings.people)
    number = ratings.answered[:, ratings.people].sum(axis=1).astype(float)
    total, no_better = np.nansum(people, axis=1), (people <= NEUTRAL).sum(axis=1)
    rated = (number > 0).astype(float)
    # By whole numbers, so that no rounding puts a mean of 3 above 3.
    by_mean = rated * (total <= NEUTRAL * number)
    found = [
        _Column(ALL_ANNOTATORS, "mean", total, number, number, _UNRATED),
        _Column(ALL_ANNOTATORS, "no_better", no_better.astype(float), number, number, _UNRATED),
        _Column(ALL_ANNOTATORS, "no_better_by_mean", by_mean, rated, number, _UNRATED),
    ]
    for place, name in enumerate(ratings.raters):
        own = ratings.numbers[:, place]
        there = ratings.answered[:, place]
        one = there.astype(float)
        found.append(_Column(name, "mean", np.where(there, own, 0), one, one, _UNRATED))
        found.append(_Column(name, "no_better", (own <= NEUTRAL).astype(float), one, one, _UNRATED))
        if place in ratings.judges:
            both = there & np.isfinite(together)
            more = np.where(both, own - together, 0)
            nothing = _ALONE if ratings.people else _NO_PEOPLE
            found.append(_Column(name, "inflation", more, both.astype(float), both.astype(float), nothing))
    return found


def _means(
    columns: Sequence[_Column], rows: NDArray[np.int64], generator: str, clusters: NDArray, draws: int, seed: int
) -> dict[Key, _Number]:
    """Return each column's mean over some rows, all from the same resamples."""
    index = cluster_index(clusters[rows], len(rows))
    size = int(index.max(initial=-1)) + 1
    totals = np.zeros((size, len(columns), 2))
    for place, column in enumerate(columns):
        for side, values in enumerate((column.top, column.bottom)):
            totals[:, place, side] = np.bincount(index, values[rows], size)

    values = _value(totals.sum(axis=0))
    drawn = resampled(totals, _value, draws, seed) if draws and size else np.empty((0, len(columns)))
    notes = [column.nothing if np.isnan(one) else "" for column, one in zip(columns, values, strict=True)]
    low, high, notes = noted_intervals(values, drawn, (totals[:, :, 1] > 0).sum(axis=0), notes)
    found = {}
    for place, column in enumerate(columns):
        interval = Interval(float(values[place]), float(low[place]), float(high[place]), notes[place])
        n, own = int((column.bottom[rows] > 0).sum()), int(column.own[rows].sum())
        found[column.rater, generator, column.statistic] = _Number(interval, n, own)
    return found


def _value(sums: Array) -> Array:
    """Return means from their sums and numbers, the last axis."""
    return divided(sums[..., 0], sums[..., 1])


def _likeness(ratings: Ratings, clusters: NDArray, draws: int, seed: int) -> dict[Key, _Number]:
    """Return how alike each rater's ratings and the annotators' are, over all generators."""
    people, judges = ratings.people, ratings.judges
    found: dict[Key, Drawn] = {}
    # Models with the mean of all annotators; annotators with the mean of the others, which is the less steady one for
    # having a rating less, so that models are held against these means as well.
    rest = [[other for other in people if other != one] for one in people] if len(people) > 1 else []
    for judge in judges:
        name = ratings.raters[judge]
        found[name, ALL_GENERATORS, "spearman"] = _alone(
            _beside(ratings, judge, people, clusters, draws, seed), "" if people else _NO_PEOPLE
        )
        found[name, ALL_GENERATORS, "spearman_left_out"] = _mean_of(
            [_beside(ratings, judge, others, clusters, draws, seed) for others in rest], "" if people else _NO_PEOPLE
        )
    others = [_beside(ratings, one, left, clusters, draws, seed) for one, left in zip(people, rest, strict=False)]
    for place, one in zip(people, others, strict=False):
        found[ratings.raters[place], ALL_GENERATORS, "spearman"] = _alone(one, "")
    found[ALL_ANNOTATORS, ALL_GENERATORS, "spearman"] = _mean_of(others)
    wide = pd.DataFrame(ratings.numbers.astype(object), columns=ratings.raters)
    coded = read_ratings(wide.where(ratings.answered, None), SCALE, clusters, least=0)
    kappas = "linear_kappa", "quadratic_kappa"
    for statistic, name in (("spearman", "spearman_pairs"), *((one, one) for one in kappas)):
        pairs = estimate_pairs(coded, statistic, draws, seed)

        def over(first: Sequence[int], second: Sequence[int], pairs: PairEstimates = pairs) -> Drawn:
            members = [(a in first and b in second) or (b in first and a in second) for a, b in coded.pairs]
            return mean_of_pairs(pairs, np.array(members, dtype=bool))

        found[ALL_ANNOTATORS, ALL_GENERATORS, name] = over(people, people)
        for place, rater in enumerate(ratings.raters):
            if name != "spearman_pairs":
                own = over([place], [other for other in people if other != place])
                lacks = place in judges and not people
                found[rater, ALL_GENERATORS, name] = own._replace(note=_NO_PEOPLE) if lacks else own
    shared = _shared(ratings)
    return {key: _Number(one.interval(), *shared[key[0]]) for key, one in found.items()}


def _beside(
    ratings: Ratings, one: int, others: Sequence[int], clusters: NDArray, draws: int, seed: int
) -> PairEstimates:
    """Return Spearman's correlation of a rater with the mean of others, its resamples those of all clusters."""
    both = pd.DataFrame({"own": ratings.numbers[:, one], "others": ratings.mean(others)})
    return estimate_pairs(read_ratings(both, None, clusters, least=0), "spearman", draws, seed)


def _alone(found: PairEstimates, note: str) -> Drawn:
    return Drawn(float(found.values[0]), found.draws[:, 0], int(found.clusters[0]), 1, note or found.notes[0])


def _mean_of(found: Sequence[PairEstimates], note: str = "") -> Drawn:
    """Return the mean of correlations that have their resamples in common; note: why there is none."""
    if not found:
        return Drawn(float("nan"), np.empty(0), 0, 0, note or "agreement needs two annotators")
    together = PairEstimates(
        np.concatenate([one.values for one in found]),
        np.concatenate([one.draws for one in found], axis=1),
        np.concatenate([one.shared for one in found], axis=1),
        [one.notes[0] for one in found],
    )
    return mean_of_pairs(together, np.ones(len(found), dtype=bool))


def _shared(ratings: Ratings) -> dict[str, tuple[int, int]]:
    """Return for each rater the comparisons that it and another annotator rated, and its ratings of these."""
    people = ratings.answered[:, ratings.people]
    several = people.sum(axis=1) > 1
    found = {ALL_ANNOTATORS: (int(several.sum()), int(people[several].sum()))}
    for place, name in enumerate(ratings.raters):
        own = ratings.answered[:, place]
        both = own & (people.sum(axis=1) - (own if place in ratings.people else 0) > 0)
        found[name] = (int(both.sum()), int(both.sum()))
    return found


def _unanswered(ratings: Ratings) -> dict[tuple[str, str], int]:
    generators = ratings.comparisons["generator"].to_numpy()
    answered = {name: ratings.answered[:, place] for place, name in enumerate(ratings.raters)}
    answered[ALL_ANNOTATORS] = ratings.by_people
    return {
        (name, generator): int((~there & ((generators == generator) | (generator == ALL_GENERATORS))).sum())
        for name, there in answered.items()
        for generator in (ALL_GENERATORS, *ratings.generators)
    }
