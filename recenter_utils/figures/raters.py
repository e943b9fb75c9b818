"""Figures of who judges relevance: how often people and models say yes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from recenter_utils.figures.style import PALETTE, STYLE, bare, room_for_stamp

#: What readers call each kind of rater, in the order in which kinds are drawn, and its colour.
KINDS = {
    "human": ("people", PALETTE[0]),
    "simulated": ("simulated annotators", PALETTE[2]),
    "llm": ("models", PALETTE[1]),
    "retrieval": ("retrieval", PALETTE[4]),
    "trained": ("trained selectors", PALETTE[3]),
}


def yes_rates(raters: pd.DataFrame) -> Figure:
    """Draw each rater's share of yes with its interval over requests, by kind and then by rate.

    raters: columns of the table `relevance_raters`. Whom study.yaml excludes is drawn hollow; who gave no usable answer
    has a row without a point.
    """
    place = raters["rater_kind"].map(list(KINDS).index)
    rows = raters.assign(place=place).sort_values(["place", "excluded", "yes_rate", "rater"], ignore_index=True)
    with plt.rc_context(STYLE):
        figure, panel = plt.subplots(figsize=(7, 1.7 + 0.34 * max(1, len(rows))), layout="constrained")
        if rows.empty:
            panel.text(0.5, 0.5, "Nobody was asked about any pair.", ha="center", va="center")
        for kind, part in rows.groupby("rater_kind", sort=False):
            words, colour = KINDS[str(kind)]
            panel.hlines(part.index, part["low"].astype(float), part["high"].astype(float), color=colour, lw=1.8)
            for out, own in part.groupby("excluded", sort=True):
                label, face = (f"{words}, excluded", "white") if out else (words, colour)
                panel.plot(own["yes_rate"].astype(float), own.index, "o", color=colour, mfc=face, ms=7, label=label)
        panel.set_yticks(np.arange(len(rows)), [_name(row) for row in rows.to_dict("records")])
        panel.set_ylim(max(1, len(rows)) - 0.5, -0.5)
        star = "\n*: stands apart" if rows["stands_apart"].notna().any() else ""
        panel.set(xlabel=f"share of yes among the answers (line: 95% interval over requests){star}", xlim=(-0.02, 1.02))
        panel.xaxis.set_major_formatter("{x:.0%}")
        if len(rows):
            figure.legend(*panel.get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=3)
        bare(panel)
        room_for_stamp(figure)
    return figure


def _name(row: Mapping[Any, Any]) -> str:
    return f"{row['rater']} (n = {row['n_answered']:,}){' *' if isinstance(row['stands_apart'], str) else ''}"
