"""A judge for a person? The alternative annotator test on relevance (Calderon et al. 2025), for every judge."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import pandas as pd
import polars as pl

from recenter_utils import report
from recenter_utils.annotation.annotators import included, wide
from recenter_utils.relevance.agreement import people_word
from recenter_utils.scales import PEOPLE
from recenter_utils.settings import Replacement
from recenter_utils.stats.alternative import LEAST_ANNOTATORS, AlternativeTest, alternative_test
from recenter_utils.tables import table

#: What the baseline is called: it gives every pair the annotators' commonest answer, and reads nothing.
BASELINE = "always {}"

_BY_ANNOTATOR = {
    "judge": pl.String,
    "annotator": pl.String,
    "n": pl.Int64,
    "judge_closer": pl.Float64,
    "annotator_closer": pl.Float64,
    "p": pl.Float64,
    "p_items": pl.Float64,
    "may_replace": pl.Boolean,
    "reason": pl.String,
}


class StandIns(NamedTuple):
    """The table `alternative_annotators`, and what stands behind it: a row a judge and annotator.

    `by_annotator` has the columns judge, annotator, n (pairs), judge_closer and annotator_closer (share of them on
    which the one is at least as close to the remaining annotators as the other), p (requests independent), p_items
    (pairs independent), may_replace (by the first), reason.
    """

    table: pl.DataFrame
    by_annotator: pl.DataFrame


def measure(
    judgments: pl.DataFrame,
    retrieval: pl.DataFrame,
    pairs: pl.DataFrame,
    raters: pl.DataFrame,
    rules: Replacement,
    excluded: tuple[str, ...] = (),
    *,
    seed: int = 0,
) -> StandIns:
    """Return for every judge whether it may stand in for an annotator; requests are the clusters.

    Judges are the baseline that always gives the annotators' commonest answer, every model, every retrieval method,
    and, where four annotators or more count, each of them beside the others.

    judgments, retrieval, pairs, raters: the tables `relevance_judgments`, `retrieval_judgments`, `pairs` and
    `relevance_raters`; a model in the last that answered nothing has its row. excluded: annotators whom study.yaml
    leaves out.
    """
    kept = included(judgments, excluded)
    people = kept.filter(pl.col("rater_kind").is_in(PEOPLE))
    order = pd.Index(pairs["pair_id"].to_list(), dtype=object)
    requests = pairs["prompt_id"].to_numpy()
    answers = wide(people).reindex(order)
    rows, parts = [], []
    machines = pl.concat([kept, included(retrieval, excluded)]).filter(~pl.col("rater_kind").is_in(PEOPLE))
    known = pl.concat([included(raters, excluded), kept, machines], how="diagonal").select("rater", "rater_kind")
    kinds = dict(known.unique(maintain_order=True).iter_rows())
    for name, kind, others, said in _judges(people, machines, kinds, answers):
        found = alternative_test(others, said, epsilon=rules.epsilon, q=rules.q, clusters=requests, seed=seed)
        several = others.notna().sum(axis=1) > 1
        rows.append(
            {"judge": name, "rater_kind": kind, "n_unanswered": int((several & said.isna()).sum())} | _row(found, rules)
        )
        parts.append(_beside(found, name))
    tested = table("alternative_annotators").frame(rows)
    return StandIns(tested, pl.concat(parts) if parts else pl.DataFrame(schema=_BY_ANNOTATOR))


def _judges(
    people: pl.DataFrame, machines: pl.DataFrame, kinds: Mapping[str, str], answers: pd.DataFrame
) -> Iterator[tuple[str, str | None, pd.DataFrame, pd.Series]]:
    """Yield each judge's name, kind, the annotators whom it is held against, and its answers in their order."""
    nothing = pd.Series([None] * len(answers), index=answers.index, dtype=object)
    if len(people):
        commonest = people.group_by("label").len().sort("len", "label", descending=[True, False])["label"][0]
        yield BASELINE.format(commonest), None, answers, nothing.fillna(commonest)
    given = wide(machines).reindex(answers.index)
    for name, kind in kinds.items():
        if kind not in PEOPLE:
            yield name, kind, answers, given.get(name, nothing)
    for name in answers.columns if len(answers.columns) > LEAST_ANNOTATORS else ():
        yield name, kinds[name], answers.drop(columns=name), answers[name]


