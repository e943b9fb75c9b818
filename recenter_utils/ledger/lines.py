"""The ledger's lines: each finding of the paper beside the same number of a study, and why the two differ."""

from __future__ import annotations

import math
from collections.abc import Mapping

import polars as pl
from scipy.stats import norm

from recenter_utils.ledger import attributes, preferences, reasons, relevance
from recenter_utils.ledger.evidence import Answer, Evidence
from recenter_utils.tables import table

#: How a study answers each finding, by its key in data/published/findings.csv.
ANSWERS: Mapping[str, Answer] = {**attributes.ANSWERS, **relevance.ANSWERS, **preferences.ANSWERS}

#: What the stages ask, for headings and captions.
STAGES = {1: "Attributes", 2: "Relevance", 3: "Responses"}

#: How often a 95% interval misses another estimate of the same from as much data: that one has an error as well.
MISSES = 2 * float(norm.cdf(norm.ppf(0.025) / math.sqrt(2)))


def compare(findings: pl.DataFrame, study: Evidence) -> pl.DataFrame:
    """Return the table `ledger`: a line a finding, in the findings' order. findings: see `published.read`."""
    rows = []
    for finding in findings.to_dicts():
        answer = ANSWERS[finding["key"]]
        found = study.answer(answer.find)
        about = {name: finding[name] for name in ("key", "stage", "finding", "unit", "qualifier", "source", "tag")}
        number = {"value": found.value, "low": found.low, "high": found.high, "name": found.name or None}
        size = {"n": found.n, "n_of": found.of or None, "n_published": finding["n"]}
        rows.append(
            about
            | number
            | size
            | {
                "published": finding["value"],
                "place": reasons.place(found, finding["value"], finding["qualifier"]),
                "why": reasons.why(answer, found, finding, study),
                "reason": found.reason or None,
            }
        )
    return table("ledger").frame(rows)


def shared(lines: pl.DataFrame) -> list[str]:
    """Return the reasons that all lines with a number have in common, in their order."""
    lists: list[list[str]] = lines.drop_nulls("value")["why"].to_list()
    return [reason for reason in (lists[0] if lists else []) if all(reason in other for other in lists)]


def sentence(lines: pl.DataFrame, origin: str) -> str:
    """Return the ledger as a claim: how many findings the study has a number for, and where its intervals are.

    origin: the study's, which says what agreement with the paper can mean.
    """
    known = lines.drop_nulls("value")
    if known.is_empty():
        return f"This study has no number for any of the paper's {len(lines)} findings yet."
    places = known["place"].drop_nulls().to_list()
    counts = {place: places.count(place) for place in ("holds", "below", "above")}
    said = (
        f"Of {len(lines)} findings of the paper this study has a number for {len(known)}, {len(places)} of them with "
        f"an interval: {counts['holds']} hold the published number, {counts['below']} lie below it and "
        f"{counts['above']} above."
    )
    if "simulated" in origin.split("+"):
        return (
            f"{said} What is simulated shows how the tools work and says nothing about people: neither agreement nor "
            "difference bears on the paper."
        )
    return (
        f"{said} A published number has an error as well. If it rests on as much data as this study's, and nothing but "
        f"chance lies between the two, an interval misses it in about one of {1 / MISSES:.0f} cases; if it rests on "
        "more, less often, and on less, more often. For the highest or lowest of several this depends as well on how "
        "near to each other they are."
    )


def missing(lines: pl.DataFrame) -> pl.DataFrame:
    """Return what this study cannot say and why: finding and reason."""
    return lines.filter(pl.col("value").is_null()).select("finding", "reason")
