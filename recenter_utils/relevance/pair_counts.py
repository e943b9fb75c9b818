"""Pairing in numbers: how many there were at each step, what became of each request, and the claim of the page."""

from __future__ import annotations

from statistics import median

import polars as pl

from recenter_utils import report
from recenter_utils.relevance.pairing import Paired, named
from recenter_utils.settings import Pairing
from recenter_utils.stats.resampling import Interval, cluster_bootstrap

#: What a study without requests is told.
NO_REQUESTS = (
    "This study has no requests, so nothing can be said of relevance: name a file of them as pairing.prompts in "
    "study.yaml (the page 'Your own data' shows its form), and run the study again."
)

#: Outside benchmarks nobody has said which pairs are linked, which is not the same as none.
_LINKED = pl.when(pl.col("benchmark").is_not_null().any()).then(pl.col("benchmark").sum().cast(pl.Int64))

_FUNNEL = {"step": pl.String, "n": pl.Int64, "note": pl.String}


def funnel(made: Paired) -> pl.DataFrame:
    """Return how many there were at each step, from the file to the pairs: step, n, note."""
    unmet = without_pairs(made)
    same = made.pairs.filter(pl.struct("prompt_id", "attribute").is_duplicated())
    rows = [
        *made.steps,
        ("requests without pairs", len(unmet), named(unmet)),
        ("pairs of a request and an attribute", len(made.pairs), f"of {made.pairs['user_id'].n_unique():,} users"),
        ("pairs whose wording stands twice with the request", len(same), "each is a pair of its own"),
    ]
    return pl.DataFrame(rows if made.steps else [], schema=_FUNNEL, orient="row")


def by_request(made: Paired) -> pl.DataFrame:
    """Return what became of each request, those with most pairs first.

    Columns: prompt_id, considered (users), passed, users (drawn), pairs, linked (pairs that a
    benchmark links; null where there is none).
    """
    users = made.pairing.group_by("prompt_id").agg(
        considered=pl.len().cast(pl.Int64), passed=pl.col("kept").sum().cast(pl.Int64), users=pl.col("chosen").sum()
    )
    pairs = made.pairs.group_by("prompt_id").agg(pairs=pl.len().cast(pl.Int64), linked=_LINKED)
    found = (
        made.prompts.select("prompt_id").join(users, on="prompt_id", how="left").join(pairs, on="prompt_id", how="left")
    )
    counts = pl.col("considered", "passed", "users", "pairs")
    return found.with_columns(counts.fill_null(0).cast(pl.Int64)).sort("pairs", "prompt_id", descending=[True, False])


def without_pairs(made: Paired) -> list[str]:
    """Return the requests that no user's attributes meet, by id."""
    return sorted(set(made.prompts["prompt_id"]) - set(made.pairs["prompt_id"]))


def decisions(made: Paired) -> pl.DataFrame:
    """Return how the combinations of a request and a user fared: outcome, combinations, share of them all.

    For those that were answered on, mean_potential is the mean number of attributes named, and mean_attributes the
    mean number that the users have.
    """
    outcome = pl.when("kept").then(pl.lit("passes")).otherwise("reason")
    return (
        made.pairing.with_columns(outcome=outcome)
        .group_by("outcome")
        .agg(
            combinations=pl.len().cast(pl.Int64),
            share=pl.len() / max(1, len(made.pairing)),
            mean_potential=pl.col("n_potential").mean(),
            mean_attributes=pl.col("n_attributes").mean(),
        )
        .sort("combinations", "outcome", descending=[True, False])
    )


def sentence(made: Paired, rules: Pairing, seed: int) -> str:
    """Return the counts as a claim; the interval is over requests."""
    if rules.prompts is None:
        return NO_REQUESTS
    pairs, requests = made.pairs, made.prompts
    if made.pairing.is_empty():
        return (
            f"{len(requests):,} requests are drawn and meet nobody: no user is judged in stage 1 who has attributes "
            "(annotation.real_users and annotation.synthetic_users say how many are)."
        )
    met = pairs["prompt_id"].n_unique()
    said = f"{met:,} of {len(requests):,} requests meet attributes of {pairs['user_id'].n_unique():,} users: "
    said += f"{len(pairs):,} pairs"
    if met:
        sizes = pairs.group_by("prompt_id").len()["len"].to_list()
        said += f", {median(sizes):,.0f} for the median request ({min(sizes):,} to {max(sizes):,})"
    if rules.format == "personalens":
        share = _share(pairs["benchmark"], pairs["prompt_id"], seed)
        return f"{said}. The benchmark links {share} of them."
    answered = made.pairing.drop_nulls("n_potential")
    share = _share(answered["kept"], answered["prompt_id"], seed)
    silent = len(made.pairing) - len(answered)
    if len(answered):
        of = f"{len(answered):,} combinations of a request and a user that the filter answered on"
        said += f". Of {of}, it lets {share} pass"
    return f"{said}; {silent:,} have no answer and pass nowhere." if silent else f"{said}."


def _share(values: pl.Series, prompts: pl.Series, seed: int) -> str:
    found: Interval = cluster_bootstrap(values.to_numpy(), prompts.to_numpy(), seed=seed)
    return report.with_interval(found, "{:.1%}")
