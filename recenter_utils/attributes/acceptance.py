"""Acceptance before and after refinement, by the judges at hand: what withdrawing did to it, and what revising did."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from recenter_utils import report
from recenter_utils.annotation.annotators import included
from recenter_utils.attributes.refinement import ROUND, item_id
from recenter_utils.scales import PEOPLE
from recenter_utils.stats.resampling import Interval, cluster_bootstrap

#: What is compared, in order.
UNFLAGGED = "not flagged"
FIRST = "flagged, when first judged"
BEFORE = "flagged"
REMAINING = "flagged, not withdrawn: before"
AFTER = "flagged, not withdrawn: after"

#: Who judges, where people and their stand-ins are put together.
_NAMES = {"human": "annotators", "simulated": "simulated annotators"}

LONG: dict[str, Any] = {
    "judge": pl.String,
    "group": pl.String,
    "user_id": pl.String,
    "item_id": pl.String,
    "accepted": pl.Boolean,
}


def long(
    ended: pl.DataFrame, again: pl.DataFrame, first: pl.DataFrame, verdicts: pl.DataFrame, parts: pl.DataFrame
) -> pl.DataFrame:
    """Return one row a judgment and group that it belongs to: judge, group, user_id, item_id, accepted.

    ended: see `refinement.final`. again: the table `refined_judgments`. first: annotators' judgments from before, in
    the columns of `quality_judgments`. verdicts: the table `verifier_judgments`; the raters in `again` are looked for
    in it. parts: what was verified: item_id and user_id.
    """
    users = dict(parts.select("item_id", "user_id").iter_rows())
    end = {row["attribute_id"]: row for row in ended.to_dicts()}
    rows: list[tuple[str, str, str, str, bool]] = []
    for judgment in first.filter(pl.col("item_id").is_in(list(users))).to_dicts():
        group, name = FIRST if judgment["item_id"] in end else UNFLAGGED, judgment["item_id"]
        rows.append((_NAMES[judgment["rater_kind"]], group, users[name], name, judgment["label"] == "accepted"))
    for judgment in again.to_dicts():
        name, _, number = judgment["item_id"].rpartition(ROUND)
        if name not in end:
            continue
        judge, accepted = _NAMES.get(judgment["rater_kind"], judgment["rater"]), judgment["label"] == "accepted"
        stays = end[name]["attribute"] is not None
        said = (judge, "", users.get(name, end[name]["user_id"]), name)
        groups = [BEFORE, *([REMAINING] if stays else [])] if number == "0" else []
        # What was kept word for word is the same before and after, and is judged once.
        groups += [AFTER] if stays and judgment["item_id"] == end[name]["item_id"] else []
        rows += [(said[0], group, said[2], said[3], accepted) for group in groups]
    asked = set(again.filter(~pl.col("rater_kind").is_in(PEOPLE))["rater"])
    for judgment in verdicts.filter(pl.col("rater").is_in(list(asked))).to_dicts():
        if judgment["item_id"] in users and judgment["item_id"] not in end:
            user = users[judgment["item_id"]]
            rows.append((judgment["rater"], UNFLAGGED, user, judgment["item_id"], judgment["label"] == "accepted"))
    return pl.DataFrame(rows, schema=LONG, orient="row")


def rates(judged: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Return acceptance by judge and group: judge, group, value, low, high, attributes, judgments, reason.

    judged: see `long`. Value: the share of judgments that accept, as the paper counts; its interval is over users.
    """
    rows = []
    for judge in _judges(judged):
        for group in (UNFLAGGED, FIRST, BEFORE, REMAINING, AFTER):
            part = judged.filter(judge=judge, group=group)
            if part.is_empty():
                continue
            found = cluster_bootstrap(part["accepted"], part["user_id"], seed=seed)
            size = {"attributes": part["item_id"].n_unique(), "judgments": len(part)}
            rows.append({"judge": judge, "group": group, **found._asdict(), **size})
    schema = {"judge": pl.String, "group": pl.String, "value": pl.Float64, "low": pl.Float64, "high": pl.Float64}
    full = schema | {"attributes": pl.Int64, "judgments": pl.Int64, "reason": pl.String}
    return pl.DataFrame(rows, schema=full, strict=False)


