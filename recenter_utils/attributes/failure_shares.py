"""How the categories of failure are spread (Table 5): shares with intervals, by source, and which leads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from numpy.typing import NDArray

from recenter_utils.attributes.categories import OTHERS, PUBLISHED, SUPPORTED, ordered
from recenter_utils.attributes.checked import SCHEMA
from recenter_utils.stats.resampling import Interval, interval, intervals, resampled
from recenter_utils.tables import table

#: How the groups are called that hold more than one source. No source can be called so: names have no spaces.
ALL, ALL_OF = "all sources", {"real": "all real", "synthetic": "all synthetic"}
#: Cases that checkers must have sorted in a group before its shares are put right by them.
FEWEST_CHECKED = 20

_NAN = float("nan")


def shares(
    failures: pl.DataFrame, checked: pl.DataFrame | None = None, draws: int = 10_000, seed: int = 0
) -> pl.DataFrame:
    """Return the table `failure_shares`: each category's share of all cases, of each kind's and of each source's.

    Intervals are a bootstrap over users. Where checkers sorted a sample of the cases, `corrected` adds to the model's
    share of a category the checkers' less the model's in that sample, and the interval covers both: unbiased however
    often the model errs, so long as the sample is random (prediction-powered inference, Angelopoulos et al. 2023).
    A case that several checkers sorted counts once: its checkers share it.

    Args:
        failures: The table of that name; cases without a category are left out.
        checked: item_id, category, rater, as `checked.read` gives them.
        draws: Resamples.
        seed: Where they start.
    """
    known, said, names = _sorted(failures, checked)
    kinds = known["kind"].unique().sort().to_list()
    masks = [(ALL, pl.lit(True))]
    masks += [(ALL_OF[kind], pl.col("kind") == kind) for kind in kinds if len(kinds) > 1]
    masks += [(name, pl.col("source") == name) for name in known["source"].unique().sort().to_list()]
    rows = [
        {"group": group, **row}
        for group, mask in masks
        if len(part := known.filter(mask))
        for row in _rows(part, said.filter(mask), names, draws, seed)
    ]
    return table("failure_shares").frame(rows)


def _sorted(failures: pl.DataFrame, checked: pl.DataFrame | None) -> tuple[pl.DataFrame, pl.DataFrame, list[str]]:
    """Return the cases that have a category, what checkers said of them, each with its weight, and all categories."""
    known = failures.drop_nulls("category").with_columns(weight=pl.lit(1.0))
    said = (
        (SCHEMA.to_frame() if checked is None else checked)
        .join(known.select("item_id", "user_id", "source", "kind", model="category"), on="item_id")
        .with_columns(weight=1 / pl.len().over("item_id"))
    )
    return known, said, ordered(pl.concat([known["category"], said["category"]]))


def _rows(
    part: pl.DataFrame, said: pl.DataFrame, names: Sequence[str], draws: int, seed: int
) -> Iterator[dict[str, Any]]:
    totals, users = _totals(part, said, names)
    value, corrected = _estimates(totals.sum(axis=0, keepdims=True), len(names))[0]
    low, high, corrected_low, corrected_high = np.full((4, len(names)), _NAN)
    n_checked = said["item_id"].n_unique()
    enough = n_checked >= FEWEST_CHECKED
    notes = [] if users > 1 else ["one user has no spread between users"]
    if users > 1:
        drawn = resampled(totals, lambda sums: _estimates(sums, len(names)), draws, seed)
        low, high = intervals(drawn[:, 0])
        corrected_low, corrected_high = intervals(drawn[:, 1])
        notes += [_left_out(drawn[:, 1, 0])] if enough else []
    for place, name in enumerate(names):
        n = round(value[place] * len(part))
        reasons = [note for note in notes if note]
        if users > 1 and n in (0, len(part)):
            reasons.append(f"{'none' if n == 0 else 'nothing else'} was seen: resampling cannot say how rare it is")
            low[place] = high[place] = _NAN
        if enough and corrected_low[place] == corrected_high[place]:
            reasons.append("every resample has the same corrected share: resampling cannot say how sure it is")
            corrected_low[place] = corrected_high[place] = _NAN
        yield {
            "category": name, "n": n, "n_attributes": len(part), "n_users": users,
            "value": value[place], "low": low[place], "high": high[place], "n_checked": n_checked,
            "corrected": corrected[place] if enough else None,
            "corrected_low": corrected_low[place] if enough else None,
            "corrected_high": corrected_high[place] if enough else None,
            "reason": "; ".join(reasons) or None,
        }  # fmt: skip


def _totals(part: pl.DataFrame, said: pl.DataFrame, names: Sequence[str]) -> tuple[NDArray[np.float64], int]:
    """Return a row a user, and the number of users.

    The columns are the model's counts by category; in the checked sample the checkers' less the model's; both sizes.
    """
    users = part["user_id"].unique().sort().to_list()
    model, checker = _counts(part, "category", users, names), _counts(said, "category", users, names)
    differences = checker - _counts(said, "model", users, names)
    sizes = np.stack([model.sum(axis=1), checker.sum(axis=1)], axis=1)
    return np.concatenate([model, differences, sizes], axis=1), len(users)


def _counts(rows: pl.DataFrame, column: str, users: Sequence[str], names: Sequence[str]) -> NDArray[np.float64]:
    counts = np.zeros((len(users), len(names)))
    user, name = {user: n for n, user in enumerate(users)}, {name: n for n, name in enumerate(names)}
    for who, what, weight in rows.select("user_id", column, "weight").iter_rows():
        counts[user[who], name[what]] += weight
    return counts


def _left_out(drawn: NDArray[np.float64]) -> str:
    lacking = int(np.isnan(drawn).sum())
    return f"{lacking:,} of {len(drawn):,} resamples hold no checked case and are left out" if lacking else ""


def _estimates(sums: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Return the model's and the corrected shares, shape (rows, 2, n), from sums of the columns of `totals`."""
    with np.errstate(invalid="ignore", divide="ignore"):
        model = sums[:, :n] / sums[:, [2 * n]]
        corrected = np.clip(model + sums[:, n : 2 * n] / sums[:, [2 * n + 1]], 0, 1)
    return np.stack([model, corrected], axis=1)


