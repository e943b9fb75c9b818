"""Attribute quality: how much of what was extracted annotators accept, real against synthetic (§4.2, Figure 2).

All shares are of judgments, as in the paper's figure: each answer of each annotator counts once. Problematic is what
was not accepted. Intervals are over users; where every judgment is alike there is none, because users that are drawn
again cannot show what none of them has.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from recenter_utils.annotation.annotators import included
from recenter_utils.report import interval_of, with_interval
from recenter_utils.scales import ATTRIBUTE_QUALITY
from recenter_utils.stats.resampling import Interval, cluster_bootstrap
from recenter_utils.tables import table

LABELS = ATTRIBUTE_QUALITY.labels[::-1]
PROBLEM = "problematic"
NAN = float("nan")


def described(judgments: pl.DataFrame, consensus: pl.DataFrame) -> pl.DataFrame:
    """Return judgments with user_id, source and kind of what was judged, and whether the answer is problematic.

    judgments, consensus: the tables `quality_judgments` and `consensus`; what is not in the latter is left out.
    """
    about = consensus.select("item_id", "user_id", "source", "kind")
    return judgments.join(about, on="item_id").with_columns((pl.col("label") != "accepted").alias(PROBLEM))


def by_group(answers: pl.DataFrame, draws: int = 10_000, seed: int = 0) -> pl.DataFrame:
    """Return the table `attribute_quality`: each source and both kinds, which are called `all real`, `all synthetic`.

    answers: as `described` returns them, without annotators who are excluded.
    """
    kinds = answers.select("kind").unique().sort("kind")["kind"].to_list()
    groups = [(f"all {kind}", kind, answers.filter(kind=kind)) for kind in kinds]
    for source, kind in answers.select("source", "kind").unique().sort("kind", "source").iter_rows():
        groups.append((source, kind, answers.filter(source=source)))
    rows = []
    for name, kind, part in groups:
        counts = {
            "n_judgments": len(part),
            "n_attributes": part["item_id"].n_unique(),
            "n_users": part["user_id"].n_unique(),
        }
        for label in (*LABELS, PROBLEM):
            hits = part[PROBLEM] if label == PROBLEM else part["label"] == label
            found = cluster_bootstrap(hits, part["user_id"], draws=draws, seed=seed)
            if counts["n_users"] > 1 and hits.n_unique() == 1:
                found = _unsure(found, f"{'nothing else' if hits[0] else 'none'} was seen")
            rows.append({"group": name, "kind": kind, "label": label, **counts, **_cells(found)})
    columns = table("attribute_quality").columns
    return pl.DataFrame(rows, schema=columns) if rows else table("attribute_quality").empty()


def gap(answers: pl.DataFrame, draws: int = 10_000, seed: int = 0) -> Interval:
    """Return the problem rate of real sources minus that of synthetic ones, with its interval over users.

    There is no interval where one of the two rates is 0% or 100%: its part of it would be missing.
    """
    real = answers["kind"] == "real"
    found = cluster_bootstrap(answers[PROBLEM], answers["user_id"], groups=real, draws=draws, seed=seed)
    for kind, part in answers.group_by("kind", maintain_order=True):
        if found.low == found.low and part[PROBLEM].n_unique() == 1:
            seen = "nothing but problems" if part[PROBLEM][0] else "no problem"
            found = _unsure(found, f"{seen} was seen on {kind[0]} sources")
    return found


def robustness(
    every: pl.DataFrame,
    consensus: pl.DataFrame,
    excluded: tuple[str, ...],
    names: Mapping[str, str],
    draws: int = 10_000,
    seed: int = 0,
) -> pl.DataFrame:
    """Return the gap as other choices would have it, a row each.

    Columns: judged, judgments (how many count; null where attributes do), attributes, real, synthetic (problem rates),
    gap, low, high, reason.

    The choices are to leave out one annotator, to keep those whom study.yaml excludes, and to count each attribute
    once, by the table `consensus`: problematic where at least half of its annotators did not accept it, or where
    Dawid-Skene finds another label most likely.

    Args:
        every: As `described` returns them, the excluded annotators' answers as well.
        consensus: The table.
        excluded: Annotators whom study.yaml excludes.
        names: What a page calls the annotators: `annotators.page_names`.
        draws: Resamples of users.
        seed: Where they start.
    """
    kept = included(every, excluded)
    choices = [("by the annotators who count", kept)]
    raters, back = ([name for name in names if name in set(part["rater"])] for part in (kept, every))
    choices += [
        (f"without {names[rater]}", kept.filter(pl.col("rater") != rater)) for rater in raters if len(raters) > 1
    ]
    if len(kept) < len(every):
        choices.append((f"with {', '.join(names[rater] for rater in back if rater not in raters)}", every))
    choices.append(("each attribute once, by at least half of its annotators", consensus))
    if len(modelled := consensus.drop_nulls("dawid_skene")):
        once = modelled.with_columns((pl.col("dawid_skene") != "accepted").alias(PROBLEM))
        choices.append(("each attribute once, by Dawid-Skene", once))
    rows = []
    for name, part in choices:
        found = gap(part, draws, seed)
        rates = {kind: part.filter(kind=kind)[PROBLEM].mean() for kind in ("real", "synthetic")}
        cells = _cells(found)
        size = {"judgments": len(part) if "rater" in part.columns else None, "attributes": part["item_id"].n_unique()}
        rows.append({"judged": name, **size, **rates, "gap": cells.pop("value"), **cells})
    counts = dict.fromkeys(("judgments", "attributes"), pl.Int64)
    numbers = dict.fromkeys(("real", "synthetic", "gap", "low", "high"), pl.Float64)
    return pl.DataFrame(rows, schema={"judged": pl.String, **counts, **numbers, "reason": pl.String})


def sentence(shares: pl.DataFrame, difference: Interval, who: str) -> str:
    """Return the table `attribute_quality` and the gap in words. who: how many judged, as `annotators.who` says it."""
    if shares.is_empty():
        return "Attribute quality is undefined here: no annotator who counts has judged an attribute."
    parts = []
    for row in shares.filter(pl.col("group").str.starts_with("all "), label=PROBLEM).iter_rows(named=True):
        rate = with_interval(interval_of(row), "{:.1%}")
        parts.append(f"{rate} of judgments on {row['kind']} sources")
    said = f"{who[0].upper()}{who[1:]} did not accept the attribute in {' and '.join(parts)}"
    if difference.value != difference.value:
        return f"{said}; there is no gap to tell, because {difference.reason}."
    points = Interval(100 * difference.value, 100 * difference.low, 100 * difference.high, difference.reason)
    unsure = ", which may as well be none" if points.low <= 0 <= points.high else ""
    return f"{said}: a gap, in points, of {with_interval(points, '{:.1f}')}{unsure}."


def _unsure(found: Interval, seen: str) -> Interval:
    return Interval(found.value, NAN, NAN, f"{seen}: resampling cannot say how rare it is")


def _cells(found: Interval) -> dict[str, float | str | None]:
    numbers = {
        name: None if value != value else value for name, value in zip(("value", "low", "high"), found[:3], strict=True)
    }
    return {**numbers, "reason": found.reason or None}
