"""Figures of generated responses: what became of them, and how long they are."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recenter_utils.figures.style import PALETTE, STYLE, bare, nothing, room_for_stamp

_WIDTH = 4.8  # inches: a phone shows the figure whole, and its words can be read

#: What can become of a page, in the order in which it is drawn: column, words, colour.
_OUTCOMES = (
    ("n_compared", "can be compared", PALETTE[0]),
    ("n_identical", "identical", PALETTE[1]),
    ("n_empty", "empty", PALETTE[4]),
    ("n_refused", "refused", PALETTE[3]),
    ("n_failed", "failed", "#8a8a8a"),
)


def responses(found: pd.DataFrame) -> Figure:
    """Draw what became of each generator's pages, and the mean length of its generic and personalised responses.

    found: the table `generation`.
    """
    if not found["n_pages"].sum():
        return nothing("No generator was asked for a response.")
    with plt.rc_context(STYLE | {"font.size": 9}):
        figure, (pages, lengths) = plt.subplots(
            2, 1, figsize=(_WIDTH, 2.9 + 0.62 * len(found)), layout="constrained", sharey=True
        )
        rows = np.arange(len(found))
        _pages(pages, found, rows)
        _lengths(lengths, found, rows)
        pages.set_yticks(rows, found["generator"])
        pages.set_ylim(len(rows) - 0.5, -0.5)
        room_for_stamp(figure)
    return figure


def _pages(panel: Axes, found: pd.DataFrame, rows: np.ndarray) -> None:
    start = np.zeros(len(rows))
    for column, words, colour in _OUTCOMES:
        share = (found[column] / found["n_pages"].where(found["n_pages"] > 0)).fillna(0.0).to_numpy()
        if share.any():
            panel.barh(rows, share, left=start, color=colour, height=0.62, label=words)
        start += share
    for at, (compared, asked) in enumerate(zip(found["n_compared"], found["n_pages"], strict=True)):
        panel.annotate(
            f"{compared:,} of {asked:,}", (0.02, at), va="center", ha="left", fontsize=8,
            bbox={"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
        )  # fmt: skip
    panel.set(xlim=(0, 1), xlabel="share of the generator's pages")
    panel.xaxis.set_major_formatter("{x:.0%}")
    panel.legend(frameon=False, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3, columnspacing=1.0)
    bare(panel)


def _lengths(panel: Axes, found: pd.DataFrame, rows: np.ndarray) -> None:
    generic, personalised = (found[name].to_numpy(dtype=float) for name in ("words_generic", "words_personalised"))
    panel.hlines(rows, generic, personalised, color="#bbbbbb", lw=3, zorder=1)
    panel.plot(generic, rows, "o", color="#8a8a8a", ms=7, mec="white", label="generic")
    panel.plot(personalised, rows, "D", color=PALETTE[2], ms=7, mec="white", label="personalised")
    for at in rows[np.isnan(generic)]:
        panel.annotate(
            "nothing to compare", (0.5, float(at)), xycoords=("axes fraction", "data"), va="center", ha="center"
        )
    panel.set(xlabel="words of a compared response (mean)", xlim=(0, np.nanmax([1.0, *generic, *personalised]) * 1.08))
    panel.legend(frameon=False, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, columnspacing=1.0)
    bare(panel)
