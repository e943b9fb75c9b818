"""What pages say of the gaps that mentions make: tables, a claim, and the paper's own gap taken apart (Figure 6)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recenter_utils.annotation import simulation
from recenter_utils.annotation.annotators import SOMEBODY, page_names
from recenter_utils.annotation.simulated_preference import expected_uplift
from recenter_utils.relevance.agreement import people_word
from recenter_utils.report import in_cell, interval_of, with_interval
from recenter_utils.responses.gaps import TOGETHER, Rated
from recenter_utils.responses.mentions import EVERY
from recenter_utils.scales import PEOPLE
from recenter_utils.stats import gaps

#: What a page calls each way to take a gap, in the order of its columns.
_COLUMNS = {
    "pooled": "pooled",
    "mix": "mix alone",
    "adjusted": "adjusted for generator",
    "adjusted_request": "and request",
    "adjusted_page": "within responses",
}


def planted(found: Rated, truth: Path | None) -> dict[str, float]:
    """Return what the adjusted gap of each simulated annotator estimates, and that of them together, in points.

    It is the mean over generators of what a mention adds to the expected rating, each with the weight that the gap
    gives it. Annotators together have none where there are people among them.

    found: the ratings. truth: the folder that `annotation.simulated` names; None: nothing is planted.
    """
    if truth is None:
        return {}
    who = simulation.annotators(truth)
    rules = {name: one.preference for name, one in who.annotators.items() if one.preference}
    known = found.of(TOGETHER).drop_nulls("explicit")
    counts = known.group_by("rater", "generator", maintain_order=True).agg(n=pl.len(), marked=pl.col("explicit").sum())
    uplifts: dict[str, list[tuple[float, float]]] = {}
    for rater, generator, n, marked in counts.iter_rows():
        if (rule := rules.get(rater)) and generator in who.qualities and 0 < marked < n:
            one = expected_uplift(rule, who, generator), marked * (n - marked) / n
            for name in (rater, TOGETHER):
                uplifts.setdefault(name, []).append(one)
    if set(known["rater"]) - set(rules):
        uplifts.pop(TOGETHER, None)
    pairs = {name: np.array(ones).T for name, ones in uplifts.items()}
    return {name: float(np.average(values, weights=weights)) for name, (values, weights) in pairs.items()}


def caption(truths: Mapping[str, float]) -> str:
    """Return the caption of `for_page`. truths: see `planted`."""
    said = "Gaps in points of the five-point scale, with 95% intervals over requests."
    more = (
        " Planted: what a mention adds to a simulated annotator's expected rating, after rounding and the ends of the "
        "scale; the gap adjusted for generator estimates it."
    )
    return said + (more if truths else "")


def for_page(found: pl.DataFrame, names: Mapping[str, str], truths: Mapping[str, float] | None = None) -> pl.DataFrame:
    """Return the gaps over all generators as a page shows them: a row a rater, a column a way to take the gap.

    found: the table `mention_gaps`. names: see `spoken`. truths: see `planted`; where there are any, a column has them.
    """
    rows = []
    for (rater,), part in found.filter(generator=EVERY).group_by("rater", maintain_order=True):
        by = {row["statistic"]: row for row in part.to_dicts()}
        about = by["pooled"]
        cells = {words: in_cell(_rounded(by[name]), "{:+.2f}") for name, words in _COLUMNS.items()}
        truth = {"planted": f"{truths[str(rater)]:+.2f}" if rater in truths else None} if truths else {}
        notes = dict.fromkeys(row["reason"] for row in by.values() if row["reason"])
        rows.append(
            {
                "rater": names.get(str(rater), SOMEBODY),
                "ratings": about["n_ratings"],
                "with_mention": about["n_explicit"],
                "not_known": about["n_unknown"],
                **truth,
                **cells,
                "note": "; ".join(notes) or None,
            }
        )
    numbers = dict.fromkeys(("ratings", "with_mention", "not_known"), pl.Int64)
    words = (*(["planted"] if truths else []), *_COLUMNS.values(), "note")
    return pl.DataFrame(rows, {"rater": pl.String} | numbers | dict.fromkeys(words, pl.String))


def for_figure(found: pl.DataFrame) -> pl.DataFrame:
    """Return the rows over all generators, of annotators together and of models. found: the table `mention_gaps`."""
    return found.filter((pl.col("rater") == TOGETHER) | (pl.col("rater_kind") == "llm"), generator=EVERY)


def by_generator(found: pl.DataFrame, names: Mapping[str, str]) -> pl.DataFrame:
    """Return each rater's gap in the responses of single generators, a column a generator; a dash where undefined.

    found, names: see `for_page`.
    """
    single = found.filter(pl.col("generator") != EVERY)
    if single.is_empty():
        return pl.DataFrame(schema={"rater": pl.String})
    said = single.with_columns(
        rater=pl.col("rater").replace_strict(names, default=SOMEBODY, return_dtype=pl.String),
        text=pl.struct("value", "low", "high").map_elements(lambda row: in_cell(_rounded(row), "{:+.2f}"), pl.String),
    )
    return said.pivot("generator", index="rater", values="text", maintain_order=True)


def spoken(found: pl.DataFrame, raters: pl.DataFrame) -> dict[str, str]:
    """Return what pages call each rater: see `annotators.page_names`; annotators together by what they are.

    found: the table `mention_gaps`. raters: the table `preference_raters`.
    """
    missing = found.filter(pl.col("rater") != TOGETHER).select("rater", "rater_kind").unique(maintain_order=True)
    known = pl.concat([raters.select("rater", "rater_kind"), missing]).unique(
        "rater", keep="first", maintain_order=True
    )
    kinds = found.filter(pl.col("rater_kind").is_in(PEOPLE))["rater_kind"]
    return page_names(known) | {TOGETHER: people_word(kinds)}


def published(rows: pl.DataFrame) -> pl.DataFrame:
    """Take the paper's pooled gap of annotators apart, from each generator's mean rating and mentions.

    rows: the published numbers of Figures 5 and 6 (see `published.read`): n, mean and n_explicit of each generator,
    and the gap of all annotators.

    Returns:
        gap, value, known (the tag of the number, or that it is derived).
    """
    of_generators = rows.filter(pl.col("statistic").is_in(["n", "mean", "n_explicit"]), kind="llm")
    wide = of_generators.pivot("statistic", index="item", values="value").drop_nulls()
    (pooled,) = rows.filter(item=TOGETHER, statistic="gap").to_dicts()
    parts = gaps.parts_of(wide["n"].to_numpy(), wide["n_explicit"].to_numpy(), wide["mean"].to_numpy(), pooled["value"])
    return pl.DataFrame(
        {
            "gap": ["pooled", "mix of generators alone", "share of mentions' variance within generators", "adjusted"],
            "value": [parts.pooled, parts.mix, parts.share, parts.within],
            "known": [pooled["tag"], *["derived"] * 3],
        }
    )


def sentence(found: pl.DataFrame, names: Mapping[str, str]) -> str:
    """Return Figure 6 as a claim, with both gaps of annotators and the adjusted gaps of models.

    found: the table `mention_gaps`. names: see `spoken`.
    """
    whole = found.filter(generator=EVERY)
    if whole.is_empty():
        return "Nothing can be said of what a mention is worth: nobody has rated a comparison."
    people = {row["statistic"]: row for row in whole.filter(rater=TOGETHER).to_dicts()}
    if not people:
        said = "No annotator has rated a comparison."
    elif people["pooled"]["value"] is None:
        said = f"What an explicit mention is worth to {names[TOGETHER]} is undefined: {people['pooled']['reason']}."
    else:
        pooled, adjusted, mix = (
            with_interval(interval_of(_rounded(people[name])), "{:+.2f}") for name in ("pooled", "adjusted", "mix")
        )
        said = (
            f"Comparisons with an explicit mention are rated {pooled} points by {names[TOGETHER]} against those "
            f"without, and within generators {adjusted}; the mix of generators alone makes {mix}."
        )
    judges = whole.filter(rater_kind="llm", statistic="adjusted")
    if judges.is_empty():
        return f"{said} No model has judged one."
    sides = {
        "above 0 for": judges.filter(pl.col("low") > 0),
        "below 0 for": judges.filter(pl.col("high") < 0),
        "not told from 0 for": judges.filter(pl.col("low") <= 0, pl.col("high") >= 0),
        "without an interval for": judges.filter(pl.col("value").is_not_null(), pl.col("low").is_null()),
        "undefined for": judges.filter(pl.col("value").is_null()),
    }
    parts = [f"{words} {', '.join(map(_brief, part.to_dicts()))}" for words, part in sides.items() if len(part)]
    return f"{said} Models' gaps within generators are {'; '.join(parts)}."


def _brief(row: Mapping[str, Any]) -> str:
    return f"{row['rater']} ({_rounded(row)['value']:+.2f})" if row["value"] is not None else row["rater"]


def _rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with its numbers as they are shown, so that none of them is a 0 below 0."""
    numbers = {name: row[name] for name in ("value", "low", "high")}
    return {**row, **{name: None if one is None else round(one, 2) + 0.0 for name, one in numbers.items()}}
