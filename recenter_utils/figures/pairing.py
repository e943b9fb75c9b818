"""Figures of pairing: how many users each request lets through, and how many attributes are judged with it."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from recenter_utils.figures.style import PALETTE, STYLE, bare, room_for_stamp

#: Requests up to which each one's name is written.
_NAMED = 45


def pairs_per_request(counts: pd.DataFrame, filtered: bool = True) -> Figure:
    """Draw, for each request, the users who pass the coarse filter and those drawn, and its pairs.

    counts: prompt_id, considered, passed, users, pairs and linked, a row a request in the order that is drawn.
    filtered: whether a filter was asked; without one only the pairs are drawn, and those that a benchmark links.
    """
    places = np.arange(len(counts))
    named = 0 < len(counts) <= _NAMED
    with plt.rc_context(STYLE):
        height = min(11.0, 2.0 + 0.19 * len(counts))
        figure, panels = plt.subplots(
            1,
            1 + filtered,
            figsize=(8.4 if filtered else 7.0, height),
            sharey=True,
            squeeze=False,
            layout="constrained",
        )
        first, last = panels[0, 0], panels[0, -1]
        if filtered:
            first.barh(places, counts["considered"], color="#e2e2e2", label="do not pass the filter")
            first.barh(places, counts["passed"], color=PALETTE[9], label="pass it")
            first.barh(places, counts["users"], color=PALETTE[0], label="pass it and are drawn")
            first.set(xlabel="users")
        last.barh(places, counts["pairs"], color=PALETTE[0], label="not linked by the benchmark")
        if counts["linked"].any():
            last.barh(places, counts["linked"], color=PALETTE[1], label="linked")
        last.set(xlabel="attributes to judge with the request")
        legend = first if filtered else last if counts["linked"].any() else None
        if legend is not None and len(counts):
            legend.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0, fontsize=8)
        if not len(counts):
            last.text(0.5, 0.5, "no requests", transform=last.transAxes, ha="center", va="center", color="#555555")
            last.set_xticks([])
        first.set_yticks(places if named else [], list(counts["prompt_id"]) if named else [], fontsize=8)
        if len(counts) > _NAMED:
            first.set_ylabel("requests, those with most pairs on top")
        first.set_ylim(max(len(counts), 1) - 0.4, -0.6)
        for panel in panels[0]:
            panel.grid(axis="y", visible=False)
            panel.set_xlim(0, None)
            bare(panel)
        room_for_stamp(figure)
    return figure