def change(judged: pl.DataFrame, judge: str, before: str, after: str, seed: int) -> Interval:
    """Return one judge's acceptance in a group less that in another, resampled over users together."""
    part = judged.filter(pl.col("group").is_in([before, after]), judge=judge)
    groups = (part["group"] == after).to_numpy()
    return cluster_bootstrap(part["accepted"].to_numpy(), part["user_id"].to_numpy(), groups, seed=seed)


def changes(judged: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Return for each judge what became of acceptance: by withdrawing, by revising, and merely by judging again."""
    effects = {
        "judged again": (FIRST, BEFORE),
        "by withdrawing": (BEFORE, REMAINING),
        "by revising": (REMAINING, AFTER),
    }
    rows = []
    for judge in _judges(judged):
        said = {"judge": judge}
        for name, (before, after) in effects.items():
            found = change(judged, judge, before, after, seed)
            said[name] = "–" if np.isnan(found.value) else f"{found.value:+.2f} ({found.low:+.2f} to {found.high:+.2f})"
        rows.append(said)
    return pl.DataFrame(rows, schema=dict.fromkeys(["judge", *effects], pl.String))


def sentence(ended: pl.DataFrame, judged: pl.DataFrame, n_items: int, seed: int, lacking: str = "") -> str:
    """Return what refinement did as a claim. lacking: why nothing was refined, where nothing could be."""
    if lacking:
        return f"Nothing was refined, because {lacking}."
    if ended.is_empty():
        return f"The verifier flagged none of {n_items:,} held-out attributes, so nothing was refined."
    gone = len(ended.filter(action="withdrawn"))
    text = (
        f"Of {len(ended):,} flagged held-out attributes the extractor withdrew {gone:,} and revised "
        f"{len(ended.filter(action='revised')):,}; {1 - gone / len(ended):.0%} remain."
    )
    if gone == len(ended):
        return f"{text} Nothing that was flagged is left to be judged."
    outcome = judged.filter(group=AFTER)
    if outcome.is_empty():
        return f"{text} Nobody has judged the outcome yet."
    judge = _judges(outcome)[0]
    by_withdrawing = change(judged, judge, BEFORE, REMAINING, seed)
    by_revising = change(judged, judge, REMAINING, AFTER, seed)
    parts = [judged.filter(judge=judge, group=group)["accepted"] for group in (BEFORE, AFTER)]
    before, after = (part.sum() / len(part) for part in parts)
    return (
        f"{text} Acceptance by {judge} is {before:.0%} of all that were flagged and {after:.0%} of what remains: "
        f"{report.with_interval(by_withdrawing, '{:+.2f}')} by withdrawing, and "
        f"{report.with_interval(by_revising, '{:+.2f}')} by revising what stays."
    )


def _judges(judged: pl.DataFrame) -> list[str]:
    names = judged["judge"].unique(maintain_order=True).to_list()
    return sorted(names, key=lambda name: (name not in _NAMES.values(), names.index(name)))


def together(
    people: pl.DataFrame, after: pl.DataFrame, verdicts: pl.DataFrame, ended: pl.DataFrame, excluded: tuple[str, ...]
) -> pl.DataFrame:
    """Return the table `refined_judgments`: people's, and the models' that judged what was revised.

    after: models' judgments of the revised wordings. verdicts: the table `verifier_judgments`, from which the same
    raters' judgments of flagged attributes as extracted are taken, under the names of round 0. excluded: annotators who
    are left out.
    """
    raters = after["rater"].unique() if len(after) else verdicts.filter(rater_kind="llm")["rater"].unique()
    flagged = ended.select(item_id="attribute_id")
    before = verdicts.filter(pl.col("rater").is_in(raters.implode())).join(flagged, on="item_id", how="semi")
    before = before.with_columns(item_id=pl.format("{}" + item_id("", 0), "item_id"))
    return pl.concat([included(people, excluded), before, after]).sort("item_id", "rater")
