"""Do models that name attributes as generators reward it as judges? (§6.2, Figure 7)

A point is a model that writes responses and judges them: how often attributes are named in its responses, against its
own ratings of everybody's responses with an explicit mention less those without. Both move with the requests that were
drawn, and together: one resample of requests gives a rate and an uplift to each model, and a correlation over models.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import rankdata, spearmanr

from recenter_utils.codebook.mentions import UPLIFTS
from recenter_utils.report import in_cell, interval_of, with_interval
from recenter_utils.responses.gaps import Rated, gap, interval
from recenter_utils.responses.mentions import explicit, rate
from recenter_utils.stats.pairs import Drawn, divided
from recenter_utils.stats.permutation import correlation_test, least_significant
from recenter_utils.tables import table

#: Models that a correlation takes: over two it is 1 or -1 whatever they do.
LEAST = 3

#: The level that `value_needed` is for.
LEVEL = 0.05

Array = NDArray[np.float64]


class Point(NamedTuple):
    """A model in both roles: its mention rate and its uplift, with draws from the same resamples."""

    model: str
    rate: Drawn
    uplift: Drawn
    n_explicit: int
    n_ratings: int


def points(
    comparisons: pl.DataFrame, mentions: pl.DataFrame, found: Rated, *, draws: int = 10_000, seed: int = 0
) -> dict[str, list[Point]]:
    """Return, for each of UPLIFTS, a point for each model that is generator and judge, in the order of generators.

    comparisons, mentions: the tables. found: see `gaps.rated`. draws: resamples of requests, the same for all points.
    """
    held = comparisons.join(explicit(mentions), on="comparison_id", how="left")
    judges = set(found.ratings.filter(rater_kind="llm")["rater"])
    made: dict[str, list[Point]] = {statistic: [] for statistic in UPLIFTS}
    for model in found.generators:
        if model not in judges:
            continue
        own, ratings = held.filter(generator=model), found.of(model)
        named, n_explicit = rate(own, found.requests, draws=draws, seed=seed), int(own["explicit"].sum())
        for statistic, of_it in made.items():
            uplift = gap(found, ratings, statistic, draws=draws, seed=seed)
            of_it.append(Point(model, named, uplift, n_explicit, int(ratings["explicit"].count())))
    return made


def measure(by_statistic: Mapping[str, Sequence[Point]]) -> pl.DataFrame:
    """Return the table `generator_judges`. by_statistic: see `points`."""
    rows = []
    for statistic, made in by_statistic.items():
        for point in made:
            share, uplift = point.rate.interval(), interval(point.uplift)
            rows.append(
                {
                    "model": point.model,
                    "statistic": statistic,
                    "n_comparisons": point.rate.n,
                    "n_explicit": point.n_explicit,
                    "rate": share.value,
                    "rate_low": share.low,
                    "rate_high": share.high,
                    "n_ratings": point.n_ratings,
                    "uplift": uplift.value,
                    "uplift_low": uplift.low,
                    "uplift_high": uplift.high,
                    "reason": "; ".join(filter(None, (share.reason, uplift.reason))) or None,
                }
            )
    return table("generator_judges").frame(rows)


def correlations(by_statistic: Mapping[str, Sequence[Point]]) -> pl.DataFrame:
    """Return the table `generator_judge_correlation`.

    The interval says how far the points move with other requests; that there are other models it does not know.

    by_statistic: see `points`.
    """
    rows = []
    for statistic, made in by_statistic.items():
        whole = [point for point in made if np.isfinite([point.rate.value, point.uplift.value]).all()]
        row = correlation([point.rate.value for point in whole], [point.uplift.value for point in whole])
        if row["value"] is not None:
            drawn = _spearman(*(np.column_stack([getattr(point, side).draws for point in whole]) for side in _SIDES))
            clusters = min(getattr(point, side).clusters for point in whole for side in _SIDES)
            ends = Drawn(row["value"], drawn, clusters, len(whole), row["reason"] or "").interval()
            row |= {"low": ends.low, "high": ends.high, "reason": ends.reason or None}
        if lost := len(made) - len(whole):
            why = f"{lost} of {len(made)} models lack one of the two numbers and are no points"
            row["reason"] = "; ".join(filter(None, (row["reason"], why)))
        rows.append({"statistic": statistic} | row)
    return table("generator_judge_correlation").frame(rows)


def correlation(rates: Sequence[float], uplifts: Sequence[float]) -> dict[str, Any]:
    """Return Spearman's correlation of points with its permutation p-values, as a row without statistic and interval.

    p_smallest is the p of points in exactly one order, one of n! pairings, both ways: no data could do better.
    """
    n = len(rates)
    row: dict[str, Any] = {"n_models": n, "value": None, "pairings": 0, "exact": True, "reason": None}
    if n < LEAST:
        count = f"{n or 'no'} model{'s are' if n != 1 else ' is'}"
        return row | {"reason": f"{count} generator and judge with both numbers: a correlation takes {LEAST}"}
    two, one = (correlation_test(rates, uplifts, alternative=way) for way in ("two-sided", "greater"))
    if two.reason:
        return row | {"reason": two.reason}
    return row | {
        "value": two.value,
        "p_two_sided": two.p,
        "p_one_sided": one.p,
        "p_smallest": 2 / math.factorial(n),
        "value_needed": least_significant(n, LEVEL),
        "pairings": two.pairings,
        "exact": two.exact,
    }


def published(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the paper's correlation as printed, and what its points give through the code for a study's own.

    rows: item, kind, statistic, value and tag of Figure 7; see `published.read`.

    Returns:
        what, value, known (the tag of the number, or that it is derived).
    """
    wide = rows.filter(pl.col("statistic").is_in(["rate", "gap"]), kind="llm")
    wide = wide.pivot("statistic", index="item", values="value").drop_nulls()
    found = correlation(wide["rate"].to_list(), wide["gap"].to_list())
    derived = {
        "Spearman's correlation of the points": found["value"],
        "exact p, two-sided": found["p_two_sided"],
        "exact p, one-sided": found["p_one_sided"],
        "p by the t approximation, two-sided": spearmanr(wide["rate"], wide["gap"]).pvalue,
        f"smallest two-sided p that {found['n_models']} points can give": found["p_smallest"],
    }
    printed = [
        (f"printed: {name}", value) for name, value in rows.filter(tag="printed")["statistic", "value"].iter_rows()
    ]
    return pl.DataFrame(
        [*((what, value, "printed") for what, value in printed), *((*one, "derived") for one in derived.items())],
        {"what": pl.String, "value": pl.Float64, "known": pl.String},
        orient="row",
    )


