"""What an explicit mention is worth to each rater (§6.2, Figure 6): the gap in ratings, pooled and adjusted.

A generator that names attributes more often may also be rated lower, or higher, for other reasons. So each gap is
taken in several ways:

- pooled: the mean rating of comparisons with an explicit mention less that of those without, as in the paper;
- adjusted: within generators, which least squares with a dummy for each generator gives;
- adjusted_request: within generators and requests, by least squares with dummies for both;
- adjusted_page: within single responses, between the attributes that it names and those that it does not;
- mix: what the generators' mean ratings alone make of the pooled gap.

Annotators together are one rater: each gap is then also within annotators (mix: of generators and annotators), so that
who rated more of which does not enter. Intervals are over requests. All generators answer the same requests, so that
the comparisons of a request share what it invites, whoever answers. With few requests a bootstrap's intervals are too
narrow: `interval` widens them by how many requests the gap rests on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recenter_utils.annotation.annotators import included
from recenter_utils.codebook.mentions import GAPS
from recenter_utils.responses.mentions import EVERY, explicit, generators
from recenter_utils.scales import PEOPLE, RATER_KINDS
from recenter_utils.stats import gaps
from recenter_utils.stats.pairs import Drawn
from recenter_utils.stats.resampling import Interval, resampled
from recenter_utils.tables import table

Array = NDArray[np.float64]

#: What the table calls the annotators together.
TOGETHER = "all annotators"

_NOTHING = "there is no rating of a response whose mention is known"
_FLAT = "all ratings are {:g}: a mention could not have moved them"
_NO_STRATUM = {
    "adjusted": "no generator has ratings both with and without a mention",
    "adjusted_request": "no request has ratings both with and without a mention, or generators tell the two apart",
    "adjusted_page": "no response has ratings of attributes that it names and of others",
}


class Rated(NamedTuple):
    """Ratings of comparisons: a row a rating, with what a gap needs to know of it.

    ratings: rater, rater_kind, comparison_id, page_id, prompt_id, generator, explicit (null: unknown) and score, of
    those who count. requests: all requests with comparisons, which all gaps are resampled over. generators: in order.
    """

    ratings: pl.DataFrame
    requests: pl.Series
    generators: list[str]

    def of(self, rater: str) -> pl.DataFrame:
        """Return the ratings of a rater, or of `all annotators`."""
        if rater == TOGETHER:
            return self.ratings.filter(pl.col("rater_kind").is_in(PEOPLE))
        return self.ratings.filter(rater=rater)


def rated(
    comparisons: pl.DataFrame, mentions: pl.DataFrame, judgments: pl.DataFrame, excluded: tuple[str, ...] = ()
) -> Rated:
    """Join ratings with what was rated; the tables `comparisons`, `mentions` and `preference_judgments`.

    excluded: raters whom study.yaml leaves out.
    """
    held = comparisons.join(explicit(mentions), on="comparison_id", how="left", maintain_order="left")
    counted = included(judgments, excluded).select("rater", "rater_kind", "score", comparison_id="item_id")
    found = counted.drop_nulls("score").join(held, on="comparison_id").sort("comparison_id", "rater")
    columns = ("rater", "rater_kind", "comparison_id", "page_id", "prompt_id", "generator", "explicit", "score")
    return Rated(found.select(columns), comparisons["prompt_id"].unique().sort(), generators(comparisons))


def measure(found: Rated, raters: pl.DataFrame, *, draws: int = 10_000, seed: int = 0) -> pl.DataFrame:
    """Return the table `mention_gaps`.

    Args:
        found: See `rated`.
        raters: The table `preference_raters`: who was asked and has no usable answer has rows without a gap.
        draws: Resamples of requests, the same for all gaps.
        seed: Where they start.
    """
    rows = []
    for name, kind in _raters(found, raters):
        own = found.of(name)
        rows += [_row(found, own, name, kind, EVERY, gap, draws, seed) for gap in GAPS]
        for generator in found.generators if found.ratings["generator"].n_unique() > 1 else ():
            rows.append(_row(found, own.filter(generator=generator), name, kind, generator, "pooled", draws, seed))
    return table("mention_gaps").frame(rows)


def gap(found: Rated, ratings: pl.DataFrame, statistic: str, *, draws: int = 10_000, seed: int = 0) -> Drawn:
    """Return one gap with its draws; the same seed gives the same resamples of requests to all.

    ratings: rows of `found`; those whose mention is unknown do not count. statistic: one of GAPS.

    Returns:
        NaN with the reason where it is undefined; its n counts the ratings that it rests on, and its clusters their
        requests.
    """
    known = ratings.drop_nulls("explicit")
    why = _undefined(known)
    if why:
        return Drawn(float("nan"), np.full(draws, np.nan), 0, 0, why)
    totals, value, used = _sums(found, known, statistic)
    whole = float(value(totals.sum(axis=0, keepdims=True))[0])
    if whole != whole:
        return Drawn(whole, np.full(draws, np.nan), 0, 0, _NO_STRATUM.get(statistic, ""))
    drawn = resampled(totals, value, draws, seed) if draws else np.empty(0)
    scores = known["score"].unique()
    flat = _FLAT.format(scores[0]) if len(scores) == 1 else ""
    return Drawn(whole, drawn, known.filter(used)["prompt_id"].n_unique(), int(used.sum()), flat)


def interval(drawn: Drawn) -> Interval:
    """Return a gap with its 95% interval over requests, wider than its resamples are where these are few.

    drawn: see `gap`. Each end goes further from the gap by `stats.gaps.reach`.
    """
    found = drawn.interval()
    low, high = (found.value + (end - found.value) * gaps.reach(drawn.clusters) for end in (found.low, found.high))
    return found._replace(low=low, high=high)


def _undefined(known: pl.DataFrame) -> str:
    if known.is_empty():
        return _NOTHING
    if known["explicit"].all():
        return "every rated comparison has an explicit mention"
    return "" if known["explicit"].any() else "no rated comparison has an explicit mention"


def _sums(
    found: Rated, known: pl.DataFrame, statistic: str
) -> tuple[Array, Callable[[Array], Array], NDArray[np.bool_]]:
    """Return what the gap sums over requests, the function from sums to gaps, and which ratings it rests on."""
    values, marked = known["score"].to_numpy(), known["explicit"].to_numpy()
    cluster = found.requests.search_sorted(known["prompt_id"]).to_numpy().astype(np.int64)
    where = cluster, len(found.requests)
    if statistic in ("pooled", "adjusted", "mix"):
        stratum = _codes(known, "generator", "rater")
        value = {"pooled": gaps.pooled, "adjusted": gaps.within, "mix": gaps.mix}[statistic]
        used = _within(marked, stratum) if statistic == "adjusted" else np.ones(len(known), dtype=bool)
        return gaps.cells(values, marked, stratum, *where), value, used
    if statistic == "adjusted_page":
        stratum = _codes(known, "page_id", "rater")
        return gaps.nested(values, marked, stratum, *where), gaps.ratio, _within(marked, stratum)
    stratum = _codes(known, "prompt_id", "rater")
    sums = gaps.crossed(values, marked, stratum, _codes(known, "generator"), *where)
    return sums, gaps.partial, _within(marked, stratum)


def _codes(known: pl.DataFrame, *columns: str) -> NDArray[np.int64]:
    return known.select(pl.struct(columns).rank("dense") - 1).to_series().to_numpy().astype(np.int64)


def _within(marked: NDArray[np.bool_], stratum: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which ratings stand in strata that have both kinds."""
    others, ones = (np.bincount(stratum[marked == side], minlength=stratum.max() + 1) for side in (False, True))
    return (others * ones > 0)[stratum]


