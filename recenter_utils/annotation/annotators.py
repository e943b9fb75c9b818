"""What speaks for and against each annotator's work: label distribution, agreement, reliability, check items (§4.1).

The paper looks at label distributions and pairwise agreement, and has an author inspect whoever stands apart. Here a
stated rule says who that is (`standing_apart`). It excludes nobody: study.yaml does, once somebody has looked.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import polars as pl
from numpy.typing import NDArray

from recenter_utils.annotation.judgments import SIMULATED_SUFFIX
from recenter_utils.report import with_interval
from recenter_utils.scales import ATTRIBUTE_QUALITY
from recenter_utils.stats import agreement, reliability
from recenter_utils.stats.resampling import Interval
from recenter_utils.tables import table

LABELS = ATTRIBUTE_QUALITY.labels

#: The rule of `standing_apart`, as a page states it.
RULE = (
    "An annotator stands apart whose answers to the attributes shared with another annotator fall on the labels in "
    "other proportions, by 20 points or more at the median of the other annotators, where chance exchanges of answers "
    "make that in less than 1% of cases; or whose median kappa with the others is less than half of what theirs is, "
    "with most of its intervals below that; or who passes less than 70% of five or more check items. Annotators with "
    "fewer than 20 shared attributes are not compared."
)
FEWEST_SHARED = 20
FARTHEST = 0.20
RAREST = 0.01
FEWEST_CHECKS = 5
PASSED = 0.70


def wide(judgments: pl.DataFrame) -> pd.DataFrame:
    """Return judgments as one row an item and one column a rater, both sorted; None where there is no answer."""
    if judgments.is_empty():
        return pd.DataFrame(index=pd.Index([], name="item_id", dtype=object))
    pivot = judgments.pivot("rater", index="item_id", values="label", sort_columns=True).sort("item_id")
    return pivot.to_pandas().set_index("item_id").astype(object).rename_axis(columns=None)


def users_of(answers: pd.DataFrame, items: pl.DataFrame) -> NDArray:
    """Return the user of each row of `wide` answers, the cluster of its interval. items: item_id, user_id."""
    users = dict(items.select("item_id", "user_id").iter_rows())
    return np.array([users[item] for item in answers.index], dtype=object)


def included(judgments: pl.DataFrame, excluded: tuple[str, ...]) -> pl.DataFrame:
    """Return the judgments of annotators whom study.yaml does not exclude."""
    return judgments.filter(~is_excluded(excluded))


def is_excluded(excluded: tuple[str, ...]) -> pl.Expr:
    """Return whether the column `rater` names somebody whom study.yaml excludes."""
    return pl.col("rater").str.strip_suffix(SIMULATED_SUFFIX).is_in(list(excluded))


def summary(
    judgments: pl.DataFrame,
    checks: pl.DataFrame,
    items: pl.DataFrame,
    excluded: tuple[str, ...] = (),
    *,
    draws: int = 400,
    seed: int = 0,
) -> pl.DataFrame:
    """Return the table `annotators`: everybody who answered, the excluded ones as well.

    Args:
        judgments: A table of judgments of attribute quality.
        checks: Answers to check items: rater, passed.
        items: What is judged: item_id and user_id.
        excluded: Annotators whom study.yaml leaves out.
        draws: Resamples for reliability, each of which fits the model anew.
        seed: Where they start.
    """
    if judgments.is_empty():
        return table("annotators").empty()
    answers = wide(judgments)
    clusters = users_of(answers, items)
    pairs = agreement.pairwise(answers, LABELS, clusters=clusters, draws=2000, seed=seed)
    fit = reliability.dawid_skene(answers, LABELS)
    reliable = reliability.reliabilities(answers, fit, clusters=clusters, draws=draws, seed=seed)
    passed = dict(checks.group_by("rater").agg(pl.col("passed").sum(), n=pl.len()).rows_by_key("rater", unique=True))
    apart = standing_apart(answers, pairs, passed, seed=seed)
    both = pl.DataFrame(
        {
            "rater": list(answers.columns),
            "mean_kappa": [mean_kappa(pairs, rater) for rater in answers.columns],
            "reliability": reliable["value"].to_list(),
            "reliability_low": reliable["low"].to_list(),
            "reliability_high": reliable["high"].to_list(),
            "checks": [passed.get(rater, (0, 0))[1] for rater in answers.columns],
            "checks_passed": [passed.get(rater, (0, 0))[0] for rater in answers.columns],
            "stands_apart": [apart.get(rater) for rater in answers.columns],
        },
        schema_overrides={"rater": pl.String, "stands_apart": pl.String, "mean_kappa": pl.Float64},
    ).with_columns(pl.col("reliability", "reliability_low", "reliability_high").fill_nan(None))
    counted = judgments.group_by("rater").agg(
        pl.col("rater_kind").first(),
        n_items=pl.len(),
        **{label: (pl.col("label") == label).mean() for label in LABELS},
        flagged=pl.col("flagged").sum(),
        seconds=pl.col("seconds").median(),
    )
    found = counted.join(both, on="rater").sort("rater").with_columns(excluded=is_excluded(excluded))
    columns = table("annotators").columns
    return found.select(list(columns)).cast(columns)


def mean_kappa(pairs: pd.DataFrame, rater: str) -> float | None:
    """Return the mean of a rater's kappas in `stats.agreement.pairwise`, over pairs where it is defined, if any is."""
    values = _known(_with(pairs, rater)["value"].to_numpy(dtype=float))
    return float(values.mean()) if len(values) else None