def models_for_page(found: pl.DataFrame) -> pl.DataFrame:
    """Return the table `generator_judges` as a page shows it: a row a model, both ways to take the gap side by side."""
    rows: dict[str, dict[str, Any]] = {}
    for row in found.to_dicts():
        shown = rows.setdefault(row["model"], {"model": row["model"], "responses_compared": row["n_comparisons"]})
        shown["mentions_as_generator"] = _cell(row, "rate", "{:.0%}")
        shown["ratings_as_judge"] = row["n_ratings"]
        shown[f"uplift_{row['statistic']}"] = _cell(row, "uplift", "{:+.2f}")
        shown["note"] = "; ".join(dict.fromkeys(filter(None, (shown.get("note"), row["reason"])))) or None
    columns = ("mentions_as_generator", *(f"uplift_{statistic}" for statistic in UPLIFTS), "note")
    schema = {"model": pl.String, "responses_compared": pl.Int64, "ratings_as_judge": pl.Int64}
    return pl.DataFrame(list(rows.values()), schema | dict.fromkeys(columns, pl.String))


def for_page(found: pl.DataFrame) -> pl.DataFrame:
    """Return the table `generator_judge_correlation` as a page shows it."""
    return found.select(
        gap="statistic",
        models="n_models",
        spearman="value",
        low="low",
        high="high",
        p_two_sided="p_two_sided",
        p_one_sided="p_one_sided",
        smallest_p_possible="p_smallest",
        needed_for_p_of_5_percent="value_needed",
        pairings="pairings",
        note="reason",
    )


def sentence(found: pl.DataFrame) -> str:
    """Return the correlation as a claim, with what so few points can say. found: `generator_judge_correlation`."""
    rows = {row["statistic"]: row for row in found.to_dicts()}
    said = []
    for statistic in UPLIFTS:
        row = rows.get(statistic)
        if row is None or row["value"] is None:
            continue
        correlated = with_interval(interval_of(row), "{:.2f}")
        test = "exact" if row["exact"] else "from random pairings"
        verdict = "is excluded at 5%" if row["p_two_sided"] <= LEVEL else "is not excluded"
        said.append(
            f"with the {statistic} gap {correlated}; at a two-sided p of {row['p_two_sided']:.3f} ({test}; one-sided "
            f"{row['p_one_sided']:.3f}) independence of the two roles {verdict}"
        )
    if not said:
        why = next((row["reason"] for row in rows.values()), "there are no comparisons")
        return f"Nothing can be said of generators as judges: {why}."
    row = next(row for row in rows.values() if row["value"] is not None)
    least = f"With {row['n_models']} models no data give a two-sided p below {row['p_smallest']:.2g}"
    if row["value_needed"] is not None:
        least += f", and a p of 5% takes a correlation of {row['value_needed']:.2f}"
    elif row["p_smallest"] > LEVEL:
        least += ", so that no correlation of so few would be significant at 5%"
    return (
        f"Over {row['n_models']} models that write and judge, Spearman's correlation of mention rate and uplift "
        f"(intervals over requests, for these models) is {'; '.join(said)}. {least}."
    )


_SIDES = ("rate", "uplift")


def _cell(row: Mapping[str, Any], side: str, form: str) -> str:
    return in_cell({"value": row[side], "low": row[f"{side}_low"], "high": row[f"{side}_high"]}, form)


def _spearman(first: Array, second: Array) -> Array:
    """Return Spearman's correlation of each row's points, shape (draws,); NaN where a point is undefined or all tie."""
    whole = np.isfinite(np.concatenate([first, second], axis=1)).all(axis=1, keepdims=True)
    sides = [rankdata(np.where(whole, side, 0.0), axis=1) for side in (first, second)]
    x, y = (side - side.mean(axis=1, keepdims=True) for side in sides)
    found = divided((x * y).sum(axis=1), np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1)))
    return np.where(whole[:, 0], found, np.nan)
