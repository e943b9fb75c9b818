"""Everybody who was asked, annotators and models side by side: what became of the items put to them, who stands apart.

As in stage 1, whoever is excluded changes nothing about those who count, and is compared with them alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import polars as pl

from recenter_utils.annotation import annotators, outliers
from recenter_utils.scales import PEOPLE, RATER_KINDS, Scale
from recenter_utils.stats import agreement

_DRAWS = 2000  # resamples of the kappas by which somebody stands apart


def roster(
    judgments: pl.DataFrame,
    failures: pl.DataFrame,
    checks: pl.DataFrame,
    clusters: pl.DataFrame,
    scale: Scale,
    means: Mapping[str, str],
    describe: Callable[[pl.DataFrame], Mapping[str, Any]],
    *,
    excluded: tuple[str, ...] = (),
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Return a row for everybody who was asked, people first, then by name.

    Keys: rater, rater_kind, n_answered, n_unparsed, n_errors, excluded, stands_apart, the keys of `means` (annotators
    have these), and what `describe` returns.

    Args:
        judgments: Answers of people and of models, in the columns of the codebook.
        failures: What models could not answer: rater, error, n (see `inference.judges`).
        checks: Annotators' answers to check items: rater, passed.
        clusters: item_id, and as the second column what is resampled.
        scale: What is answered on.
        means: By key, the statistic of `stats.agreement.pairwise` whose mean over the other annotators it holds.
        describe: From somebody's own answers, which have the cluster beside them, to numbers; there may be none.
        excluded: Annotators whom study.yaml leaves out.
        seed: Where resamples start.
    """
    counted = judgments.join(clusters, on="item_id", how="left", maintain_order="left")
    passed = dict(checks.group_by("rater").agg(pl.col("passed").sum(), n=pl.len()).rows_by_key("rater", unique=True))
    answers = annotators.wide(judgments.filter(pl.col("rater_kind").is_in(PEOPLE)))

    def measure(part: pd.DataFrame) -> dict[str, dict[str, Any]]:
        return _measured(part, clusters, passed, scale, means, seed)

    numbers = annotators.measured(answers, passed, excluded, measure)
    unparsed = _failed(failures.filter(error="unparsed"))
    errors = _failed(failures.filter(pl.col("error") != "unparsed"))
    parts = {str(name): part for (name,), part in counted.group_by("rater", maintain_order=True)}
    kinds = dict(judgments.select("rater", "rater_kind").unique().iter_rows())
    kinds |= {name: "llm" for name in failures["rater"] if name not in kinds}
    kinds |= {name: "human" for name in passed if name not in kinds}  # simulated annotators answer no check items
    return [
        {
            "rater": name,
            "rater_kind": kind,
            "n_answered": len(parts.get(name, ())),
            "n_unparsed": unparsed.get(name, 0),
            "n_errors": errors.get(name, 0),
            "excluded": name in excluded,
            **describe(parts.get(name, counted.clear())),
            **numbers.get(name, {}),
        }
        for name, kind in sorted(kinds.items(), key=lambda row: (RATER_KINDS.index(row[1]), row[0]))
    ]


def _measured(
    answers: pd.DataFrame,
    clusters: pl.DataFrame,
    passed: Mapping[str, tuple[int, int]],
    scale: Scale,
    means: Mapping[str, str],
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Return the means of each annotator among these, and why somebody stands apart."""
    answers = answers.dropna(how="all")
    drawn = annotators.clusters_of(answers, clusters, clusters.columns[1])
    pairs = {
        statistic: agreement.pairwise(
            answers, scale.labels, statistic=statistic, clusters=drawn, draws=_DRAWS * (statistic == scale.kappa),
            seed=seed,
        )
        for statistic in {scale.kappa, *means.values()}
    }  # fmt: skip
    apart = outliers.standing_apart(answers, pairs[scale.kappa], passed, scale=scale, seed=seed)
    return {
        rater: {"stands_apart": apart.get(rater)}
        | {column: annotators.mean_kappa(pairs[statistic], rater) for column, statistic in means.items()}
        for rater in dict.fromkeys([*answers.columns, *apart])
    }


def _failed(failures: pl.DataFrame) -> dict[str, int]:
    return dict(failures.group_by("rater").agg(pl.col("n").sum()).iter_rows())