def standing_apart(
    answers: pd.DataFrame,
    pairs: pd.DataFrame,
    checks: Mapping[str, tuple[int, int]] | None = None,
    *,
    draws: int = 2000,
    seed: int = 0,
) -> dict[str, str]:
    """Return whose work an author should look at, each with the reason in words (RULE).

    All comparisons are on shared items, so that somebody who did only a pilot is compared on the pilot, and with the
    median of the other annotators, so that one who stands apart does not make others look so. With two annotators
    nobody can say which of them it is: only check items count then.

    Args:
        answers: One row an item, one column a rater.
        pairs: `stats.agreement.pairwise` of these answers, with intervals.
        checks: How many check items a rater passed, and of how many.
        draws: Chance exchanges of answers.
        seed: Where they start.
    """
    raters = list(answers.columns)
    if not raters:
        return {}
    codes = np.column_stack([pd.Categorical(answers[rater], categories=LABELS).codes for rater in raters])
    shared = {rater: [o for o in raters if o != rater and _shared(answers, rater, o)] for rater in raters}
    reasons: dict[str, list[str]] = {rater: [] for rater in raters}
    kappa = {rater: _kappas(pairs, rater, shared[rater]) for rater in raters}
    for place, rater in enumerate(raters):
        others = [raters.index(other) for other in shared[rater]]
        if len(others) > 1:
            reasons[rater] += _by_labels(codes, place, others, draws, seed)
            reasons[rater] += _by_kappa(kappa[rater], [kappa[raters[other]][0] for other in others])
        passed, asked = (checks or {}).get(rater, (0, 0))
        if asked >= FEWEST_CHECKS and passed / asked < PASSED:
            reasons[rater].append(f"passed {passed} of {asked} check items")
    return {rater: "; ".join(found) for rater, found in reasons.items() if found}


