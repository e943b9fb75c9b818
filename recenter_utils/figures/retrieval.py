"""The figure of retrieval: precision against recall, and where each cut-off falls."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from recenter_utils.figures.style import PALETTE, STYLE, bare, room_for_stamp

#: What each cut-off is drawn with.
_MARKERS = {"over all": "D", "within requests": "o"}


def retrieval_curves(curves: pd.DataFrame, choices: pd.DataFrame, base_rate: float) -> Figure:
    """Draw each ranker's precision against recall, with its choice at both cut-offs.

    The area under a line is its average precision: a step holds the precision up to the recall that it reaches.

    curves: columns ranker, precision, recall, threshold; may be empty. choices: columns rater (`<ranker> (<cut-off>)`),
    metric and value. base_rate: share of relevant pairs, the precision of choosing blindly.
    """
    values = {(row["rater"], row["metric"]): float(row["value"]) for row in choices.to_dict("records")}
    with plt.rc_context(STYLE):
        figure, panel = plt.subplots(figsize=(8, 4.8), layout="constrained")
        if base_rate == base_rate:
            panel.axhline(base_rate, color="#777777", ls="--", lw=1, label=f"choosing blindly ({base_rate:.2f})")
        for colour, (ranker, curve) in zip(PALETTE, curves.groupby("ranker", sort=False), strict=False):
            reached = np.concatenate([[0.0], curve["recall"]])
            held = np.concatenate([curve["precision"].iloc[:1], curve["precision"]])
            panel.step(reached, held, where="pre", color=colour, lw=1.8, label=str(ranker))
            for cut_off, marker in _MARKERS.items():
                rater = f"{ranker} ({cut_off})"
                recall, precision = values.get((rater, "recall"), np.nan), values.get((rater, "precision"), np.nan)
                panel.plot(recall, precision, marker, color=colour, ms=9, mec="white")
        handles, labels = panel.get_legend_handles_labels()
        if len(curves):
            handles += [plt.Line2D([], [], marker=marker, ls="", color="#555555") for marker in _MARKERS.values()]
            labels += ["as many as there are, over all", "as many, within each request"]
        panel.set(
            xlabel="recall: share of the relevant pairs that are chosen",
            ylabel="precision: share of the chosen that are relevant",
            xlim=(-0.02, 1.02),
            ylim=(0, 1.03),
        )
        if handles:
            panel.legend(handles, labels, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
        bare(panel)
        room_for_stamp(figure)
    return figure
