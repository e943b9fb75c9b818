"""How the categories of failure are spread (Table 5): shares with intervals, by source, and examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from numpy.typing import NDArray

from recenter_utils.attributes.categories import CANDIDATES, OTHERS, PUBLISHED, SUPPORTED, title
from recenter_utils.attributes.checked import SCHEMA
from recenter_utils.stats.resampling import intervals, resampled
from recenter_utils.tables import table

#: How the groups are called that hold more than one source. No source can be called so: names have no spaces.
ALL, ALL_OF = "all sources", {"real": "all real", "synthetic": "all synthetic"}
#: Answers of checkers that a group needs before its shares are put right by them.
FEWEST_CHECKED = 20

_NAN = float("nan")
_TITLE = pl.col("category").map_elements(title, return_dtype=pl.String)


def shares(
    failures: pl.DataFrame, checked: pl.DataFrame | None = None, draws: int = 10_000, seed: int = 0
) -> pl.DataFrame:
    """Return the table `failure_shares`: each category's share of all cases, of each kind's and of each source's.

    Intervals are a bootstrap over users. Where checkers sorted a sample of the cases, `corrected` adds to the model's
    share of a category the checkers' less the model's in that sample, and the interval covers both: unbiased however
    often the model errs, so long as the sample is random (prediction-powered inference, Angelopoulos et al. 2023).

    Args:
        failures: The table of that name; cases without a category are left out.
        checked: item_id, category, rater, as `checked.read` gives them.
        draws: Resamples.
        seed: Where they start.
    """
    known = failures.drop_nulls("category")
    said = (SCHEMA.to_frame() if checked is None else checked).join(
        known.select("item_id", "user_id", "source", "kind", model="category"), on="item_id"
    )
    names = ordered(pl.concat([known["category"], said["category"]]))
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
    return pl.DataFrame(rows, schema=table("failure_shares").columns).with_columns(
        pl.col("value", "low", "high", "corrected", "corrected_low", "corrected_high").fill_nan(None)
    )


def ordered(categories: pl.Series) -> list[str]:
    """Return the candidates and what else there is, the largest first; `others` and what is no failure come last."""
    counts = {category.name: 0 for category in CANDIDATES} | Counter(categories.to_list())
    return sorted(counts, key=lambda name: (name == SUPPORTED, name == OTHERS, -counts[name], name))


def _rows(
    part: pl.DataFrame, said: pl.DataFrame, names: Sequence[str], draws: int, seed: int
) -> Iterator[dict[str, Any]]:
    users = part["user_id"].unique().sort().to_list()
    model, checker = _counts(part, "category", users, names), _counts(said, "category", users, names)
    # A row a user; the model's counts, and in the checked sample the checker's less the model's, with their sizes.
    differences = checker - _counts(said, "model", users, names)
    sizes = np.stack([model.sum(axis=1), checker.sum(axis=1)], axis=1)
    totals = np.concatenate([model, differences, sizes], axis=1)
    value, corrected = _estimates(totals.sum(axis=0, keepdims=True), len(names))[0]
    low, high, corrected_low, corrected_high = np.full((4, len(names)), _NAN)
    enough = len(said) >= FEWEST_CHECKED
    if len(users) > 1:
        drawn = resampled(totals, lambda sums: _estimates(sums, len(names)), draws, seed)
        low, high = intervals(drawn[:, 0])
        corrected_low, corrected_high = intervals(drawn[:, 1])
    for place, name in enumerate(names):
        n = int(model[:, place].sum())
        reason = None
        if len(users) < 2:
            reason = "one user has no spread between users"
        elif n in (0, len(part)):
            reason = f"{'none' if n == 0 else 'nothing else'} was seen: resampling cannot say how rare it is"
            low[place] = high[place] = _NAN
        yield {
            "category": name, "n": n, "n_attributes": len(part), "n_users": len(users),
            "value": value[place], "low": low[place], "high": high[place], "n_checked": len(said),
            "corrected": corrected[place] if enough else None,
            "corrected_low": corrected_low[place] if enough else None,
            "corrected_high": corrected_high[place] if enough else None,
            "reason": reason,
        }  # fmt: skip


def _counts(rows: pl.DataFrame, column: str, users: Sequence[str], names: Sequence[str]) -> NDArray[np.float64]:
    found = pd.crosstab(rows["user_id"].to_numpy(), rows[column].to_numpy())
    return found.reindex(index=list(users), columns=list(names), fill_value=0).to_numpy(dtype=float)


def _estimates(sums: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Return the model's and the corrected shares, shape (rows, 2, n), from sums of the columns of `totals`."""
    with np.errstate(invalid="ignore", divide="ignore"):
        model = sums[:, :n] / sums[:, [2 * n]]
        corrected = np.clip(model + sums[:, n : 2 * n] / sums[:, [2 * n + 1]], 0, 1)
    return np.stack([model, corrected], axis=1)


