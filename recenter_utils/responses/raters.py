"""Who compared responses and how: mean ratings, what is unanswered, who stands apart, how far people agree (§6.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from recenter_utils.annotation import annotators
from recenter_utils.annotation.roster import roster
from recenter_utils.report import interval_of, with_interval
from recenter_utils.responses.judging import DRAWN
from recenter_utils.scales import PEOPLE, PREFERENCE
from recenter_utils.stats import agreement
from recenter_utils.stats.resampling import Interval, cluster_bootstrap
from recenter_utils.tables import table

LABELS = PREFERENCE.labels

#: What a page says of agreement, in order; the paper has the first and one of the weighted kappas (§6.1).
_STATISTICS = ("mean_spearman", "mean_linear_kappa", "mean_quadratic_kappa", "krippendorff_alpha", "percent_agreement")

_NOBODY = "there is no usable answer"
_LACKING = pl.col("n_unparsed") + pl.col("n_errors")


def summary(
    judgments: pl.DataFrame,
    failures: pl.DataFrame,
    checks: pl.DataFrame,
    comparisons: pl.DataFrame,
    excluded: tuple[str, ...] = (),
    *,
    draws: int = 10_000,
    seed: int = 0,
) -> pl.DataFrame:
    """Return the table `preference_raters`: everybody who was asked, people first; the excluded ones as well.

    As in stage 1, whoever is excluded changes nothing about those who count, and is compared with them alone.

    Args:
        judgments: The table `preference_judgments`, of people and of models.
        failures: What models could not answer: rater, order, error, n (see `judging.ask`). Those of questions in the
            other order are not looked at.
        checks: Annotators' answers to check items: rater, passed.
        comparisons: The table.
        excluded: Annotators whom study.yaml leaves out.
        draws: Resamples of the means' intervals.
        seed: Where they start.
    """
    requests = comparisons.select(item_id="comparison_id", prompt_id="prompt_id")

    def describe(own: pl.DataFrame) -> dict[str, Any]:
        mean = _mean(own, draws, seed)
        numbers = {"mean": mean.value, "low": mean.low, "high": mean.high, "reason": mean.reason or None}
        return {"n_comparisons": len(comparisons)} | numbers

    asked = failures.filter(order=DRAWN)
    rows = roster(
        judgments, asked, checks, requests, PREFERENCE, {"mean_spearman": "spearman"}, describe, excluded=excluded,
        seed=seed,
    )  # fmt: skip
    return table("preference_raters").frame(rows)


def for_page(found: pl.DataFrame, names: Mapping[str, str]) -> pl.DataFrame:
    """Return the table `preference_raters` as a page shows it, with what everybody left unanswered counted up.

    names: see `annotators.page_names`.
    """
    rest = pl.col("n_comparisons") - pl.col("n_answered") - _LACKING
    return annotators.for_page(found, names).select(
        "rater",
        kind="rater_kind",
        answered="n_answered",
        mean="mean",
        low="low",
        high="high",
        unparsed="n_unparsed",
        other_errors="n_errors",
        not_asked_or_skipped=rest,
        spearman_with_annotators="mean_spearman",
        stands_apart="stands_apart",
        excluded="excluded",
        note="reason",
    )


def together(
    judgments: pl.DataFrame,
    comparisons: pl.DataFrame,
    excluded: tuple[str, ...] = (),
    *,
    draws: int = 10_000,
    seed: int = 0,
) -> pl.DataFrame:
    """Return how far the annotators who count agree, with intervals over requests (§6.1).

    Columns: statistic (`mean_spearman`, `mean_linear_kappa`, `mean_quadratic_kappa`, `krippendorff_alpha`,
    `percent_agreement`), value, low, high, n_items, n_raters, reason.

    judgments: of any raters; those of models are not looked at. comparisons: the table.
    """
    kept = annotators.included(judgments, excluded).filter(pl.col("rater_kind").is_in(PEOPLE))
    wide = annotators.wide(kept)
    requests = annotators.clusters_of(wide, comparisons.rename({"comparison_id": "item_id"}), "prompt_id")
    found = agreement.overall(wide, LABELS, measurement="ordinal", clusters=requests, draws=draws, seed=seed)
    chosen = found.set_index("statistic").loc[list(_STATISTICS)].reset_index()
    return pl.from_pandas(chosen).with_columns(pl.col("value", "low", "high").fill_nan(None))


def sentence(
    found: pl.DataFrame,
    judgments: pl.DataFrame,
    comparisons: pl.DataFrame,
    agreed: pl.DataFrame,
    excluded: tuple[str, ...] = (),
    *,
    seed: int = 0,
    study: str = "",
) -> str:
    """Return in words how people and models rate, how far annotators agree, and what models left unanswered.

    found: the table `preference_raters`. agreed: see `together`. study: what a command finds the study by.
    """
    if comparisons.is_empty():
        return "Nothing can be said of preferences: this study has no two responses to compare."
    places = comparisons.select("page_id", "prompt_id", item_id="comparison_id")
    counted = annotators.included(judgments, excluded).join(places, on="item_id")
    people, models = counted.filter(pl.col("rater_kind").is_in(PEOPLE)), counted.filter(rater_kind="llm")
    if people.is_empty():
        excuse = "study.yaml excludes all who answered" if found["excluded"].any() else "nobody has judged yet"
        said = f"Of people nothing can be said: {excuse} ('recenter annotate {study} preference' opens the screens)."
    else:
        who = annotators.who(people)
        who = f"the {who} who count" if people["rater"].n_unique() > 1 else who
        said = f"Mean rating by {who}: {_rated(people, seed)}. {_agreement(agreed)}"
    number = models["rater"].n_unique()
    said += f" Mean rating by {number} model{'s' * (number > 1)}: {_rated(models, seed)}." if number else ""
    asked = found.filter(rater_kind="llm").select(_LACKING.sum().alias("lacking"), pl.col("n_comparisons").sum())
    if asked["lacking"][0]:
        said += " Models gave no usable answer to {:,} of {:,} questions.".format(*asked.row(0))
    apart = found.filter(pl.col("stands_apart").is_not_null(), ~pl.col("excluded"))["rater"]
    return said + "".join(f" {annotators.page_names(found)[name]} should be looked at." for name in apart)


def _rated(own: pl.DataFrame, seed: int) -> str:
    mean = with_interval(_mean(own, 10_000, seed), "{:.2f}")
    return f"{mean} on {own['item_id'].n_unique():,} comparisons of {own['page_id'].n_unique():,} pages"


def _agreement(agreed: pl.DataFrame) -> str:
    rows = agreed.rows_by_key("statistic", named=True, unique=True)
    spearman, kappa = (interval_of(rows[name]) for name in ("mean_spearman", "mean_linear_kappa"))
    if spearman.value != spearman.value:
        return f"How far they agree cannot be said: {spearman.reason}."
    return (
        f"They agree with a mean Spearman correlation of {with_interval(spearman, '{:.2f}')} and a mean linearly "
        f"weighted kappa of {with_interval(kappa, '{:.2f}')}."
    )


def _mean(own: pl.DataFrame, draws: int, seed: int) -> Interval:
    """Return the mean of answers (score, prompt_id), with its interval over requests."""
    if own.is_empty():
        return Interval(float("nan"), float("nan"), float("nan"), _NOBODY)
    return cluster_bootstrap(own["score"], own["prompt_id"], draws=draws, seed=seed)