def _row(found: AlternativeTest, rules: Replacement) -> dict[str, object]:
    return {
        "epsilon": rules.epsilon,
        "winning_rate": found.winning_rate,
        "winning_rate_items": found.winning_rate_items,
        "advantage": found.advantage.value,
        "low": found.advantage.low,
        "high": found.advantage.high,
        "n_annotators": int(found.annotators["p"].notna().sum()),
        "n_items": found.n_items,
        "passes": found.passes,
        "reason": "; ".join(dict.fromkeys(filter(None, [found.reason, found.advantage.reason]))) or None,
    }


def _beside(found: AlternativeTest, judge: str) -> pl.DataFrame:
    names = {"judge": "judge_closer", "person": "annotator_closer", "replaced": "may_replace"}
    rows = found.annotators.rename(columns=names).to_dict("records")
    plain = [{key: None if value != value else value for key, value in row.items()} for row in rows]
    return pl.DataFrame([{"judge": judge} | row for row in plain], schema=_BY_ANNOTATOR)


def for_page(found: pl.DataFrame, names: Mapping[str, str]) -> pl.DataFrame:
    """Return the table `alternative_annotators` as readers want it; names: see `annotators.page_names`."""

    def replaced(rate: str) -> pl.Expr:
        count = (pl.col(rate) * pl.col("n_annotators")).round().cast(pl.Int64)
        return pl.format("{} of {}", count, "n_annotators")

    return found.select(
        pl.col("judge").replace(dict(names)),
        pl.struct(value="advantage", low="low", high="high").map_elements(report.in_cell, pl.String).alias("advantage"),
        replaced("winning_rate").alias("may replace"),
        replaced("winning_rate_items").alias("if pairs were independent"),
        "passes",
        pl.col("n_items").alias("pairs"),
        pl.col("n_unanswered").alias("unanswered"),
        "reason",
    )


def sentence(found: pl.DataFrame, kinds: Iterable[str]) -> str:
    """Return in words which models may stand in, and what a baseline that reads nothing reaches.

    found: the table `alternative_annotators`. kinds: what the raters are.
    """
    models = found.filter(rater_kind="llm")
    if models.is_empty():
        return "Whether a judge may stand in for an annotator cannot be said: no model has judged a pair."
    tested = models.drop_nulls("winning_rate")
    if tested.is_empty():
        return f"Whether a model may stand in for an annotator cannot be said: {models['reason'][0]}."
    tested = tested.sort("advantage", "judge", descending=[True, False])
    passing, best = tested.filter("passes")["judge"].to_list(), tested.to_dicts()[0]
    number = f"{len(passing)} of {len(tested)} model{'s' * (len(tested) > 1)}"
    if untested := len(models) - len(tested):
        number += f" ({untested} more could not be tested)"
    named = f": {', '.join(passing)}" if passing else ""
    word = people_word(kinds).replace("people", "annotators")
    said = (
        f"Allowed to be worse by {best['epsilon']:g}, {number} may stand in for at least half of the "
        f"{best['n_annotators']} {word}{named}. The highest advantage probability among them here is that of "
        f"{best['judge']}, {_advantage(best)}."
    )
    baseline = found.filter(pl.col("rater_kind").is_null()).drop_nulls("winning_rate").to_dicts()
    for row in baseline:
        verb = "passes as well" if row["passes"] and passing else "passes" if row["passes"] else "does not pass"
        said += f" A judge that {_habit(row['judge'])} and reads nothing {verb}, at {_advantage(row)}"
        above = tested.filter(pl.col("passes") & (pl.col("advantage") > row["advantage"]))
        said += f"; of those that pass, {len(above)} of {len(passing)} have more." if passing else "."
    return said


def _habit(name: str) -> str:
    return name.replace("always", "always says")


def _advantage(row: dict[str, Any]) -> str:
    return report.with_interval(report.interval_of(row | {"value": row["advantage"]}), "{:.2f}")
