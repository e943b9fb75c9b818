"""Figures of users: who is left, and how far apart they are."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from recenter_utils.figures.style import KIND_COLOURS, PALETTE, STYLE, bare, room_for_stamp


def funnel(steps: pd.DataFrame) -> Figure:
    """Draw users left after each filter, a panel for each source that is filtered. Columns of the table `funnel`."""
    filtered = steps.groupby("source", sort=False).filter(lambda part: len(part) > 1)
    steps = filtered if len(filtered) else steps
    sources = list(steps["source"].unique())
    with plt.rc_context(STYLE):
        height = 1.3 + 0.34 * (steps.groupby("source").size().max() if sources else 1)
        figure, panels = plt.subplots(
            1, max(1, len(sources)), figsize=(max(7.0, 4.2 * len(sources)), height), squeeze=False, layout="constrained"
        )
        for panel, source in zip(panels[0], sources, strict=False):
            part = steps[steps["source"] == source]
            places = np.arange(len(part))
            panel.barh(places, part["users"], color=PALETTE[0])
            panel.barh(places, part["users_dropped"], left=part["users"], color="#d9d9d9")
            for place, left, dropped in zip(places, part["users"], part["users_dropped"], strict=True):
                label = f"{left:,}" + (f"  (−{dropped:,})" if dropped else "")
                panel.annotate(
                    label, (left + dropped, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=9
                )
            panel.set_yticks(places, [step.replace("_", " ") for step in part["step"]])
            panel.invert_yaxis()
            panel.set_xlim(0, part["users"].max() * 1.3 + 1)
            panel.set(title=source, xlabel="users left (grey: dropped here)")
            bare(panel)
        if not sources:
            panels[0][0].set_axis_off()
            panels[0][0].text(0.5, 0.5, "no source of conversations", ha="center", va="center")
        room_for_stamp(figure)
    return figure


def inter_user(diversity: pd.DataFrame) -> Figure:
    """Draw inter-user diversity with its interval, a point a group (Table 1). Columns of the table `diversity`."""
    with plt.rc_context(STYLE):
        figure, panel = plt.subplots(figsize=(7, 1.2 + 0.45 * len(diversity)), layout="constrained")
        places = np.arange(len(diversity))
        colours = [KIND_COLOURS[kind] for kind in diversity["kind"]]
        panel.hlines(places, diversity["low"], diversity["high"], colors=colours, lw=2)
        panel.scatter(diversity["inter_user"], places, color=colours, s=48, zorder=3)
        labels = [f"{group} (n = {n:,})" for group, n in zip(diversity["group"], diversity["n_users"], strict=True)]
        panel.set_yticks(places, labels)
        panel.invert_yaxis()
        panel.set(xlabel="mean cosine distance between users' attributes (95% interval over users)")
        handles = [
            plt.Line2D([], [], color=c, marker="o", label=k)
            for k, c in KIND_COLOURS.items()
            if k in set(diversity["kind"])
        ]
        panel.legend(handles=handles, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0)
        bare(panel)
        room_for_stamp(figure)
    return figure


def user_map(users: pd.DataFrame) -> Figure:
    """Draw users in the plane, the sampled ones filled. Columns x, y, sampled, generalist_score; a row a user."""
    with plt.rc_context(STYLE):
        figure, panel = plt.subplots(figsize=(7, 4.6), layout="constrained")
        left = users[~users["sampled"]]
        chosen = users[users["sampled"]]
        panel.scatter(
            left["x"], left["y"], s=22, facecolors="none", edgecolors="#9a9a9a", label=f"not sampled ({len(left)})"
        )
        dots = panel.scatter(
            chosen["x"],
            chosen["y"],
            s=34,
            c=chosen["generalist_score"],
            cmap="viridis",
            label=f"sampled ({len(chosen)})",
        )
        figure.colorbar(dots, ax=panel, label="generalist score (specialist → generalist)")
        panel.set(xlabel="first principal axis", ylabel="second principal axis")
        panel.legend(frameon=False, loc="best")
        bare(panel)
        room_for_stamp(figure)
    return figure
