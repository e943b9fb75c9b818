"""Who judged relevance and how: yes-rates of people and models, what they left unanswered, who stands apart (§5.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from recenter_utils.annotation import annotators
from recenter_utils.annotation.roster import roster
from recenter_utils.relevance.consensus import consensus
from recenter_utils.report import with_interval
from recenter_utils.scales import PEOPLE, RELEVANCE
from recenter_utils.stats import agreement
from recenter_utils.stats.resampling import Interval, cluster_bootstrap
from recenter_utils.tables import table

LABELS = RELEVANCE.labels

_NOBODY = "there is no usable answer"
_LACKING = pl.col("n_unparsed") + pl.col("n_errors")


def summary(
    judgments: pl.DataFrame,
    failures: pl.DataFrame,
    checks: pl.DataFrame,
    pairs: pl.DataFrame,
    excluded: tuple[str, ...] = (),
    *,
    draws: int = 10_000,
    seed: int = 0,
) -> pl.DataFrame:
    """Return the table `relevance_raters`: everybody who was asked, people first; the excluded ones as well.

    As in stage 1, whoever is excluded changes nothing about those who count, and is compared with them alone.

    Args:
        judgments: The table `relevance_judgments`, of people and of models.
        failures: What models could not answer: rater, error, n (see `judging.ask`).
        checks: Annotators' answers to check items: rater, passed.
        pairs: The table.
        excluded: Annotators whom study.yaml leaves out.
        draws: Resamples of the yes-rates' intervals.
        seed: Where they start.
    """
    requests = pairs.select(item_id="pair_id", prompt_id="prompt_id")

    def describe(own: pl.DataFrame) -> dict[str, Any]:
        rate = _rate(own, draws, seed)
        numbers = {"yes_rate": rate.value, "low": rate.low, "high": rate.high, "reason": rate.reason or None}
        return {"n_pairs": len(pairs), "n_yes": int((own["label"] == "yes").sum())} | numbers

    rows = roster(
        judgments, failures, checks, requests, RELEVANCE, {"mean_kappa": "kappa"}, describe, excluded=excluded,
        seed=seed,
    )  # fmt: skip
    return table("relevance_raters").frame(rows)


def for_page(found: pl.DataFrame, names: Mapping[str, str]) -> pl.DataFrame:
    """Return the table `relevance_raters` as a page shows it, with what everybody left unanswered counted up.

    names: see `annotators.page_names`.
    """
    rest = pl.col("n_pairs") - pl.col("n_answered") - _LACKING
    return annotators.for_page(found, names).select(
        "rater",
        kind="rater_kind",
        answered="n_answered",
        yes="n_yes",
        yes_rate="yes_rate",
        low="low",
        high="high",
        unparsed="n_unparsed",
        other_errors="n_errors",
        not_asked_or_skipped=rest,
        kappa_with_annotators="mean_kappa",
        stands_apart="stands_apart",
        excluded="excluded",
        note="reason",
    )


def with_majority(
    judgments: pl.DataFrame, pairs: pl.DataFrame, excluded: tuple[str, ...] = (), *, draws: int = 10_000, seed: int = 0
) -> pl.DataFrame:
    """Return Cohen's kappa of each annotator who counts with the majority's label, with intervals over requests (§5.2).

    Columns: rater, majority_of (`all`, of whom the annotator is one, as in the paper, or `the others`), n (pairs with a
    majority that the annotator answered), kappa, low, high, reason. Among fewer than three annotators the first is
    undefined: none of them can be outvoted.

    judgments: of any raters; those of models are not looked at. pairs: the table.
    """
    kept = annotators.included(judgments, excluded).filter(pl.col("rater_kind").is_in(PEOPLE))
    names = kept["rater"].unique().sort().to_list()
    rows = []
    for name in names:
        for of, part in (("all", kept), ("the others", kept.filter(pl.col("rater") != name))):
            majority = consensus(part, pairs).select("prompt_id", "majority", item_id="pair_id").drop_nulls()
            both = majority.join(kept.filter(rater=name).select("item_id", own="label"), on="item_id")
            wide = both.select("majority", "own").to_pandas()
            kappa = agreement.pairwise(wide, LABELS, clusters=both["prompt_id"], draws=draws, seed=seed).iloc[0]
            known = {"n": len(both), **kappa[["value", "low", "high", "reason"]]}
            if of == "all" and len(names) < 3:
                known |= {"value": None, "low": None, "high": None, "reason": "a majority takes three annotators"}
            rows.append({"rater": name, "majority_of": of, **known})
    schema = {"rater": pl.String, "majority_of": pl.String, "n": pl.Int64}
    numbers = dict.fromkeys(("value", "low", "high"), pl.Float64)
    found = pl.DataFrame(rows, schema={**schema, **numbers, "reason": pl.String})
    return found.with_columns(pl.col(list(numbers)).fill_nan(None)).rename({"value": "kappa"})


def sentence(
    found: pl.DataFrame,
    judgments: pl.DataFrame,
    pairs: pl.DataFrame,
    agreed: pl.DataFrame,
    excluded: tuple[str, ...] = (),
    *,
    seed: int = 0,
    study: str = "",
) -> str:
    """Return in words how often people and models say yes on the same pairs, and how near people are to their majority.

    found: the table `relevance_raters`. agreed: see `with_majority`. study: what a command finds the study by.
    """
    if pairs.is_empty():
        return "Nothing can be said of relevance: this study has no pairs of a request and an attribute."
    prompts = pairs.select("prompt_id", item_id="pair_id")
    counted = annotators.included(judgments, excluded).join(prompts, on="item_id")
    people = counted.filter(pl.col("rater_kind").is_in(PEOPLE))
    models = counted.filter(rater_kind="llm")
    both = people.join(models, on="item_id", how="semi")
    who = annotators.who(people)
    who = f"the {who} who count say" if people["rater"].n_unique() > 1 else f"{who} says"
    them = f"{models['rater'].n_unique()} model{'s' * (models['rater'].n_unique() > 1)}"
    if people.is_empty():
        excuse = "study.yaml excludes all who answered" if found["excluded"].any() else "nobody has judged yet"
        said = f"Of people nothing can be said: {excuse} ('recenter annotate {study} relevance' opens the screens)."
        said += " What its benchmark links is the reference." * bool(pairs["benchmark"].count())
        said += f" Models say yes in {_spread(models, seed)}." if len(models) else " No model answered either."
    elif both.is_empty():
        said = f"No model answered on a pair that annotators judged; {who} yes in {_spread(people, seed)}."
    else:
        same = models.join(both, on="item_id", how="semi")
        rows = pl.concat([both, same])
        gap = cluster_bootstrap(rows["label"] == "yes", rows["prompt_id"], rows["rater_kind"] == "llm", seed=seed)
        points = with_interval(Interval(100 * gap.value, 100 * gap.low, 100 * gap.high, gap.reason), "{:+.0f}")
        said = (
            f"On the {rows['item_id'].n_unique():,} pairs that both judged, {who} yes in {_spread(both, seed)}; "
            f"{them} in {_spread(same, seed)}. Difference in points: {points}. {_near(agreed)}"
        )
    lacking, asked = (found.filter(rater_kind="llm").select(_LACKING.sum(), pl.col("n_pairs").sum())).row(0)
    if lacking:
        said += f" Models gave no usable answer to {lacking:,} of {asked:,} questions."
    apart = found.filter(pl.col("stands_apart").is_not_null(), ~pl.col("excluded"))["rater"]
    return said + "".join(f" {annotators.page_names(found)[name]} should be looked at." for name in apart)


def _spread(part: pl.DataFrame, seed: int) -> str:
    """Return the share of yes among answers in words, and the lowest and highest of single raters."""
    each = part.group_by("rater").agg((pl.col("label") == "yes").mean())["label"]
    words = f"{with_interval(_rate(part, 10_000, seed), '{:.0%}')} of the answers"
    return words + (f", singly {min(each):.0%} to {max(each):.0%}" if len(each) > 1 else "")


def _near(agreed: pl.DataFrame) -> str:
    own = agreed.filter(majority_of="all")
    kappas = [f"{value:.2f}" for value in own["kappa"].drop_nulls().sort()]
    if len(own) < 3:
        return "A majority to hold annotators against takes three of them."
    if not kappas:
        return f"How near annotators are to the majority of all cannot be said: {own['reason'].drop_nulls()[0]}."
    spread = kappas[0] if kappas[0] == kappas[-1] else f"{kappas[0]} to {kappas[-1]}"
    return f"Annotators agree with the majority of all with a kappa of {spread}."


def _rate(own: pl.DataFrame, draws: int, seed: int) -> Interval:
    """Return the share of yes among answers (label, prompt_id), with its interval over requests."""
    if own.is_empty():
        return Interval(float("nan"), float("nan"), float("nan"), _NOBODY)
    return cluster_bootstrap(own["label"] == "yes", own["prompt_id"], draws=draws, seed=seed)
