"""Figures of agreement on relevance: the matrix of people and models (Figure 3), and models at another cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from recenter_utils.figures.style import PALETTE, STYLE, bare, nothing, room_for_stamp

_READABLE = 16  # raters whose kappas still fit into the cells
_WIDTH = 4.8  # inches: a phone shows these figures whole, and their numbers can be read

#: For kappa as it is and at the other cut: its words, marker and colour, and how far off the row its interval is drawn.
_CUTS = {
    "kappa": ("as it answers", "o", PALETTE[0], 0.16),
    "kappa_matched": ("cut at their yes-rate", "D", PALETTE[1], -0.16),
}


def kappa_matrix(
    pairs: pd.DataFrame, rates: pd.DataFrame, groups: Mapping[str, str], names: Mapping[str, str]
) -> Figure:
    """Draw Cohen's kappa of every two raters as a matrix with groups framed, and yes-rates beside it (Figure 3).

    Args:
        pairs: rater_a, rater_b and value, as in the table `relevance_agreement`.
        rates: rater and yes_rate, as in the table `relevance_raters`.
        groups: Each rater's group, in the order of rows and columns, all of a group behind one another.
        names: What the figure calls a rater; others by their name.
    """
    raters = list(groups)
    if len(raters) < 2:
        return nothing("A matrix of agreement needs two raters.")
    place = {rater: number for number, rater in enumerate(raters)}
    square = np.full((len(raters), len(raters)), np.nan)
    for row in pairs.to_dict("records"):
        a, b = place[row["rater_a"]], place[row["rater_b"]]
        square[a, b] = square[b, a] = row["value"]
    known = rates.set_index("rater")["yes_rate"].reindex(raters).to_numpy(dtype=float)
    shown = [names.get(rater, rater) for rater in raters]
    side = min(len(raters), 20)
    with plt.rc_context(STYLE | {"axes.grid": False, "font.size": 9}):
        figure, (cells, beside) = plt.subplots(
            1, 2, figsize=(_WIDTH, 1.5 + 0.33 * side), layout="constrained", width_ratios=[side, 2.2]
        )
        cells.imshow(square, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        _cells(cells, square)
        _frames(cells, [groups[rater] for rater in raters])
        numbers = range(1, len(raters) + 1)
        cells.set_xticks(range(len(raters)), numbers)
        cells.set_yticks(range(len(raters)), [f"{name}  {number}" for name, number in zip(shown, numbers, strict=True)])
        cells.tick_params(length=0)
        cells.spines[:].set_visible(False)
        cells.set_title("Cohen's kappa", fontsize=9)
        _rates(beside, known)
        room_for_stamp(figure)
    return figure


def _cells(panel: Axes, square: np.ndarray) -> None:
    if len(square) > _READABLE:
        return
    for (a, b), value in np.ndenumerate(square):
        if a != b:
            text = "–" if np.isnan(value) else f"{value:.2f}".replace("0.", ".", 1).replace("-", "−")
            ink = "white" if value > 0.6 else "#222222"
            panel.text(b, a, text, ha="center", va="center", fontsize=8 if len(square) <= 10 else 6.5, color=ink)


def _frames(panel: Axes, groups: Sequence[str]) -> None:
    """Frame each group's own block; what lies outside the frames is between groups."""
    for group in dict.fromkeys(groups):
        start, size = groups.index(group), groups.count(group)
        box = Rectangle((start - 0.5, start - 0.5), size, size, fill=False, edgecolor="#111111", lw=1.8, clip_on=False)
        panel.add_patch(box)


def _rates(panel: Axes, rates: np.ndarray) -> None:
    places = np.arange(len(rates))
    panel.barh(places, np.nan_to_num(rates), color="#c4c4c4", height=0.7)
    for at, rate in zip(places, rates, strict=True):
        text = "–" if np.isnan(rate) else f"{rate:.0%}"
        panel.text(0.04, float(at), text, ha="left", va="center", fontsize=8)
    panel.set(xlim=(0, 1), ylim=(len(rates) - 0.5, -0.5), xticks=[], yticks=[])
    panel.set_title("says yes", fontsize=9)
    panel.spines[:].set_visible(False)


def matched_thresholds(found: pd.DataFrame, word: str) -> Figure:
    """Draw each model's mean kappa with annotators as it is and at their yes-rate, and how far these agree themselves.

    found: rows of the table `relevance_thresholds` for one reference. word: what the study's annotators are called; a
    benchmark is called so.
    """
    word = "the benchmark" if set(found["reference"]) == {"benchmark"} else word
    wide = found.pivot(index="rater", columns="statistic", values=["value", "low", "high"])
    if wide.empty:
        return nothing("No model and no annotator to compare.")
    order = wide["value"]["kappa"].sort_values(kind="stable").index
    level = found[found["statistic"] == "kappa_people"].iloc[0]
    with plt.rc_context(STYLE | {"font.size": 9}):
        figure, panel = plt.subplots(figsize=(_WIDTH, 1.9 + 0.5 * len(order)), layout="constrained")
        rows = np.arange(len(order))
        if not np.isnan(level["value"]):
            panel.axvline(level["value"], color="#444444", lw=1.2, ls="--", label=f"{word} among themselves")
            panel.axvspan(level["low"], level["high"], color="#444444", alpha=0.12, lw=0)
        ends = {name: wide.xs(name, axis="columns", level="statistic").reindex(order) for name in _CUTS}
        before, after = (part["value"].to_numpy(dtype=float) for part in ends.values())
        panel.hlines(rows, before, after, color="#bbbbbb", lw=3, zorder=1)
        for name, (label, marker, colour, shift) in _CUTS.items():
            panel.hlines(rows + shift, ends[name]["low"], ends[name]["high"], color=colour, lw=1.4)
            panel.plot(ends[name]["value"], rows, marker, color=colour, ms=7, mec="white", label=label)
        for at in rows[np.isnan(after)]:
            where = (float(before[at]), float(at))
            panel.annotate("cannot be cut", where, xytext=(8, 0), textcoords="offset points", va="center", fontsize=8)
        panel.set_yticks(rows, order)
        panel.set_ylim(-0.6, len(order) - 0.4)
        panel.set_xlabel(f"kappa with {word} (95% interval)")
        figure.legend(*panel.get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=1)
        bare(panel)
        room_for_stamp(figure)
    return figure
