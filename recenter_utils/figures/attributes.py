"""Figures of attributes as models give them."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
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
    sources = list(counts["source"].unique())
    places = counts["source"].map(sources.index).to_numpy(float)
    rng = np.random.default_rng(0)  # beside one another, so that equal counts are seen; the same in each run
    with plt.rc_context(STYLE):
        figure, panel = plt.subplots(figsize=(7, 3.8), layout="constrained")
        for stage, beside, colour in (("extracted", -0.2, "#b0b0b0"), ("merged", 0.2, PALETTE[0])):
            spread = places + beside + rng.uniform(-0.09, 0.09, len(counts))
            panel.scatter(spread, counts[stage], s=16, alpha=0.7, color=colour, linewidths=0, label=stage)
        panel.set_xticks(range(len(sources)), sources)
        panel.grid(visible=False, axis="x")
        panel.set(xlabel="", ylabel="attributes of one user", ylim=(0, None))
        panel.legend(title="", frameon=False)
        bare(panel)
        room_for_stamp(figure)
    return figure
