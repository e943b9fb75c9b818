"""What speaks for and against each annotator's work: label distribution, agreement, reliability, check items (§4.1).

The paper looks at label distributions and pairwise agreement, and has an author inspect whoever stands apart. Here a
stated rule says who that is (`outliers`). It excludes nobody: study.yaml does, once somebody has looked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
import polars as pl
from numpy.typing import NDArray

from recenter_utils.annotation.outliers import compared, standing_apart
from recenter_utils.annotation.simulation import PREFIX
from recenter_utils.errors import nearest
from recenter_utils.report import with_interval
from recenter_utils.scales import ATTRIBUTE_QUALITY
from recenter_utils.stats import agreement, reliability
from recenter_utils.stats.agreement import LEAST_SHARED
from recenter_utils.stats.resampling import Interval
from recenter_utils.tables import table

LABELS = ATTRIBUTE_QUALITY.labels

#: Stands on pages for a person who is not in the table `annotators`.
SOMEBODY = "another annotator"

_KINDS = {"human": ("person", "people"), "simulated": ("simulated annotator", "simulated annotators")}
_STATISTICS = {
    "mean_kappa": "mean Cohen's kappa",
    "percent_agreement": "share of equal answers",
    "fleiss_kappa": "Fleiss' kappa",
    "krippendorff_alpha": "Krippendorff's alpha (ordinal)",
    "gwet_ac1": "Gwet's AC1",
    "mean_linear_kappa": "mean linearly weighted kappa",
    "mean_quadratic_kappa": "mean quadratically weighted kappa",
    "mean_spearman": "mean Spearman correlation",
}


def wide(judgments: pl.DataFrame) -> pd.DataFrame:
    """Return judgments as one row an item and one column a rater, both sorted; None where there is no answer."""
    if judgments.is_empty():
        return pd.DataFrame(index=pd.Index([], name="item_id", dtype=object))
    pivot = judgments.pivot("rater", index="item_id", values="label", sort_columns=True).sort("item_id")
    return pivot.to_pandas().set_index("item_id").astype(object).rename_axis(columns=None)


def clusters_of(answers: pd.DataFrame, items: pl.DataFrame, by: str) -> NDArray:
    """Return the cluster that each row of `wide` answers is resampled with. items: item_id and the column `by`."""
    clusters = dict(items.select("item_id", by).iter_rows())
    return pd.Series([clusters[item] for item in answers.index], dtype=object).to_numpy()


def included(judgments: pl.DataFrame, excluded: tuple[str, ...]) -> pl.DataFrame:
    """Return the judgments of annotators whom study.yaml does not exclude."""
    return judgments.filter(~is_excluded(excluded))


def is_excluded(excluded: tuple[str, ...]) -> pl.Expr:
    """Return whether the column `rater` names somebody whom study.yaml excludes."""
    return pl.col("rater").is_in(list(excluded))


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

    Who is excluded changes nothing about those who count, and is compared with them alone.

    Args:
        judgments: A table of judgments of attribute quality.
        checks: Answers to check items: rater, passed. Who answered nothing else is in the table without numbers.
        items: What is judged: item_id and user_id.
        excluded: Annotators whom study.yaml leaves out.
        draws: Resamples for reliability, each of which fits the model anew.
        seed: Where they start.
    """
    answers = wide(judgments)
    passed = dict(checks.group_by("rater").agg(pl.col("passed").sum(), n=pl.len()).rows_by_key("rater", unique=True))
    if not len(answers.columns) and not passed:
        return table("annotators").empty()
    numbers = measured(answers, passed, excluded, lambda part: _measured(part, items, passed, draws, seed))
    rows = [
        {"rater": rater, "checks_passed": hits, "checks": asked, **numbers.get(rater, {})}
        for rater, (hits, asked) in (dict.fromkeys(answers.columns, (0, 0)) | passed).items()
    ]
    columns = table("annotators").columns
    both = pl.DataFrame(rows, schema={name: dtype for name, dtype in columns.items() if name in _MEASURED})
    counted = judgments.group_by("rater").agg(
        pl.col("rater_kind").first(),
        n_items=pl.len(),
        **{label: (pl.col("label") == label).mean() for label in LABELS},
        flagged=pl.col("flagged").sum(),
        seconds=pl.col("seconds").median(),
    )
    found = both.join(counted, on="rater", how="left").with_columns(
        # Simulated annotators answer no check items: who answered nothing else is a person.
        pl.col("rater_kind").fill_null("human"),
        pl.col("n_items", "flagged").fill_null(0),
        pl.col("reliability", "reliability_low", "reliability_high").fill_nan(None),
        excluded=is_excluded(excluded),
    )
    return found.sort("rater").select(list(columns)).cast(columns)


