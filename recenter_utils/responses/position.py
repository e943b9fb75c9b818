"""How far the order of two responses decides what a model says: the same comparisons, judged in both orders."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import polars as pl

from recenter_utils.report import interval_of, with_interval
from recenter_utils.scales import PREFERENCE
from recenter_utils.stats.resampling import cluster_bootstrap
from recenter_utils.tables import table

_MIDDLE = PREFERENCE.lowest + len(PREFERENCE.labels) // 2
_NONE = "no comparison was judged in both orders"


def bias(
    judgments: pl.DataFrame,
    swapped: pl.DataFrame,
    comparisons: pl.DataFrame,
    models: Iterable[str],
    *,
    draws: int = 10_000,
    seed: int = 0,
) -> pl.DataFrame:
    """Return the table `position_bias`: a row for each of `models`, in their order.

    A model's lean to the response shown first, on one comparison, is half of its rating with the personalised response
    first less its rating with the generic one first: on a scale from generic to personalised, what the response stands
    for cancels out. A judge that always answers A leans by 2, one that goes by the texts alone by 0. Intervals are over
    requests.

    Args:
        judgments: The table `preference_judgments`.
        swapped: The table `swapped_judgments`.
        comparisons: The table.
        models: Whom to measure, also without answers in both orders.
        draws: Resamples.
        seed: Where they start.
    """
    requests = comparisons.select("prompt_id", item_id="comparison_id")
    both = judgments.join(swapped, on=["item_id", "rater"], suffix="_swapped").join(requests, on="item_id")
    leading = pl.col("first_shown") == "personalised"
    both = both.filter(pl.col("first_shown") != pl.col("first_shown_swapped")).with_columns(
        led=pl.when(leading).then("score").otherwise("score_swapped"),
        followed=pl.when(leading).then("score_swapped").otherwise("score"),
    )
    rows = [_row(model, both.filter(rater=model), draws, seed) for model in models]
    return table("position_bias").frame(rows)


def sentence(found: pl.DataFrame) -> str:
    """Return in words which models the order moves. found: the table `position_bias`."""
    known = found.drop_nulls("bias")
    if known.is_empty():
        return "What the order of the responses does cannot be said: no model judged a comparison in both orders."
    sure = known.filter((pl.col("low") > 0) | (pl.col("high") < 0))
    most = known.sort(pl.col("bias").abs(), descending=True).row(0, named=True)
    points = with_interval(interval_of(most | {"value": most["bias"]}), "{:+.2f}")
    side = "first" if most["bias"] >= 0 else "second"
    return (
        f"Of {len(known)} model{'s' * (len(known) > 1)} that judged comparisons in both orders, {len(sure)} "
        f"lean{'s' * (len(sure) == 1)} to one place with an interval that leaves out 0. The largest lean is that of "
        f"{most['rater']} to the response shown {side}, {points} points; in {most['turned']:.0%} of {most['n']:,} "
        "comparisons it prefers one response in one order and the other in the other."
    )


def _row(model: str, both: pl.DataFrame, draws: int, seed: int) -> dict[str, Any]:
    if both.is_empty():
        return {"rater": model, "n": 0, "reason": _NONE}
    led, followed = (both[name].to_numpy() for name in ("led", "followed"))
    lean = cluster_bootstrap((led - followed) / 2, both["prompt_id"], draws=draws, seed=seed)
    return {
        "rater": model,
        "n": len(both),
        "bias": lean.value,
        "low": lean.low,
        "high": lean.high,
        "same": float(np.mean(led == followed)),
        "turned": float(np.mean((led - _MIDDLE) * (followed - _MIDDLE) < 0)),
        "reason": lean.reason or None,
    }
