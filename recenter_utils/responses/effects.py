"""Which generators annotators prefer, for annotators and requests in general: a mixed model, checked by an ordered one.

The mixed model takes a rating as a generator's mean plus random intercepts of the annotator, the request, its user, the
page and the comparison. The ordered model takes ratings as an order and no more: it has the generator and the annotator
as fixed effects, and errors that are robust to whatever the ratings of one request share. Where requests are fewer than
twice its numbers these errors are too small, and signs alone are compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recenter_utils.codebook.preferences import FACTORS
from recenter_utils.relevance.agreement import people_word
from recenter_utils.report import in_cell, interval_of, with_interval
from recenter_utils.responses.ratings import NEUTRAL, Ratings
from recenter_utils.stats import mixed, ordered
from recenter_utils.stats.mixed import Combination, Mixed
from recenter_utils.stats.ordered import Ordered
from recenter_utils.stats.resampling import Interval
from recenter_utils.tables import table

#: What tells the groups of a factor apart.
_COLUMNS = {
    "request": ["prompt_id"],
    "user": ["prompt_id", "user_id"],
    "page": ["page_id"],
    "comparison": ["comparison_id"],
    "annotator": ["rater"],
}

_ONE_GENERATOR = "there is only one generator"
_ONE_SIDE = "no annotator's rating lies above 3, or none below"
_THESE = "the ordered model speaks of these annotators alone"


def fit(ratings: Ratings) -> Mixed:
    """Return the mixed model of the annotators' ratings, each generator's mean less 3 as its fixed effects."""
    rows = ratings.long(ratings.people)
    columns = {name: (rows["generator"] == name).to_numpy() for name in rows["generator"].unique().sort()}
    nested = {factor: _groups(rows, factor) for factor in ("request", "user", "page", "comparison")}
    return mixed.fit(rows["rating"].to_numpy() - NEUTRAL, columns, nested, {"annotator": _groups(rows, "annotator")})


def _groups(rows: pl.DataFrame, factor: str) -> NDArray[np.int64]:
    """Return each rating's group in a factor; a user is one of a request: the same for all generators."""
    groups = rows.select(pl.struct(_COLUMNS[factor]).rank("dense")).to_series()
    return groups.to_numpy().astype(np.int64)


def fit_ordered(ratings: Ratings) -> Ordered:
    """Return the ordered model of the annotators' ratings: generators and annotators against the first of each."""
    rows = ratings.long(ratings.people)
    columns: dict[str, NDArray[np.bool_]] = {}
    for column in ("generator", "rater"):
        names = rows[column].unique().sort().to_list()
        columns |= {f"{column} {name}": (rows[column] == name).to_numpy() for name in names[1:]}
    return ordered.fit(rows["rating"].to_numpy(), columns, rows["prompt_id"].to_numpy())


def measure(ratings: Ratings) -> pl.DataFrame:
    """Return the table `preference_effects`; without a rating of an annotator it has no row."""
    linear, check = fit(ratings), fit_ordered(ratings)
    generators, annotators = list(linear.terms), [ratings.raters[place] for place in ratings.people]
    of_raters = {f"rater {name}": 1 / len(annotators) for name in annotators}
    rows = []
    for effect in ("level", "contrast"):
        for name in generators:
            apart = effect == "contrast"
            weights = {one: (one == name) - apart / len(generators) for one in generators}
            shifted = {f"generator {one}": weight for one, weight in weights.items()}
            beside = check.combination(shifted) if apart else check.combination(shifted | of_raters, NEUTRAL)
            lacks = check.reason or (
                check.unsure and f"no intervals, since {check.unsure.replace('clusters', 'requests')}"
            )
            notes = [linear.reason, lacks and f"ordered model: {lacks}"]
            if apart and len(generators) == 1:
                own, beside, notes = _nothing(), _nothing(), [_ONE_GENERATOR]
            else:
                own = linear.combination(weights)
                notes.append(_ONE_SIDE if not check.reason and math.isnan(beside.value) else "")
                known = not math.isnan(beside.low)
                notes.append(_THESE if known and not apart and _seen(own) != _seen(beside) else "")
            rows.append(_row(effect, name, own, beside, notes))
    for factor in FACTORS if generators else ():
        found = linear.deviation(factor)
        rows.append({"effect": "spread", "term": factor, "value": found.value} | _ends(found))
    return table("preference_effects").frame([row | {"n_ratings": linear.n} for row in rows])


def _row(effect: str, term: str, own: Combination, beside: Combination, notes: Iterable[str]) -> dict[str, Any]:
    both = not (math.isnan(own.value) or math.isnan(beside.value))
    return {
        "effect": effect,
        "term": term,
        "value": own.value,
        "low": own.low,
        "high": own.high,
        "freedom": own.freedom if math.isfinite(own.freedom) else None,
        "ordered": beside.value,
        "ordered_low": beside.low,
        "ordered_high": beside.high,
        "same_sign": own.value * beside.value > 0 if both else None,
        "same_verdict": _seen(own) == _seen(beside) if both and not math.isnan(beside.low) else None,
        "reason": "; ".join(dict.fromkeys(filter(None, notes))) or None,
    }


def _ends(found: Interval) -> dict[str, Any]:
    return {"low": found.low, "high": found.high, "reason": found.reason or None}


