"""Figures of what a next study would see: power against its size."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from recenter_utils.figures.style import STYLE, bare, nothing, room_for_stamp

_GREY = "#555555"
_TITLES = {
    "generator against 3": "a generator\nagainst 3",
    "two generators": "two\ngenerators",
    "mentions, adjusted": "explicit\nmentions",
}


def power_curves(designs: pd.DataFrame, power: float) -> Figure:
    """Draw how often a gap is seen against the number of requests: a row a size, a column a kind, a line annotators.

    designs: rows of the table `designs` of the sizes that were asked for; of these, those with the fewest users a
    request are drawn. power: how often it should be seen, a line.
    """
    known = designs.dropna(subset=["power"])
    if known.empty:
        return nothing("No design could be tried.")
    users = int(known["users"].min())
    known = known[known["users"] == users]
    kinds = [kind for kind in _TITLES if (known["gap_kind"] == kind).any()]
    gaps, numbers = sorted(known["gap"].unique()), sorted(known["annotators"].unique())
    colours = plt.get_cmap("viridis")(np.linspace(0.85, 0.05, len(numbers)))
    requests = sorted(known["requests"].unique())
    with plt.rc_context(STYLE | {"font.size": 9}):
        figure, grid = plt.subplots(
            len(gaps), len(kinds), figsize=(1.2 + 1.25 * max(2, len(kinds)), 1.6 + 1.05 * len(gaps)), sharex=True,
            sharey=True, squeeze=False, layout="constrained",
        )  # fmt: skip
        for row, gap in enumerate(gaps):
            for column, kind in enumerate(kinds):
                panel = grid[row, column]
                part = known[(known["gap"] == gap) & (known["gap_kind"] == kind)]
                panel.axhline(0.05 if gap == 0 else power, color=_GREY, lw=1, ls="--")
                for number, colour in zip(numbers, colours, strict=True):
                    own = part[part["annotators"] == number].sort_values("requests")
                    panel.fill_between(own["requests"], own["low"], own["high"], color=colour, alpha=0.18, lw=0)
                    panel.plot(own["requests"], own["power"], "o-", color=colour, ms=3, lw=1.4, label=f"{number:g}")
                if row == 0:
                    panel.set_title(_TITLES[kind], fontsize=9)
                if column == 0:
                    panel.set_ylabel("no gap" if gap == 0 else f"gap {gap:g}")
                _axes(panel, requests)
        grid[-1, len(kinds) // 2].set_xlabel(f"requests, each of {users} user{'s' * (users > 1)}")
        handles = {
            label: line for panel in grid.flat for line, label in zip(*panel.get_legend_handles_labels(), strict=True)
        }
        labels = sorted(handles, key=float)
        figure.legend(
            [handles[label] for label in labels], labels, title="annotators", frameon=False,
            loc="outside lower center", ncols=len(labels),
        )  # fmt: skip
        room_for_stamp(figure)
    return figure


def _axes(panel: Axes, sizes: list[int]) -> None:
    panel.set_xscale("log")
    ticks = sizes if len(sizes) < 4 else [sizes[0], sizes[len(sizes) // 2], sizes[-1]]
    panel.set_xticks(ticks, [f"{size:,}" for size in ticks])
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set(ylim=(-0.03, 1.03), yticks=[0, 0.5, 1], xlim=(0.85 * sizes[0], 1.18 * sizes[-1]))
    panel.yaxis.set_major_formatter("{x:.0%}")
    bare(panel)
