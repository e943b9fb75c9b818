"""Which design sees a gap: requests, users and annotators of a next study, simulated from this one's variances.

A simulated study is balanced: every request has equally many users, who have no other, every generator answers it
for each of them, pages have equally many comparisons, and every annotator rates all. Its ratings have this study's
variances and a gap added, and it is analysed as this one is: means and differences of generators by the mixed model
(`responses/effects.py`), in closed form (`stats/strata.py`); mentions by the gap within generators with an interval
over requests (`responses/gaps.py`). A gap only moves an estimate, so that one set of studies serves all gaps.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import t
from statsmodels.stats.proportion import proportion_confint

from recenter_utils.codebook.preferences import GAP_KINDS
from recenter_utils.responses.ratings import Ratings
from recenter_utils.settings import Planning
from recenter_utils.stats import gaps
from recenter_utils.stats.mixed import Mixed
from recenter_utils.stats.resampling import intervals, resampled
from recenter_utils.stats.strata import Balanced
from recenter_utils.tables import table

Array = NDArray[np.float64]

ONE, TWO, MENTIONS = GAP_KINDS

#: Resamples of a simulated study's requests.
DRAWS = 400

#: Numbers held at once while studies are resampled, 64 MiB of them.
_HELD = 1 << 23


class Basis(NamedTuple):
    """What a next study is taken to be like: this one's variances and make-up.

    variances: by factor of `stats.mixed`; what the study says nothing of is absent. dropped: why it is. comparisons:
    attributes a page, rounded. mentions: each generator's share of named attributes; empty where not known. annotators:
    how many this study has. requests, users: the balanced design nearest to it, `users` of each request.
    """

    variances: Mapping[str, float]
    dropped: Mapping[str, str]
    generators: int
    comparisons: int
    mentions: tuple[float, ...]
    requests: int
    users: int
    annotators: int
    reason: str = ""

    @property
    def design(self) -> Balanced:
        """The balanced design that is nearest to this study."""
        return Balanced(self.requests, self.generators, self.comparisons, self.annotators, self.users)


def basis(ratings: Ratings, fitted: Mixed, explicit: pl.DataFrame) -> Basis:
    """Return what the study's own ratings say of a next one.

    fitted: see `effects.fit`. explicit: comparison_id and explicit, null where not known; see `mentions.explicit`.
    """
    rated = ratings.comparisons.filter(ratings.by_people)
    pages = rated["page_id"].n_unique()
    instances = rated.select("prompt_id", "user_id").unique().height
    users = max(1, round(instances / rated["prompt_id"].n_unique())) if pages else 0
    known = rated.join(explicit.drop_nulls(), on="comparison_id").group_by("generator").agg(pl.col("explicit").mean())
    return Basis(
        fitted.variances,
        fitted.dropped,
        rated["generator"].n_unique(),
        max(1, round(len(rated) / pages)) if pages else 0,
        tuple(known.sort("generator")["explicit"]) if len(known) == rated["generator"].n_unique() else (),
        round(instances / users) if pages else 0,
        users,
        len(ratings.people),
        fitted.reason,
    )


def measure(found: Basis, rules: Planning, seed: int = 0) -> pl.DataFrame:
    """Return the table `designs`: every kind and size of gap, and number of requests, users and annotators.

    The design nearest to this study is among them. With no gap, seeing one is a false alarm; these rows say
    how often that is.
    """
    if not found.annotators or found.reason:
        return table("designs").empty()
    sizes = set(product(rules.requests, rules.users, rules.annotators))
    rows: list[dict[str, Any]] = []
    for place, kind in enumerate(GAP_KINDS):
        for requests, users, annotators in sorted(sizes | {(found.requests, found.users, found.annotators)}):
            design = Balanced(requests, found.generators, found.comparisons, annotators, users)
            about = {
                "gap_kind": kind,
                "requests": requests,
                "users": users,
                "annotators": annotators,
                "pages": design.pages,
                "comparisons": design.comparisons,
                "ratings": design.ratings,
                "n_studies": rules.repeats,
            }
            why = _unknowable(kind, found, design)
            if why:
                rows += [about | {"gap": gap, "n_studies": 0, "reason": why} for gap in (0.0, *rules.gaps)]
                continue
            rng = np.random.default_rng([seed, place, requests, users, annotators])
            low, high = _intervals(kind, found, design, rules.repeats, rng)
            # A study without an interval sees no gap, however large.
            needed = np.where(np.isnan(low), np.inf, -low)
            smallest = float(np.quantile(needed, rules.power, method="inverted_cdf"))
            for gap in (0.0, *rules.gaps):
                seen = low + gap > 0 if gap else (low > 0) | (high < 0)
                known = {"gap": gap, "smallest": smallest if np.isfinite(smallest) else None}
                rows.append(about | known | _share(seen))
    return table("designs").frame(rows)


def _share(seen: NDArray[np.bool_]) -> dict[str, float]:
    hits, studies = int(seen.sum()), len(seen)
    low, high = proportion_confint(hits, studies, method="wilson")
    return {"power": hits / studies, "low": float(low), "high": float(high)}


def _unknowable(kind: str, found: Basis, design: Balanced) -> str:
    """Return why nothing can be said of a design; empty where something can."""
    if design.requests < 2:
        return "intervals take two requests"
    if design.users > 1 and "user" not in found.variances:
        return f"how users of one request differ is not known from this study: {found.dropped['user']}"
    if kind != ONE and found.annotators == 1 and design.annotators > 1:
        return "this study has one annotator: what several would share is not known"
    if kind == ONE:
        if "annotator" not in found.variances:
            return f"how annotators differ is not known from this study: {found.dropped['annotator']}"
        return "one annotator says nothing of annotators in general" if design.annotators == 1 else ""
    if kind == TWO:
        return "there is only one generator" if design.generators == 1 else ""
    if not found.mentions:
        return "mentions are not known"
    return "" if any(0 < rate < 1 for rate in found.mentions) else "all attributes are named, or none"


def _intervals(
    kind: str, found: Basis, design: Balanced, studies: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Return both ends of the gap's interval in studies without a gap."""
    if kind == MENTIONS:
        return mention_intervals(found.variances, found.mentions, design, studies, rng)
    return rating_intervals(found.variances, design, design.of_one if kind == ONE else design.of_two, studies, rng)


