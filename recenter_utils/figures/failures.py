"""Figures of why attributes were not accepted."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from recenter_utils.figures.style import KIND_COLOURS, PALETTE, STYLE, bare, room_for_stamp


def failure_shares(shares: pd.DataFrame) -> Figure:
    """Draw each category's share with its interval, a bar a group (Table 5). Columns of the table `failure_shares`,
    with `title` (the category in print); groups and categories in the order of their first rows.
    """
    groups, titles = list(shares["group"].unique()), list(shares["title"].unique())
    colours = {"all real": KIND_COLOURS["real"], "all synthetic": KIND_COLOURS["synthetic"]}
    with plt.rc_context(STYLE):
        height = 1.5 + (0.2 + 0.26 * len(groups)) * max(1, len(titles))
        figure, panel = plt.subplots(figsize=(7.4, height), layout="constrained")
        thick = 0.8 / max(1, len(groups))
        for place, group in enumerate(groups):
            part = shares[shares["group"] == group].set_index("title").reindex(titles)
            at = np.arange(len(titles)) + (place - (len(groups) - 1) / 2) * thick
            label = f"{group} ({part['n_attributes'].max():,.0f} attributes of {part['n_users'].max():,.0f} users)"
            panel.barh(at, part["value"], thick * 0.9, color=colours.get(group, PALETTE[7]), alpha=0.85, label=label)
            panel.hlines(at, part["low"], part["high"], color="#222222", lw=1.4)
        panel.set_yticks(np.arange(len(titles)), titles)
        panel.invert_yaxis()
        panel.set(xlabel="share of the flagged attributes that were sorted (95% interval over users)", xlim=(0, None))
        panel.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        panel.grid(axis="y", visible=False)
        if groups:
            panel.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=1, borderaxespad=0)
        bare(panel)
        room_for_stamp(figure)
    return figure