def drawn(found: pl.DataFrame, titles: Mapping[str, str]) -> pd.DataFrame:
    """Return the rows that a figure shows, with `title`: each kind's where there are two, else those of all sources.

    found: the table `failure_shares`; titles: what `categories.in_print` gave.
    """
    groups = [group for group in ALL_OF.values() if len(found.filter(group=group))] or [ALL]
    return found.filter(pl.col("group").is_in(groups)).with_columns(title=_title(titles)).to_pandas()


def by_category(found: pl.DataFrame, titles: Mapping[str, str]) -> pl.DataFrame:
    """Return the shares of all sources, and beside what the paper printed the share of the failures that were found.

    The paper has no category for what is no failure, so that its shares are of failures; so are those of that column,
    as the model sorted them. found: the table `failure_shares`; titles: what `categories.in_print` gave.
    """
    whole = found.filter(group=ALL)
    failed = whole.filter(pl.col("category") != SUPPORTED)["n"].sum()
    return whole.select(
        _title(titles).alias("category"),
        "n",
        pl.col("value").alias("share"),
        "low",
        "high",
        "corrected",
        "corrected_low",
        "corrected_high",
        pl.when(pl.col("category") != SUPPORTED, failed > 0).then(pl.col("n") / failed).alias("share of failures"),
        pl.col("category").replace_strict(PUBLISHED, default=None, return_dtype=pl.Float64).alias("paper printed"),
        pl.col("reason").alias("note"),
    )


def _title(titles: Mapping[str, str]) -> pl.Expr:
    return pl.col("category").replace_strict(dict(titles), return_dtype=pl.String)