def rating_intervals(
    variances: Mapping[str, float], design: Balanced, coefficients: Array, studies: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Return both ends of the mixed model's interval of an effect that is 0, in each simulated study.

    With normal effects the mean squares of a balanced study are independent scaled chi-squares, and the estimate is
    normal beside them, so that these are drawn and no single rating is.

    coefficients: the design's `of_one` or `of_two`.
    """
    expected, freedoms = design.expectations(variances), design.freedoms
    drawn = expected * rng.chisquare(np.maximum(freedoms, 1), (studies, len(freedoms))) / np.maximum(freedoms, 1)
    estimates = np.sqrt(expected @ coefficients) * rng.standard_normal(studies)
    variance, freedom = design.spread(design.fitted(np.where(freedoms > 0, drawn, np.nan)), coefficients)
    reach = t.ppf(0.975, freedom) * np.sqrt(variance)
    return estimates - reach, estimates + reach


def mention_intervals(
    variances: Mapping[str, float],
    rates: tuple[float, ...],
    design: Balanced,
    studies: int,
    rng: np.random.Generator,
    draws: int = DRAWS,
) -> tuple[Array, Array]:
    """Return both ends of the adjusted gap's interval over requests, in studies where a mention is worth nothing.

    Where all annotators rate all comparisons, the gap within generators and annotators is that of the annotators' mean
    ratings within generators, which are drawn. Marks fall on comparisons at random, at each generator's rate.
    """
    requests, generators, comparisons, annotators, users = design
    deviation = {name: np.sqrt(value) for name, value in variances.items()}
    low, high = np.full(studies, np.nan), np.full(studies, np.nan)
    step = max(1, _HELD // (4 * generators * max(draws, requests * users * comparisons)))
    for start in range(0, studies, step):
        size = min(step, studies - start)
        shape = size, requests, users, generators, comparisons
        marked = rng.random(shape) < np.array(rates)[:, None]
        values = deviation.get("request", 0.0) * rng.standard_normal((size, requests, 1, 1, 1))
        values = values + deviation.get("user", 0.0) * rng.standard_normal((size, requests, users, 1, 1))
        values = values + deviation.get("page", 0.0) * rng.standard_normal((size, requests, users, generators, 1))
        own = np.hypot(deviation.get("comparison", 0.0), deviation["residual"] / np.sqrt(annotators))
        values = values + own * rng.standard_normal(shape)
        sums = np.stack(
            [
                np.stack([kept.sum(axis=(2, 4)), (kept * values).sum(axis=(2, 4))], axis=-1)
                for kept in (~marked, marked)
            ],
            axis=-2,
        )
        # Resamples are of requests, the first axis; the same ones for all studies of a piece.
        drawn = resampled(np.moveaxis(sums, 1, 0), gaps.within, draws, int(rng.integers(1 << 31)))
        low[start : start + size], high[start : start + size] = intervals(drawn)
    return low, high
