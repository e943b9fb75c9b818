"""Figures of attributes as models give them."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from recenter_utils.figures.style import PALETTE, STYLE, bare, room_for_stamp


def confidence(attributes: pd.DataFrame, threshold: float) -> Figure:
    """Draw the extractor's confidence, a curve a source. Columns source, confidence; threshold: where the cut was."""
    with plt.rc_context(STYLE):
        figure, panel = plt.subplots(figsize=(7, 3.6), layout="constrained")
        bins = np.linspace(0, 1, 21).tolist()
        for colour, (source, part) in zip(PALETTE, attributes.groupby("source", sort=False), strict=False):
            panel.hist(
                part["confidence"], bins=bins, weights=np.full(len(part), 1 / len(part)), histtype="step", lw=2,
                color=colour, label=f"{source} ({len(part):,})",
            )  # fmt: skip
        panel.axvline(threshold, color="#555555", ls="--", lw=1)
        panel.set(xlabel="confidence the extractor gave", ylabel="share of the source's attributes", xlim=(0, 1))
        panel.legend(title="source (attributes)", frameon=False, loc="upper left")
        bare(panel)
        room_for_stamp(figure)
    return figure


def attributes_per_user(counts: pd.DataFrame) -> Figure:
    """Draw attributes a user before and after merging. Columns source, extracted, merged; a row a user."""
    long = counts.melt(id_vars="source", value_vars=["extracted", "merged"], var_name="stage", value_name="attributes")
    with plt.rc_context(STYLE):
        figure, panel = plt.subplots(figsize=(7, 3.8), layout="constrained")
        sns.stripplot(
            long, x="source", y="attributes", hue="stage", dodge=True, jitter=0.18, size=4, alpha=0.7,
            palette=["#b0b0b0", PALETTE[0]], ax=panel,
        )  # fmt: skip
        panel.set(xlabel="", ylabel="attributes of one user", ylim=(0, None))
        panel.legend(title="", frameon=False)
        bare(panel)
        room_for_stamp(figure)
    return figure