def measured(
    answers: pd.DataFrame,
    others: Iterable[str],
    excluded: Sequence[str],
    measure: Callable[[pd.DataFrame], dict[str, dict[str, Any]]],
) -> dict[str, dict[str, Any]]:
    """Return each annotator's numbers: of those who count among themselves, of the excluded each beside these alone.

    answers: see `wide`. others: annotators without such answers. measure: from answers to the numbers of each rater.
    """
    counting = [rater for rater in answers.columns if rater not in excluded]
    found = measure(answers[counting])
    for rater in [name for name in dict.fromkeys([*answers.columns, *others]) if name in excluded]:
        beside = [name for name in answers.columns if name in (*counting, rater)]
        found[rater] = measure(answers[beside]).get(rater, {})
    return found


_MEASURED = {
    *("rater", "checks", "checks_passed", "mean_kappa", "stands_apart"),
    *("reliability", "reliability_low", "reliability_high"),
}


def _measured(
    answers: pd.DataFrame, items: pl.DataFrame, passed: Mapping[str, tuple[int, int]], draws: int, seed: int
) -> dict[str, dict[str, Any]]:
    """Return the numbers of each rater among these, and why they stand apart."""
    answers = answers.dropna(how="all")
    clusters = clusters_of(answers, items, "user_id")
    pairs = agreement.pairwise(answers, LABELS, clusters=clusters, draws=2000, seed=seed)
    fit = reliability.dawid_skene(answers, LABELS)
    reliable = reliability.reliabilities(answers, fit, clusters=clusters, draws=draws, seed=seed)
    apart = standing_apart(answers, pairs, passed, seed=seed)
    found: dict[str, dict[str, Any]] = {rater: {"stands_apart": reason} for rater, reason in apart.items()}
    for row in reliable.to_dict("records"):
        numbers = {"reliability": row["value"], "reliability_low": row["low"], "reliability_high": row["high"]}
        found.setdefault(row["rater"], {}).update(numbers, mean_kappa=mean_kappa(pairs, row["rater"]))
    return found


def mean_kappa(pairs: pd.DataFrame, rater: str, least_shared: int = LEAST_SHARED) -> float | None:
    """Return the mean of a rater's kappas in `stats.agreement.pairwise`, over pairs where it is defined, if any is.

    As in `stats.agreement.overall`, pairs count that share at least `least_shared` items; where none does, all do.
    """
    own = pairs[(pairs["rater_a"] == rater) | (pairs["rater_b"] == rater)]
    if (own["n"] >= least_shared).any():
        own = own[own["n"] >= least_shared]
    values = own["value"].dropna()
    return float(values.mean()) if len(values) else None


def page_names(found: pl.DataFrame) -> dict[str, str]:
    """Return what pages call each annotator: people `annotator A` and so on, simulated annotators by their name.

    Names may be addresses or a panel's ids, and pages are published. The letters follow the order of the table
    `annotators`, whoever is excluded. The names themselves are in the study's tables.
    """
    people = found.filter(pl.col("rater_kind") == "human")["rater"].to_list()
    letters = {name: f"annotator {_letters(place)}" for place, name in enumerate(people)}
    return {name: letters.get(name, name) for name in found["rater"].to_list()}


