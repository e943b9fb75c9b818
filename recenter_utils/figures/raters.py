"""Figures of who judges, and how: shares of yes, mean ratings, and how far the order of two responses decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recenter_utils.figures.style import PALETTE, STYLE, bare, nothing, room_for_stamp

#: What readers call each kind of rater, in the order in which kinds are drawn, and its colour.
KINDS = {
    "human": ("people", PALETTE[0]),
    "simulated": ("simulated annotators", PALETTE[2]),
    "llm": ("models", PALETTE[1]),
    "retrieval": ("retrieval", PALETTE[4]),
    "trained": ("trained selectors", PALETTE[3]),
}


_WIDTH = 5.4  # inches: a phone shows it whole, and its words can be read


def yes_rates(raters: pd.DataFrame) -> Figure:
    """Draw each rater's share of yes with its interval over requests, by kind and then by rate.

    raters: columns of the table `relevance_raters`. Whom study.yaml excludes is drawn hollow; who gave no usable answer
    has a row without a point.
    """
    figure, panel = _by_kind(raters, "yes_rate", 7.0, "Nobody was asked about any pair.")
    panel.set(xlabel=_label("share of yes among the answers (line: 95% interval over requests)", raters))
    panel.set_xlim(-0.02, 1.02)
    panel.xaxis.set_major_formatter("{x:.0%}")
    return figure


def mean_ratings(raters: pd.DataFrame) -> Figure:
    """Draw each rater's mean rating with its interval over requests, by kind and then by mean.

    raters: columns of the table `preference_raters`; drawn as in `yes_rates`.
    """
    figure, panel = _by_kind(raters, "mean", _WIDTH, "Nobody was asked about any comparison.")
    panel.axvline(3, color="#444444", lw=1, ls="--", zorder=1)
    panel.set(xlabel=_label("mean rating (line: 95% interval over requests)", raters), xlim=(0.9, 5.1))
    panel.set_xticks(range(1, 6), ["1\ngeneric", "2", "3\nneither", "4", "5\npersonalised"])
    return figure


def position_bias(found: pd.DataFrame) -> Figure:
    """Draw by how many points each model leans to the response shown first, and how often the order changes its mind.

    found: columns of the table `position_bias`. A model without answers in both orders has a row without a point.
    """
    if found.empty:
        return nothing("No model was asked.")
    rows = found.sort_values(["bias", "rater"], ignore_index=True)
    places = np.arange(len(rows))
    with plt.rc_context(STYLE):
        figure, (lean, turned) = plt.subplots(
            1, 2, figsize=(_WIDTH, 1.5 + 0.36 * len(rows)), layout="constrained", sharey=True, width_ratios=(3, 2)
        )
        lean.axvline(0, color="#444444", lw=1, ls="--", zorder=1)
        lean.hlines(places, rows["low"].astype(float), rows["high"].astype(float), color=KINDS["llm"][1], lw=1.8)
        lean.plot(rows["bias"].astype(float), places, "o", color=KINDS["llm"][1], ms=7)
        lean.set_yticks(places, [f"{rater}\n(n = {n:,})" for rater, n in zip(rows["rater"], rows["n"], strict=True)])
        lean.set_xlabel("points towards the response\nshown first (95% interval)")
        other = 1 - rows["same"].astype(float)
        turned.barh(places, other, color="#d3d3d3", height=0.6, label="another rating")
        turned.barh(places, rows["turned"].astype(float), color="#444444", height=0.6, label="the other response")
        turned.set(xlabel="share of comparisons\nin the other order", ylim=(len(rows) - 0.5, -0.5))
        turned.xaxis.set_major_formatter("{x:.0%}")
        for panel in (lean, turned):
            panel.locator_params(axis="x", nbins=4)
            panel.margins(x=0.08)
            bare(panel)
        figure.legend(*turned.get_legend_handles_labels(), frameon=False, loc="outside lower right", ncols=2)
        room_for_stamp(figure)
    return figure


def _by_kind(raters: pd.DataFrame, value: str, width: float, nobody: str) -> tuple[Figure, Axes]:
    """Draw a point with its interval for each rater, by kind and then by value."""
    place = raters["rater_kind"].map(list(KINDS).index)
    rows = raters.assign(place=place).sort_values(["place", "excluded", value, "rater"], ignore_index=True)
    with plt.rc_context(STYLE):
        figure, panel = plt.subplots(figsize=(width, 1.7 + 0.34 * max(1, len(rows))), layout="constrained")
        if rows.empty:
            panel.text(0.5, 0.5, nobody, ha="center", va="center", transform=panel.transAxes)
        for kind, part in rows.groupby("rater_kind", sort=False):
            words, colour = KINDS[str(kind)]
            panel.hlines(part.index, part["low"].astype(float), part["high"].astype(float), color=colour, lw=1.8)
            for out, own in part.groupby("excluded", sort=True):
                label, face = (f"{words}, excluded", "white") if out else (words, colour)
                panel.plot(own[value].astype(float), own.index, "o", color=colour, mfc=face, ms=7, label=label)
        panel.set_yticks(np.arange(len(rows)), [_name(row) for row in rows.to_dict("records")])
        panel.set_ylim(max(1, len(rows)) - 0.5, -0.5)
        if len(rows):
            columns = 3 if width > _WIDTH else 2
            figure.legend(*panel.get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=columns)
        bare(panel)
        room_for_stamp(figure)
    return figure, panel


def _label(measure: str, raters: pd.DataFrame) -> str:
    return measure + "\n*: stands apart" * bool(raters["stands_apart"].notna().any())


def _name(row: Mapping[Any, Any]) -> str:
    return f"{row['rater']} (n = {row['n_answered']:,}){' *' if isinstance(row['stands_apart'], str) else ''}"
