"""How far raters agree: every pair of them, and the panel as a whole, with intervals over clusters.

Raters are people or models alike. Frames come in wide, one row an item and one column a rater, and go out tidy. All
resamples are drawn once for all pairs, and the statistics of a resample follow from sums over its clusters.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from recenter_utils.stats import pairs, panels
from recenter_utils.stats.pairs import LEAST_SHARED, estimate_pairs, mean_of_pairs
from recenter_utils.stats.panels import panel_note, panel_sums
from recenter_utils.stats.ratings import Ratings, read_ratings
from recenter_utils.stats.resampling import Interval, noted_intervals, resampled

#: Of two raters: see `pairwise`.
PAIR_STATISTICS = pairs.STATISTICS

#: How labels differ: as kinds, by rank, or by number.
MEASUREMENTS = panels.MEASUREMENTS

NAN = float("nan")


def pairwise(
    wide: pd.DataFrame,
    labels: Sequence[Hashable] | None,
    *,
    statistic: str = "kappa",
    clusters: ArrayLike | None = None,
    draws: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    """Return the agreement of every pair of raters, on the items that both answered.

    Args:
        wide: One row an item, one column a rater; None or NaN where a rater did not answer.
        labels: Every label of the scale, in order, also those that nobody gave. None: the answers are numbers.
        statistic: `kappa` (Cohen 1960); `linear_kappa`, `quadratic_kappa` (Cohen 1968, by places of the labels);
            `agreement` (the share of items with equal labels); `ac1` (Gwet 2008); `spearman`; `pearson` (of the
            labels' numbers where all are numbers, else of their places).
        clusters: What is drawn again, a name for each row, such as its user or prompt; default: single items. A
            cluster without an item that two raters answered is never drawn.
        draws: Resamples, the same ones for all pairs; 0 for values only.
        seed: Where they start; the order of the rows does not matter.
        level: Share of the draws inside the interval.

    Returns:
        rater_a, rater_b (in the order of the columns), n (items that both answered), value, low, high (NaN where
        undefined) and reason (None, or why a number is missing or what to know of it).

    Raises:
        ValueError: An answer is none of `labels`, or another argument is not possible.
    """
    ratings = read_ratings(wide, labels, clusters, least=2)
    found = estimate_pairs(ratings, statistic, draws, seed)
    low, high, notes = noted_intervals(found.values, found.draws, found.clusters, found.notes, level)
    names = [(ratings.raters[a], ratings.raters[b]) for a, b in ratings.pairs]
    return pd.DataFrame(
        {
            "rater_a": [a for a, _ in names],
            "rater_b": [b for _, b in names],
            "n": found.n,
            "value": found.values,
            "low": low,
            "high": high,
            "reason": pd.Series([note or None for note in notes], dtype=object),
        }
    )


def overall(
    wide: pd.DataFrame,
    labels: Sequence[Hashable],
    *,
    measurement: str = "nominal",
    clusters: ArrayLike | None = None,
    draws: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
    least_shared: int = LEAST_SHARED,
) -> pd.DataFrame:
    """Return the agreement of all raters together.

    Args:
        wide: One row an item, one column a rater; None or NaN where a rater did not answer.
        labels: Every label of the scale, in order, also those that nobody gave.
        measurement: `nominal`, `ordinal` or `interval`: how Krippendorff's alpha takes labels to differ. With the
            latter two, weighted kappas and Spearman's correlation are in the table as well.
        clusters: What is drawn again, a name for each row; default: single items.
        draws: Resamples, the same ones for all statistics; 0 for values only.
        seed: Where they start.
        level: Share of the draws inside the interval.
        least_shared: Items that a pair of raters must share to count in a mean over pairs; where no pair does, all
            count.

    Returns:
        statistic, value, low, high, n_items (items with two answers or more), n_raters (who answered at all) and
        reason. The statistics are mean_kappa (over pairs of raters), percent_agreement, fleiss_kappa,
        krippendorff_alpha and gwet_ac1, and with an order mean_linear_kappa, mean_quadratic_kappa, mean_spearman.
        A mean is over the pairs that share enough items and where its statistic is defined, each resample's over those
        where it is defined in it.
    """
    ratings = read_ratings(wide, labels, clusters)
    kappa = _mean_of_pairs(ratings, "kappa", draws, seed, level, least_shared)
    rows = [{"statistic": "mean_kappa", **kappa._asdict()}]
    for statistic in panels.STATISTICS:
        found = _panel(ratings, statistic, measurement, draws, seed, level)
        rows.append({"statistic": statistic, **found._asdict()})
    for statistic in ("linear_kappa", "quadratic_kappa", "spearman") if measurement != "nominal" else ():
        found = _mean_of_pairs(ratings, statistic, draws, seed, level, least_shared)
        rows.append({"statistic": f"mean_{statistic}", **found._asdict()})
    answered = ratings.codes >= 0
    table = pd.DataFrame(rows)
    table.insert(4, "n_items", int((answered.sum(axis=1) > 1).sum()))
    table.insert(5, "n_raters", int(answered.any(axis=0).sum()))
    table["reason"] = pd.Series([row["reason"] or None for row in rows], dtype=object)
    return table


def matrix(table: pd.DataFrame, column: str = "value") -> pd.DataFrame:
    """Return `pairwise`'s table as a square, in the order of the raters: symmetric, 1 on the diagonal."""
    raters = list(dict.fromkeys([*table["rater_a"], *table["rater_b"]]))
    square = pd.DataFrame(np.eye(len(raters)), index=raters, columns=raters)
    for a, b, value in zip(table["rater_a"], table["rater_b"], table[column], strict=True):
        square.loc[a, b] = square.loc[b, a] = value
    return square


def cohen_kappa(a: ArrayLike, b: ArrayLike, labels: Sequence[Hashable], weights: str | None = None) -> Interval:
    """Return Cohen's kappa of two raters without an interval; `weights` is None, `linear` or `quadratic`."""
    statistic = f"{weights}_kappa" if weights else "kappa"
    wide = pd.DataFrame({"a": pd.Series(a, dtype=object), "b": pd.Series(b, dtype=object)})
    found = pairwise(wide, labels, statistic=statistic, clusters=np.zeros(len(wide)), draws=0).iloc[0]
    return Interval(float(found["value"]), NAN, NAN, found["reason"] or "")


def percent_agreement(wide: pd.DataFrame, labels: Sequence[Hashable]) -> Interval:
    """Return the mean over items of the share of pairs of answers that are equal, without an interval."""
    return _panel(_together(wide, labels), "percent_agreement")


def fleiss_kappa(wide: pd.DataFrame, labels: Sequence[Hashable]) -> Interval:
    """Return Fleiss' kappa without an interval; for unequal numbers of answers see `stats.panels`."""
    return _panel(_together(wide, labels), "fleiss_kappa")


def gwet_ac1(wide: pd.DataFrame, labels: Sequence[Hashable]) -> Interval:
    """Return Gwet's AC1 without an interval. It depends on how many labels the scale has."""
    return _panel(_together(wide, labels), "gwet_ac1")


def krippendorff_alpha(wide: pd.DataFrame, labels: Sequence[Hashable] | None, measurement: str = "nominal") -> Interval:
    """Return Krippendorff's alpha without an interval; `labels` None: the answers are numbers.

    `interval` takes the labels' own numbers where all are numbers, else their places.
    """
    return _panel(_together(wide, labels), "krippendorff_alpha", measurement)


def _together(wide: pd.DataFrame, labels: Sequence[Hashable] | None) -> Ratings:
    """Return the answers as one cluster: enough for a value."""
    return read_ratings(wide, labels, np.zeros(len(wide)))


def _panel(
    ratings: Ratings,
    statistic: str,
    measurement: str = "nominal",
    draws: int = 0,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    totals, value = panel_sums(ratings, statistic, measurement)
    found = value(totals.sum(axis=0, keepdims=True))
    drawn = resampled(totals, value, draws, seed)[:, None] if draws and len(totals) else np.empty((0, 1))
    note = panel_note(ratings, statistic, bool(np.isnan(found[0])))
    low, high, notes = noted_intervals(found, drawn, np.array([ratings.n_clusters]), [note], level)
    return Interval(float(found[0]), float(low[0]), float(high[0]), notes[0])


def _mean_of_pairs(
    ratings: Ratings, statistic: str, draws: int, seed: int, level: float, least_shared: int
) -> Interval:
    found = estimate_pairs(ratings, statistic, draws, seed)
    return mean_of_pairs(found, np.ones(len(found.values), dtype=bool), least_shared).interval(level)