def for_page(frame: pl.DataFrame, names: Mapping[str, str]) -> pl.DataFrame:
    """Return a table as a page may show it: the columns `rater` and `raters` (lists) hold `page_names`."""
    columns: list[pl.Expr | pl.Series] = []
    if "rater" in frame.columns:
        columns.append(pl.Series("rater", [names.get(one, SOMEBODY) for one in frame["rater"]], pl.String))
    if "raters" in frame.columns:
        shown = [[names.get(one, SOMEBODY) for one in many] for many in frame["raters"]]
        columns.append(pl.Series("raters", shown, pl.List(pl.String)))
    return frame.with_columns(columns)


def who(judgments: pl.DataFrame) -> str:
    """Return how many people and how many simulated annotators a table with `rater` and `rater_kind` has, in words."""
    counts = dict(judgments.select("rater", "rater_kind").unique().group_by("rater_kind").len().iter_rows())
    parts = [f"{counts[kind]} {words[counts[kind] > 1]}" for kind, words in _KINDS.items() if kind in counts]
    return " and ".join(parts) or "nobody"


def without_answers(excluded: Sequence[str], found: pl.DataFrame) -> str:
    """Return a sentence for each name that study.yaml excludes and that nobody in the table `annotators` has.

    The name may be a person's, misspelt, and is not repeated unless it is a simulated annotator's.
    """
    names = page_names(found)
    said = []
    for place, name in enumerate(excluded, 1):
        if name not in names:
            hint = nearest(name, names)
            close = next((shown for known, shown in names.items() if hint == f" Did you mean '{known}'?"), None)
            given = f"'{name}'" if name.startswith(PREFIX) else f"name {place}"
            more = f" Did you mean {close}?" if close else f" Known: {', '.join(names.values())}." if names else ""
            said.append(f"In annotation.excluded, {given} has no answers here.{more}")
    return " ".join(said)


def in_words(overall: pd.DataFrame) -> pd.DataFrame:
    """Return `stats.agreement.overall`, of ordinal labels, with the statistics' names spelt out."""
    return overall.assign(statistic=overall["statistic"].replace(_STATISTICS))


def sentence(
    found: pl.DataFrame, answers: pd.DataFrame, overall: pd.DataFrame, progress: pl.DataFrame, study: str
) -> str:
    """Return in words who judged, how far they agree and how far the work is.

    found: the table `annotators`. answers, overall: `wide` answers of those who are not excluded, and
    `stats.agreement.overall` of them. progress: as `judgments.progress` gives it. study: what a command finds the
    study by.
    """
    answered = found.filter(pl.col("n_items") > 0)
    if answered.is_empty():
        return (
            f"Nobody has judged an attribute of this study yet: 'recenter annotate {study} attribute-quality' opens "
            f"the screens, and 'recenter import-judgments {study} attribute-quality FILE' takes in a file."
        )
    done, every = progress["complete"].sum(), progress["attributes"].sum()
    work = f"{done:,} of {every:,} attributes have all the answers they need."
    kept = answered.filter(~pl.col("excluded"))
    apart = found.filter(pl.col("stands_apart").is_not_null(), ~pl.col("excluded"))["rater"].to_list()
    looked = f"{', '.join(page_names(found)[name] for name in apart)} should be looked at." if apart else ""
    if kept.is_empty():
        return f"{work} Nobody counts: study.yaml excludes all who answered ({who(answered)}). {looked}".strip()
    if len(kept) == 1:
        return f"{work} Only {who(kept)} counts, and agreement needs two. {looked}".strip()
    (kappa,) = overall[overall["statistic"] == "mean_kappa"].to_dict("records")
    agreed = with_interval(Interval(kappa["value"], kappa["low"], kappa["high"], kappa["reason"] or ""), "{:.2f}")
    if not looked:
        able = len(compared(answers))
        looked = f"of the {able} who can be compared, nobody stands apart."
        if able == len(kept):
            looked = "nobody stands apart."
        if able < 3:
            looked = f"too few share {LEAST_SHARED} attributes to say whether anybody stands apart."
    return f"{work} The {who(kept)} who count agree with a mean Cohen's kappa of {agreed}; {looked}"


def _letters(place: int) -> str:
    """Return A, B, ... Z, AA, AB, ... for places from 0."""
    return ("" if place < 26 else _letters(place // 26 - 1)) + chr(ord("A") + place % 26)
