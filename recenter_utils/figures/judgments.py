"""Figures of what annotators answered: by annotator, by pair of annotators, and by source (Figure 2)."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recenter_utils.figures.style import STYLE, bare, nothing, room_for_stamp
from recenter_utils.scales import ATTRIBUTE_QUALITY

#: From what is best to what is worst, apart in lightness as well as in hue.
LABEL_COLOURS = {"accepted": "#3a7d5c", "uncertain": "#f2cf77", "rejected": "#b5452c"}
_INK = {"accepted": "white", "uncertain": "#333333", "rejected": "white"}
_NARROW = 0.055  # a share whose number would not fit into its part of a bar


def annotator_labels(annotators: pd.DataFrame) -> Figure:
    """Draw which labels each annotator gave, a bar each. Columns of the table `annotators`.

    Who answered nothing but check items has no bar.
    """
    annotators = annotators[annotators["n_items"] > 0]
    if annotators.empty:
        return nothing("No answers yet.")
    with plt.rc_context(STYLE):
        figure, panel = plt.subplots(figsize=(7, 1.5 + 0.42 * len(annotators)), layout="constrained")
        names = [
            f"{name} (n = {n:,}){', excluded' if out else ''}{' *' if apart else ''}"
            for name, n, out, apart in zip(
                annotators["rater"],
                annotators["n_items"],
                annotators["excluded"],
                annotators["stands_apart"].notna(),
                strict=True,
            )
        ]
        _stacked(panel, annotators, names)
        panel.set(xlabel="share of the annotator's answers" + _star(annotators))
        room_for_stamp(figure)
    return figure


def pairwise_agreement(pairs: pd.DataFrame) -> Figure:
    """Draw Cohen's kappa of every pair of annotators as a matrix with intervals. Columns of `stats.agreement.pairwise`.

    Numbers stand in the cells of up to sixteen annotators, intervals of up to eight.
    """
    raters = list(dict.fromkeys([*pairs["rater_a"], *pairs["rater_b"]]))
    if not raters:
        return nothing("No two annotators have answered on the same attributes yet.")
    size = len(raters)
    place = {rater: number for number, rater in enumerate(raters)}
    square = np.full((size, size), np.nan)
    words = {}
    for row in pairs.itertuples():
        # The lower triangle alone: the other half says the same.
        a, b = sorted((place[row.rater_a], place[row.rater_b]))
        square[b, a] = row.value
        words[b, a] = _cell(row, size)
    with plt.rc_context(STYLE | {"axes.grid": False}):
        figure, panel = plt.subplots(figsize=(7, 1.1 + 0.55 * min(size, 9)), layout="constrained")
        shades = panel.imshow(square[1:, :-1], cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for (b, a), text in words.items():
            ink = "white" if square[b, a] > 0.6 else "#222222"
            panel.text(a, b - 1, text, ha="center", va="center", fontsize=8, color=ink)
        panel.set_xticks(range(size - 1), raters[:-1], rotation=0 if size <= 6 else 90)
        panel.set_yticks(range(size - 1), raters[1:])
        panel.tick_params(length=0)
        panel.spines[:].set_visible(False)
        figure.colorbar(shades, ax=panel, label="Cohen's kappa", shrink=0.8)
        room_for_stamp(figure)
    return figure


def attribute_quality(shares: pd.DataFrame) -> Figure:
    """Draw accepted, uncertain and rejected by source, a bar each (Figure 2). Columns of the table `attribute_quality`.

    Both kinds of source stand first, then single sources where a kind has several. The line on a bar is the interval
    of what was not accepted; without an interval there is none.
    """
    if shares.empty:
        return nothing("No answers yet.")
    values = shares.pivot(index="group", columns="label", values="value")
    about = shares[shares["label"] == "problematic"].set_index("group")
    sources = about[~about.index.str.startswith("all ")]
    several = sources["kind"].map(sources["kind"].value_counts()) > 1
    order = [group for group in about.index if group.startswith("all ")] + list(sources.index[several])
    with plt.rc_context(STYLE):
        figure, panel = plt.subplots(figsize=(7, 1.7 + 0.5 * len(order)), layout="constrained")
        names = [
            f"{group}\n{about.loc[group, 'n_attributes']:,} attributes, {about.loc[group, 'n_users']:,} users"
            for group in order
        ]
        _stacked(panel, values.loc[order], names, low=1 - about.loc[order, "high"], high=1 - about.loc[order, "low"])
        panel.set(xlabel="share of judgments (line: 95% interval over users)")
        room_for_stamp(figure)
    return figure


def _stacked(
    panel: Axes, shares: pd.DataFrame, names: Sequence[str], low: pd.Series | None = None, high: pd.Series | None = None
) -> None:
    """Draw a bar a row with the share of each label written on it; low and high: of where the first label ends."""
    places = np.arange(len(shares))
    left = np.zeros(len(shares))
    beside = [""] * len(shares)
    for label in ATTRIBUTE_QUALITY.labels[::-1]:
        width = shares[label].to_numpy(dtype=float)
        panel.barh(places, width, left=left, height=0.68, color=LABEL_COLOURS[label], label=label)
        for place, start, share in zip(places, left, width, strict=True):
            if share >= _NARROW:
                panel.text(
                    float(start + share / 2),
                    float(place),
                    f"{share:.0%}",
                    ha="center",
                    va="center",
                    fontsize=9,
                    color=_INK[label],
                )
            elif share > 0:
                beside[place] += f"  {label} {share:.1%}"
        left += np.nan_to_num(width)
    for place, text in zip(places, beside, strict=True):
        panel.annotate(
            text.strip(), (1, float(place)), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8
        )
    if low is not None and high is not None:
        panel.hlines(places + 0.25, low, high, color="#111111", lw=1.6)
    panel.set_yticks(places, names)
    panel.invert_yaxis()
    panel.set_xlim(0, 1)
    panel.xaxis.set_major_formatter("{x:.0%}")
    panel.grid(visible=False)
    panel.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2)
    bare(panel)
    panel.tick_params(axis="y", length=0)


def _cell(row: object, raters: int) -> str:
    value, low, high = (getattr(row, name) for name in ("value", "low", "high"))
    if raters > 16:
        return ""
    if np.isnan(value):
        return "–"
    text = f"{value:.2f}" + ("" if raters > 8 or np.isnan(low) else f"\n{low:.2f} to {high:.2f}")
    return text.replace("-", "−")


def _star(annotators: pd.DataFrame) -> str:
    return " (*: stands apart)" if annotators["stands_apart"].notna().any() else ""
