"""Figures of GRPO runs."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recenter_utils.figures.style import PALETTE, STYLE, bare, room_for_stamp

#: Each panel's measures in their colours, and what its axis says.
_PANELS = (
    (("reward", PALETTE[0]), ("reward_label", PALETTE[2]), ("reward_format", PALETTE[1])),
    (("length", PALETTE[4]),),
    (("validation_f1", PALETTE[3]),),
)
_AXES = ("reward an answer", "tokens an answer", "F1 on validation pairs")
_WORDS = {
    "reward": "reward",
    "reward_label": "for the label",
    "reward_format": "for the final line",
    "length": "length",
    "validation_f1": "F1",
}


def grpo_curves(curve: pd.DataFrame, note: str = "") -> Figure:
    """Draw how a run went over its steps: reward and its parts, length of answers, and F1 on validation pairs.

    Thin lines are single steps, thick ones their mean over a tenth of the run.

    curve: the table `grpo_curve`. note: what must be read before the curves, such as that they are a smoke run's.
    """
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained")
        for panel, measures, words in zip(panels, _PANELS, _AXES, strict=True):
            for name, colour in measures:
                _line(panel, curve[curve["measure"] == name], colour, _WORDS[name])
            panel.set(xlabel="step", ylabel=words)
            panel.set_ylim(bottom=0)
            bare(panel)
        panels[2].set_ylim(0, 1.02)
        if curve.empty:
            panels[1].text(0.5, 0.5, "nothing was trained", ha="center", va="center", transform=panels[1].transAxes)
        else:
            panels[0].legend(frameon=False, loc="best", fontsize=8)
        if note:
            figure.suptitle(note, x=0.01, ha="left", fontsize=10, fontweight="bold", color="#a3341f")
        room_for_stamp(figure)
    return figure


def _line(panel: Axes, rows: pd.DataFrame, colour: str, words: str) -> None:
    rows = rows.sort_values("step")
    few = len(rows) < 12
    panel.plot(
        rows["step"], rows["value"], color=colour, lw=1, alpha=1 if few else 0.35, marker="o" if few else None, ms=4
    )
    if not few:
        smooth = rows["value"].rolling(max(3, len(rows) // 10), center=True, min_periods=1).mean()
        panel.plot(rows["step"], smooth, color=colour, lw=2, label=words)
    else:
        panel.plot([], [], color=colour, lw=2, label=words)
