"""The three pictures of the front page: one number a row, with its interval."""

from __future__ import annotations

from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from recenter_utils.figures.style import PALETTE, STYLE, bare, room_for_stamp

#: Who is behind a number, and its colour: as in all figures, people's is blue and models' is orange.
_COLOURS = {"people": PALETTE[0], "models": PALETTE[1], "both": PALETTE[7]}


def answer(rows: pd.DataFrame, label: str, *, percent: bool = True) -> Figure:
    """Draw numbers with their intervals, in the order given.

    rows: columns label, side (`people`, `models` or `both`), value, low and high; missing where undefined. label: what
    the numbers are. percent: whether they are shares, 0 to 1.
    """
    number = max(1, len(rows))
    with plt.rc_context(STYLE):
        figure, panel = plt.subplots(figsize=(4.8, 1.3 + 0.4 * number), layout="constrained")
        for place, row in enumerate(rows.to_dict("records")):
            value, colour = row["value"], _COLOURS[row["side"]]
            panel.hlines(place, row["low"], row["high"], color=colour, lw=2.5)
            panel.plot(value, place, "o", color=colour, ms=8)
            if value == value:
                said = f"{value:.0%}" if percent else f"{value:.2f}"
                panel.annotate(said, (value, place), (0, 7), textcoords="offset points", ha="center", fontsize=9)
        if rows.empty:
            panel.text(0.5, 0, "Nobody has judged this yet.", ha="center", va="center")
        panel.set_yticks(np.arange(len(rows)), [fill(label, 22) for label in rows["label"]])
        panel.set(xlim=(-0.02, 1.02), ylim=(number - 0.5, -0.75), xlabel=f"{label}\n(line: 95% interval)")
        if percent:
            panel.xaxis.set_major_formatter("{x:.0%}")
        bare(panel)
        room_for_stamp(figure)
    return figure