def _row(
    found: Rated,
    own: pl.DataFrame,
    rater: str,
    kind: str | None,
    generator: str,
    statistic: str,
    draws: int,
    seed: int,
) -> dict[str, Any]:
    drawn = gap(found, own, statistic, draws=draws, seed=seed)
    ends = interval(drawn)
    known = own.drop_nulls("explicit")
    return {
        "rater": rater,
        "rater_kind": kind,
        "generator": generator,
        "statistic": statistic,
        "n_ratings": len(known),
        "n_explicit": int(known["explicit"].sum()),
        "n_unknown": len(own) - len(known),
        "n_within": drawn.n,
        **ends._asdict(),
        "reason": ends.reason or None,
    }


def _raters(found: Rated, raters: pl.DataFrame) -> Iterable[tuple[str, str | None]]:
    """Return the rows' raters and kinds: annotators together, each annotator, then models; each by name."""
    known = dict(found.ratings.select("rater", "rater_kind").unique().iter_rows())
    known |= dict(raters.filter(~pl.col("excluded")).select("rater", "rater_kind").iter_rows())
    order = sorted(known.items(), key=lambda one: (RATER_KINDS.index(one[1]), one[0]))
    kinds = {kind for _, kind in order if kind in PEOPLE}
    return [*([(TOGETHER, kinds.pop() if len(kinds) == 1 else None)] if kinds else []), *order]