def _by_labels(codes: NDArray, rater: int, others: list[int], draws: int, seed: int) -> list[str]:
    """Return what to say of a rater's label distribution, if anything."""
    distances = []
    for other in others:
        both = (codes[:, [rater, other]] >= 0).all(axis=1)
        distances.append(_distance(_shares(codes[both, rater]), _shares(codes[both, other])))
    if np.median(distances) < FARTHEST:
        return []
    # Were the rater one like the others, each item's answers could change hands.
    own, theirs = codes[:, rater], codes[:, others]
    rows = (own >= 0) & (theirs >= 0).any(axis=1)
    there = np.column_stack([own, theirs])[rows]
    generator = np.random.default_rng(seed)
    lots = np.where(there >= 0, generator.random((draws, *there.shape)), -1.0)
    drawn = np.take_along_axis(np.broadcast_to(there, lots.shape), lots.argmax(axis=2)[:, :, None], axis=2)[:, :, 0]
    given = (there[:, :, None] == np.arange(len(LABELS))).sum(axis=1)  # item, label: all answers
    answers = given.sum(axis=1, keepdims=True) - 1

    def apart(chosen: NDArray) -> float:
        one = (chosen[:, None] == np.arange(len(LABELS))).astype(float)
        return _distance(one.mean(axis=0), ((given - one) / answers).mean(axis=0))

    seen = apart(own[rows])
    if (1 + sum(apart(chosen) >= seen for chosen in drawn)) / (1 + draws) >= RAREST:
        return []
    one, rest = _shares(own[rows]), ((given - (own[rows, None] == np.arange(len(LABELS)))) / answers).mean(axis=0)
    most = int(np.argmax(np.abs(one - rest)))
    return [
        f"answers {LABELS[most]} to {one[most]:.0%} of the {int(rows.sum())} attributes shared with others, "
        f"they to {rest[most]:.0%}"
    ]


def _by_kappa(own: tuple[float, float], others: list[float]) -> list[str]:
    value, high = own
    typical = float(np.median(_known(np.array(others)))) if len(_known(np.array(others))) else float("nan")
    if value < typical / 2 and high < typical:
        return [f"median kappa with the others {value:.2f}, theirs {typical:.2f}"]
    return []


def _kappas(pairs: pd.DataFrame, rater: str, others: list[str]) -> tuple[float, float]:
    """Return the medians of a rater's kappas with `others` and of their intervals' upper ends; NaN where unknown."""
    own = _with(pairs, rater)
    own = own[own["rater_a"].isin(others) | own["rater_b"].isin(others)].dropna(subset=["value", "high"])
    return (float(own["value"].median()), float(own["high"].median())) if len(own) else (float("nan"), float("nan"))


def _with(pairs: pd.DataFrame, rater: str) -> pd.DataFrame:
    return pairs[(pairs["rater_a"] == rater) | (pairs["rater_b"] == rater)]


def _known(values: NDArray) -> NDArray:
    return values[np.isfinite(values)]


def _shared(answers: pd.DataFrame, one: str, other: str) -> bool:
    return int((answers[one].notna() & answers[other].notna()).sum()) >= FEWEST_SHARED


def _shares(codes: NDArray) -> NDArray:
    return np.bincount(codes, minlength=len(LABELS)) / max(len(codes), 1)


def _distance(one: NDArray, other: NDArray) -> float:
    """Return the total variation distance: the share of answers that would have to move."""
    return float(np.abs(one - other).sum() / 2)


def sentence(found: pl.DataFrame, overall: pd.DataFrame, progress: pl.DataFrame, study: str) -> str:
    """Return in words who judged, how far they agree and how far the work is.

    found: the table `annotators`. overall: `stats.agreement.overall` of those who are not excluded. progress: as
    `judgments.progress` gives it. study: what a command finds the study by.
    """
    if found.is_empty():
        return (
            f"Nobody has judged an attribute of this study yet: 'recenter annotate {study} attribute-quality' opens "
            f"the screens, and 'recenter import-judgments {study} attribute-quality FILE' takes in a file."
        )
    (kappa,) = overall[overall["statistic"] == "mean_kappa"].to_dict("records")
    agreed = Interval(kappa["value"], kappa["low"], kappa["high"], kappa["reason"] or "")
    done, every = progress["complete"].sum(), progress["attributes"].sum()
    kept = found.filter(~pl.col("excluded"))
    apart = found.filter(pl.col("stands_apart").is_not_null())["rater"].to_list()
    return (
        f"{done:,} of {every:,} attributes have all the answers they need. The {len(kept)} annotators who count agree "
        f"with a mean Cohen's kappa of {with_interval(agreed, '{:.2f}')}; "
        + (f"{', '.join(apart)} should be looked at." if apart else "nobody stands apart.")
    )
