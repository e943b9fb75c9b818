"""How a GRPO run went, step by step: the table `grpo_curve`, and its beginning beside its end."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from recenter_utils.tables import table

#: What is measured, and what trl calls it. Rewards are written down as they were earned, whatever was learned from.
MEASURES = {
    "reward_label": "rewards/reward_label/mean",
    "reward_format": "rewards/reward_format/mean",
    "length": "completions/mean_length",
    "truncated": "completions/clipped_ratio",
    "kl": "kl",
    "validation_f1": "validation_f1",
}

#: The part of a run that stands for its beginning, and for its end.
QUARTER = 0.25


def curve(history: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Return the table `grpo_curve` from what a run wrote down.

    Step 0 is before training. reward is the sum of its two parts; length is in tokens; truncated is a share; kl is the
    mean over tokens, where there is a KL term.
    """
    rows: dict[tuple[int, str], dict[str, Any]] = {}
    for entry in history:
        step = int(entry.get("step", 0))
        found = {name: entry[key] for name, key in MEASURES.items() if entry.get(key) is not None}
        if {"reward_label", "reward_format"} <= set(found):
            found = {"reward": found["reward_label"] + found["reward_format"]} | found
        for name, value in found.items():
            nothing = isinstance(value, float) and math.isnan(value)
            rows[step, name] = {
                "step": step,
                "epoch": float(entry.get("epoch") or 0.0),
                "measure": name,
                "value": None if nothing else float(value),
                "reason": "no pair is relevant, by the reference or the model" if nothing else None,
            }
    return pl.DataFrame([rows[key] for key in sorted(rows)], schema=table("grpo_curve").columns)


def ends(curves: pl.DataFrame, measure: str) -> tuple[float, float]:
    """Return the mean of a measure over the first and over the last quarter of its steps; NaN where it has none."""
    values = curves.filter(measure=measure).sort("step")["value"].drop_nulls()
    if values.is_empty():
        return math.nan, math.nan
    part = max(1, round(QUARTER * len(values)))
    return float(values.head(part).mean()), float(values.tail(part).mean())  # type: ignore[arg-type]


def summary(curves: pl.DataFrame) -> pl.DataFrame:
    """Return for each measure its number of points, and its mean over the first and the last quarter of them."""
    rows = []
    for name in ("reward", "reward_label", "reward_format", "length", "truncated", "kl", "validation_f1"):
        part = curves.filter(measure=name)
        if len(part):
            first, final = ends(curves, name)
            rows.append({"measure": name, "points": len(part), "first_quarter": first, "last_quarter": final})
    schema = {"measure": pl.String, "points": pl.Int64, "first_quarter": pl.Float64, "last_quarter": pl.Float64}
    return pl.DataFrame(rows, schema=schema).with_columns(pl.col("first_quarter", "last_quarter").fill_nan(None))


def steps(history: Sequence[Mapping[str, Any]]) -> int:
    """Return how many steps a run took."""
    return max((int(entry.get("step", 0)) for entry in history), default=0)


def seconds_a_step(history: Sequence[Mapping[str, Any]]) -> float:
    """Return the median seconds of a step, drawing of answers included; NaN for a run without steps."""
    found = [float(entry["step_time"]) for entry in history if entry.get("step_time") is not None]
    return statistics.median(found) if found else math.nan