def _seen(found: Combination) -> int:
    """Return which side of 0 an interval lies on: 1, -1, or 0 where it holds 0."""
    return int(found.low > 0) - int(found.high < 0)


def _nothing() -> Combination:
    return Combination(*[math.nan] * 5)


def components(ratings: Ratings, fitted: Mixed) -> pl.DataFrame:
    """Return the table `variance_components` from a fitted model (see `fit`)."""
    rows = ratings.long(ratings.people)
    found = []
    for factor in FACTORS:
        one = fitted.deviation(factor)
        groups = len(np.unique(_groups(rows, factor))) if factor in _COLUMNS else len(rows)
        found.append({"factor": factor, "deviation": one.value, "n_groups": groups} | _ends(one))
    return table("variance_components").frame(found)


def _cell(row: Mapping[str, float | None]) -> str:
    return in_cell(row, "{:z.2f}")


_EFFECTS = {
    "level": "mean rating less 3",
    "contrast": "less the mean of all generators",
    "spread": "standard deviation between",
}


def for_page(found: pl.DataFrame, kinds: Iterable[str]) -> pl.DataFrame:
    """Return the table `preference_effects` as a page shows it: a row a term, intervals behind estimates."""
    one = {"people": "person", "simulated annotators": "simulated annotator"}.get(people_word(kinds), "annotator")
    said = {True: "yes", False: "no"}
    sides = [pl.struct(value=first, low=low, high=high) for first, low, high in (
        ("value", "low", "high"), ("ordered", "ordered_low", "ordered_high"))]  # fmt: skip
    return found.select(
        effect=pl.col("effect").replace_strict(_EFFECTS),
        term=pl.col("term").replace({"annotator": one}),
        mixed_model=sides[0].map_elements(_cell, pl.String),
        ordered_model=sides[1].map_elements(_cell, pl.String),
        same_sign=pl.col("same_sign").replace_strict(said, default=None, return_dtype=pl.String),
        same_verdict=pl.col("same_verdict").replace_strict(said, default=None, return_dtype=pl.String),
        note="reason",
    )


def sentence(found: pl.DataFrame, kinds: Iterable[str]) -> str:
    """Return in words what the models say of generators, and whether they agree. found: `preference_effects`."""
    if found.is_empty():
        return "No model of ratings can be fitted: no annotator's rating counts."
    word = people_word(kinds)
    levels, contrasts = (found.filter(effect=effect) for effect in ("level", "contrast"))
    if levels["value"].null_count() == len(levels):
        return f"No model of the ratings can be fitted: {levels['reason'][0]}."
    spread = {row["term"]: row for row in found.filter(effect="spread").to_dicts()}
    whom = f"{word} in general"
    if spread["annotator"]["value"] is None:
        whom = f"these {word} alone" if "only one" not in spread["annotator"]["reason"] else "this one annotator"
    parts = [f"For {whom} (mixed model), {_sides(levels, ('above 3', 'below 3', 'not told apart from 3'))}"]
    if len(contrasts) > 1:
        ranked = contrasts.sort("value", "term", descending=[True, False]).to_dicts()
        ends = [f"{row['term']} {with_interval(interval_of(row), '{:+.2f}')}" for row in (ranked[0], ranked[-1])]
        parts.append(f"Beside the mean of all generators: {ends[0]} at the top, {ends[1]} at the bottom")
    agreed = []
    # Where requests are too few for the ordered model's intervals, no row has a verdict.
    looked_at = ["same_sign"] if found["same_verdict"].null_count() == len(found) else ["same_sign", "same_verdict"]
    for rows, what in ((levels, "differences from 3"), (contrasts, "differences from the mean")):
        if len(checked := rows.drop_nulls(looked_at)):
            agreed.append(f"{len(checked.filter(*looked_at))} of {len(checked)} {what}")
    if agreed:
        also = " and in what is told from 0" if len(looked_at) > 1 else ""
        more = "" if also else "; requests are too few to compare what is told from 0"
        parts.append(f"The ordered model agrees in sign{also} on {' and '.join(agreed)}{more}")
    else:
        parts.append(f"There is no check by an ordered model ({levels['reason'].drop_nulls()[0]})")
    if spread["annotator"]["value"] is not None:
        parts.append(f"Standard deviation between {word}: {with_interval(interval_of(spread['annotator']), '{:.2f}')}")
    return ". ".join(parts) + "."


def _sides(rows: pl.DataFrame, words: tuple[str, str, str]) -> str:
    """Return in words which terms have an interval above 0, below 0, or around it."""
    return sides([(row["term"], interval_of(row)) for row in rows.to_dicts() if row["value"] is not None], words)


def sides(found: Iterable[tuple[str, Interval]], words: tuple[str, str, str], at: float = 0.0) -> str:
    """Return in words whose interval lies above a number, below it, or holds it.

    words: what the three are called, such as `above 3`.
    """
    groups: Mapping[str, list[str]] = {word: [] for word in words}
    for name, one in found:
        groups[words[0] if one.low > at else words[1] if one.high < at else words[2]].append(name)
    return "; ".join(f"{word}: {', '.join(names) if names else 'none'}" for word, names in groups.items())
