"""The front page: three questions, and what the study's tables answer to each, for a reader with two minutes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import polars as pl

from recenter_utils.relevance.agreement import BETWEEN, WITHIN_MODELS, WITHIN_PEOPLE, people_word
from recenter_utils.report import interval_of, with_interval
from recenter_utils.scales import PEOPLE
from recenter_utils.stats.blocks import block_name

#: What is drawn of an answer: a row a group, with who is behind it (`people`, `models`) for its colour.
ROWS = pl.Schema({"label": pl.String, "side": pl.String, "value": pl.Float64, "low": pl.Float64, "high": pl.Float64})

_NOBODY = "nobody has judged this yet"


class Answer(NamedTuple):
    """An answer in a sentence, and the rows of its picture (see `ROWS`)."""

    sentence: str
    rows: pl.DataFrame


def attributes(quality: pl.DataFrame, annotators: pl.DataFrame) -> Answer:
    """Return what people say of the attributes that were read from chats (stage 1).

    quality: the table `attribute_quality`. annotators: the table of that name.
    """
    found = quality.filter(pl.col("group").str.starts_with("all "), label="problematic").to_dicts()
    words = {"real": "real-chat sources", "synthetic": "synthetic benchmarks"}
    rows = [_row(words[row["kind"]], "people", row) for row in found]
    who = people_word(annotators.filter(~pl.col("excluded"))["rater_kind"])
    if not found:
        return Answer(f"Whether models read people rightly cannot be said: {_NOBODY}.", _frame(rows))
    parts = [f"{_share(row)} of judgments on attributes from {words[row['kind']]}" for row in found]
    return Answer(f"{who[0].upper()}{who[1:]} did not accept the attribute in {', and in '.join(parts)}.", _frame(rows))


def relevance(blocks: pl.DataFrame, raters: pl.DataFrame) -> Answer:
    """Return how people and models agree on what matters for a request, and how often they say yes (stage 2).

    blocks: the table `relevance_blocks`. raters: the table `relevance_raters`.
    """
    counted = raters.filter(~pl.col("excluded"), pl.col("n_answered") > 0)
    who = people_word(counted["rater_kind"])
    known = {row["block"]: row for row in blocks.to_dicts()}
    named = (
        (f"{who} with each other", "people", WITHIN_PEOPLE),
        ("models with each other", "models", WITHIN_MODELS),
        (f"{who} with models", "both", BETWEEN),
    )
    rows = [_row(label, side, known[block_name(b)]) for label, side, b in named if block_name(b) in known]
    people, models = (counted.filter(pl.col("rater_kind").is_in(PEOPLE) == side) for side in (True, False))
    if counted.is_empty():
        return Answer(f"Whether models know what matters cannot be said: {_NOBODY}.", _frame(rows))
    rates = [f"{_range(part['yes_rate'])} by {name}" for name, part in ((who, people), ("models", models)) if len(part)]
    said = f"of the attributes known, {' and '.join(rates)} are found relevant to a request"
    between = known.get(block_name(BETWEEN))
    if between is not None and len(people) and len(models):
        said += f". The two agree with a kappa of {_number(between)}"
        own = known.get(block_name(WITHIN_PEOPLE))
        if own is not None and own["value"] is not None:
            said += f", {who} among themselves with {_number(own)}"
    return Answer(f"{said[0].upper()}{said[1:]}.", _frame(rows))


def responses(scores: pl.DataFrame, raters: pl.DataFrame) -> Answer:
    """Return how often a personalised response is no better than a generic one, to people and to judges (stage 3).

    scores: the table `preference_scores`. raters: the table `preference_raters`.
    """
    counted = raters.filter(~pl.col("excluded"), pl.col("n_answered") > 0)
    who = people_word(counted["rater_kind"])
    found = scores.filter(pl.col("value").is_not_null(), generator="all generators", statistic="no_better").to_dicts()
    own = [row for row in found if row["rater"] == "all annotators"]
    judges = [row for row in found if row["rater_kind"] not in (*PEOPLE, None)]
    rows = [_row(who, "people", row) for row in own] + [_row(row["rater"], "models", row) for row in judges]
    if not rows:
        return Answer(f"Whether personalised responses are better cannot be said: {_NOBODY}.", _frame(rows))
    shares = [f"in {_share(row)} of the ratings of {who}" for row in own]
    if judges:
        each = pl.Series([row["value"] for row in judges], dtype=pl.Float64)
        shares.append(f"in {_range(each)} of each model's{'' if own else ' ratings'}")
    return Answer(f"The personalised response is no better than the generic one {' and '.join(shares)}.", _frame(rows))


def _row(label: str, side: str, row: Mapping[str, Any]) -> dict[str, Any]:
    return {"label": label, "side": side} | {name: row[name] for name in ("value", "low", "high")}


def _frame(rows: Iterable[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=ROWS)


def _share(row: Mapping[str, Any]) -> str:
    return with_interval(interval_of(row), "{:.0%}")


def _number(row: Mapping[str, Any]) -> str:
    return with_interval(interval_of(row), "{:.2f}")


def _range(shares: pl.Series) -> str:
    known = [f"{share:.0%}" for share in shares.drop_nulls().sort()]
    if not known:
        return "an unknown share"
    return known[0] if known[0] == known[-1] else f"{known[0]} to {known[-1]}"
