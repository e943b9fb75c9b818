"""Figures of verifiers: precision against recall, and acceptance before and after refinement."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recenter_utils.figures.style import PALETTE, STYLE, bare, room_for_stamp

#: What each prompt's rows are drawn with.
_MARKERS = {"instruction": "o", "criteria": "^"}


def precision_recall(curve: pd.DataFrame, scores: pd.DataFrame, base_rate: float, threshold: float) -> Figure:
    """Draw the trained verifier's precision against recall, and every other verifier as a point.

    curve: columns precision, recall, threshold; may be empty. scores: the table `verifier_scores`. base_rate: share of
    problematic attributes, the precision of flagging blindly. threshold: the trained verifier's, marked on its curve.
    """
    wide = scores.pivot(index=["verifier", "rater_kind"], columns="metric", values="value").reset_index()
    prompted = wide[wide["rater_kind"] == "llm"] if len(wide) else wide
    with plt.rc_context(STYLE):
        figure, panel = plt.subplots(figsize=(8, 4.8), layout="constrained")
        if base_rate == base_rate:
            panel.axhline(base_rate, color="#777777", ls="--", lw=1, label=f"flagging blindly ({base_rate:.2f})")
        _trained(panel, curve, wide, threshold)
        models: dict[str, str] = {}
        for row in prompted.to_dict("records"):
            model, _, prompt = str(row["verifier"]).rpartition(" (")
            colour = models.setdefault(model, PALETTE[(1 + len(models)) % len(PALETTE)])
            if row["precision"] == row["precision"] and row["recall"] == row["recall"]:
                marker = _MARKERS.get(prompt.rstrip(")"), "o")
                panel.plot(row["recall"], row["precision"], marker, color=colour, ms=8, mec="white", zorder=3)
        handles, labels = panel.get_legend_handles_labels()
        handles += [plt.Line2D([], [], marker="s", ls="", color=colour) for colour in models.values()]
        handles += [plt.Line2D([], [], marker=m, ls="", color="#555555") for m in _MARKERS.values() if models]
        labels += [*models, *(f"with the {prompt}" for prompt in _MARKERS if models)]
        panel.set(
            xlabel="recall: share of the problems that are flagged",
            ylabel="precision: share of flags that are problems",
            xlim=(-0.02, 1.02),
            ylim=(0, 1.03),
        )
        panel.legend(handles, labels, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
        bare(panel)
        room_for_stamp(figure)
    return figure


def _trained(panel: Axes, curve: pd.DataFrame, wide: pd.DataFrame, threshold: float) -> None:
    if curve.empty:
        return
    name = str(wide.loc[wide["rater_kind"] == "trained", "verifier"].iloc[0])
    panel.step(curve["recall"], curve["precision"], where="post", color=PALETTE[0], lw=2, label=name)
    chosen = curve[curve["threshold"] >= threshold]
    if len(chosen):
        last = chosen.iloc[-1]
        panel.plot(
            last["recall"], last["precision"], "D", color=PALETTE[0], ms=9, mec="white", zorder=4,
            label="its threshold, chosen on validation",
        )  # fmt: skip


def before_after(acceptance: pd.DataFrame) -> Figure:
    """Draw acceptance before and after refinement, a row a judge. Columns judge, group, value, low, high.

    Groups are drawn in their order, each in its colour; intervals over users.
    """
    judges, groups = list(acceptance["judge"].unique()), list(acceptance["group"].unique())
    with plt.rc_context(STYLE):
        figure, panel = plt.subplots(
            figsize=(7.5, 2.0 + max(1, len(judges)) * (0.2 + 0.16 * len(groups))), layout="constrained"
        )
        offsets = np.linspace(-0.3, 0.3, max(2, len(groups)))
        for place, group in enumerate(groups):
            part = acceptance[acceptance["group"] == group]
            rows = np.array([judges.index(judge) for judge in part["judge"]]) + offsets[place]
            panel.hlines(rows, part["low"], part["high"], color=PALETTE[place], lw=1.5)
            panel.plot(part["value"], rows, "o", color=PALETTE[place], ms=6, label=group)
        panel.set_yticks(range(len(judges)), judges)
        panel.set_ylim(len(judges) - 0.5, -0.5)
        panel.set(xlabel="share of judgments that accept (95% interval over users)", xlim=(-0.02, 1.02))
        figure.legend(*panel.get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=2)
        bare(panel)
        room_for_stamp(figure)
    return figure