def gap(
    failures: pl.DataFrame, checked: pl.DataFrame | None, first: str, second: str, draws: int = 10_000, seed: int = 0
) -> Interval:
    """Return by how much the share of `first` is above that of `second` in all sources.

    The shares are those of `shares`, of the same resamples of users: corrected ones where it has them.
    """
    known, said, names = _sorted(failures, checked)
    totals, users = _totals(known, said, names)
    enough, places = int(said["item_id"].n_unique() >= FEWEST_CHECKED), [names.index(first), names.index(second)]

    def difference(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        above, below = _estimates(sums, len(names))[:, enough, places].T
        return above - below

    value = float(difference(totals.sum(axis=0, keepdims=True))[0])
    if users < 2:
        return Interval(value, _NAN, _NAN, "one user has no spread between users")
    drawn = resampled(totals, difference, draws, seed)
    return Interval(value, *interval(drawn), _left_out(drawn))


def sentence(
    found: pl.DataFrame,
    failures: pl.DataFrame,
    checked: pl.DataFrame | None,
    titles: Mapping[str, str],
    draws: int = 10_000,
    seed: int = 0,
) -> str:
    """Return the table `failure_shares` as a sentence: which failure leads, if that can be told, and by how much.

    Failures are ranked by the corrected share where there is one. *No failure found* is none, and *Others* not one.
    A failure leads if the interval of what it has above the second leaves out 0.

    Args:
        found: What `shares` gave of `failures` and `checked`, with the same draws and seed.
        failures: The table of that name, with the cases that have no category.
        checked: As in `shares`.
        titles: What `categories.in_print` gave.
        draws: Resamples.
        seed: Where they start.
    """
    rows = found.filter(group=ALL).to_dicts()
    if not rows:
        return "There is no failure to count: no attribute has a category."
    names = (
        ("value", "low", "high") if rows[0]["corrected"] is None else ("corrected", "corrected_low", "corrected_high")
    )
    by, n = names[0], rows[0]["n_attributes"]
    cases = f"the {n:,} attributes that an annotator did not accept"
    if n < len(failures):
        cases = f"the {n:,} (of {len(failures):,}) attributes that an annotator did not accept and the model could sort"
    ranked = sorted(
        (row for row in rows if row["category"] not in (SUPPORTED, OTHERS)),
        key=lambda row: (-row[by], -row["n"], row["category"]),
    )
    first, second = ranked[:2]
    called = [titles[row["category"]] for row in (first, second)]
    if not first[by]:
        text = f"No failure is left of a kind of its own in {cases}"
    elif not second[by] and not second["n"]:
        text = f"{called[0]} is the only failure of a kind of its own: {_share(first, names)} of {cases}"
    else:
        above = gap(failures, checked, first["category"], second["category"], draws, seed)
        told = above.low == above.low
        if above.low > 0 or above.high < 0:
            text = f"{called[0]} leads, before {called[1].lower()}: "
        elif told:
            text = f"{called[0]} and {called[1].lower()} are too close to tell apart: "
        else:
            text = f"Whether {called[0].lower()} leads or {called[1].lower()} cannot be told: "
        text += f"{_share(first, names)} and {_share(second, names)} of {cases}, {_points(above)}"
    spared = [row for row in rows if row["category"] == SUPPORTED and (row[by] or row["n"])]
    if spared:
        text += f"; in {_share(spared[0], names)} there is no failure"
    if by == "corrected":
        model = ", ".join(f"{row['value']:.1%} {titles[row['category']].lower()}" for row in [first, second, *spared])
        text += f". These shares are corrected by the {rows[0]['n_checked']:,} checked cases; the model says {model}"
    return f"{text}.{_paper(rows)}"


def _points(above: Interval) -> str:
    if above.low != above.low:
        return f"{100 * above.value:.1f} points apart (no interval: {above.reason})"
    ends = f"95% interval {100 * above.low:.1f} to {100 * above.high:.1f}"
    return f"{100 * above.value:.1f} points apart ({ends}{'; ' * bool(above.reason)}{above.reason})"


def _paper(rows: Sequence[dict[str, Any]]) -> str:
    """Return what the paper printed, beside the same share here: of found failures, as a model sorted them."""
    counts = {row["category"]: row["n"] for row in rows}
    if not (failed := sum(counts.values()) - counts[SUPPORTED]):
        return ""
    here, printed = counts["overgeneralization"] / failed, PUBLISHED["overgeneralization"]
    return (
        f" (Of the {failed:,} in which the model found a failure, {here:.1%} are overgeneralization; the paper printed "
        f"{printed:.1%} for its own attributes and model.)"
    )


def _share(row: dict[str, Any], names: Sequence[str]) -> str:
    value, low, high = (row[name] for name in names)
    return f"{value:.1%}" + ("" if low is None else f" (95% interval {low:.1%} to {high:.1%})")