def examples(failures: pl.DataFrame, found: pl.DataFrame, each: int = 2, longest: int = 240) -> pl.DataFrame:
    """Return some cases of each category with their evidence: the beginning of the first turn they rest on.

    found: what `failures.cases` gave. At most one case a user and category, rejected ones first.
    """
    cited = pl.element().filter(pl.element().struct.field("cited")).struct.field("content")
    rows = found.select(
        "item_id", "attribute", evidence=pl.col("excerpt").list.eval(cited).list.first().str.slice(0, longest)
    )
    order = pl.DataFrame({"category": ordered(failures["category"].drop_nulls())}, schema={"category": pl.String})
    return (
        order.with_row_index("place")
        .join(failures, on="category")
        .join(rows, on="item_id")
        .sort("place", "judgment", "item_id")
        .unique(["category", "user_id"], keep="first", maintain_order=True)
        .group_by("category", maintain_order=True)
        .head(each)
        .select(_TITLE, "attribute", "judgment", "inferred_reason", "evidence")
    )


def drawn(found: pl.DataFrame) -> pd.DataFrame:
    """Return the rows that a figure shows, with `title`: each kind's where there are two, else those of all sources."""
    groups = [group for group in ALL_OF.values() if len(found.filter(group=group))] or [ALL]
    return found.filter(pl.col("group").is_in(groups)).with_columns(_TITLE.alias("title")).to_pandas()


def by_category(found: pl.DataFrame) -> pl.DataFrame:
    """Return the shares of all sources beside what the paper printed of its own attributes.

    found: the table `failure_shares`.
    """
    return found.filter(group=ALL).select(
        _TITLE,
        "n",
        pl.col("value").alias("share"),
        "low",
        "high",
        "corrected",
        "corrected_low",
        "corrected_high",
        pl.col("category").replace_strict(PUBLISHED, default=None, return_dtype=pl.Float64).alias("paper printed"),
        pl.col("reason").alias("note"),
    )


def sentence(found: pl.DataFrame) -> str:
    """Return the table `failure_shares` as a sentence: the most common failure, and what the paper printed."""
    whole = found.filter(pl.col("group") == ALL, ~pl.col("category").is_in([SUPPORTED, OTHERS]), pl.col("n") > 0)
    if whole.is_empty():
        return "There is no failure to count: no attribute has a category."
    top = whole.sort("n", "category", descending=[True, False]).row(0, named=True)
    parts = [
        f"The most common failure is {title(top['category']).lower()}: {_share(top)} of the "
        f"{top['n_attributes']:,} attributes that an annotator did not accept"
    ]
    if top["corrected"] is not None:
        corrected = _share(top, ("corrected", "corrected_low", "corrected_high"))
        parts.append(f", {corrected} when corrected by the checked sample")
    spared = found.filter(pl.col("group") == ALL, pl.col("category") == SUPPORTED, pl.col("n") > 0).to_dicts()
    if spared:
        parts.append(f"; in {_share(spared[0])} the model found no failure")
    printed = f"{PUBLISHED['overgeneralization']:.1%} overgeneralization"
    return f"{''.join(parts)}. (The paper printed {printed} for its own attributes and model.)"


def _share(row: dict[str, Any], names: Sequence[str] = ("value", "low", "high")) -> str:
    value, low, high = (row[name] for name in names)
    return f"{value:.1%}" + ("" if low is None else f" (95% interval {low:.1%} to {high:.1%})")
