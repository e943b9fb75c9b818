"""Figures of the ledger: the paper's numbers beside a study's, and beside what their arithmetic gives."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recenter_utils.figures.style import PALETTE, STYLE, bare, nothing, room_for_stamp
from recenter_utils.stats.printed import ROUNDED

#: A panel a unit, in this order, and what is in it.
UNITS = {
    "0 to 1": "shares and F1",
    "-1 to 1": "kappas, correlations, differences of shares",
    "0 to 2": "cosine distances between users",
    "1 to 5": "mean ratings",
    "-4 to 4": "differences of ratings, in points of the scale",
}

_PUBLISHED = "#444444"
_ROW, _PANEL = 0.23, 0.62  # inches


def ledger(lines: pd.DataFrame) -> Figure:
    """Draw each finding's published number and the study's with its 95% interval, a panel a unit.

    lines: the table `ledger`. A finding on which the study has no number shows the published one alone.
    """
    units = [unit for unit in UNITS if (lines["unit"] == unit).any()]
    if not units:
        return nothing("There are no findings to compare with.")
    sizes = [int((lines["unit"] == unit).sum()) + 0.6 for unit in units]
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(
            len(units), 1, figsize=(6.4, 0.9 + len(units) * _PANEL + _ROW * sum(sizes)), layout="constrained",
            squeeze=False, height_ratios=sizes,
        )  # fmt: skip
        for unit, panel in zip(units, panels[:, 0], strict=True):
            _findings(panel, lines[lines["unit"] == unit].reset_index(drop=True))
            panel.set_title(UNITS[unit], fontsize=10, loc="left")
        marks = [plt.Line2D([], [], marker="D", ls="", color=_PUBLISHED, mfc="white", label="published")]
        marks += [
            plt.Line2D([], [], marker="o", color=PALETTE[stage - 1], label=f"this study, stage {stage}")
            for stage in sorted(lines["stage"].unique())
        ]
        figure.legend(handles=marks, frameon=False, loc="outside lower center", ncols=2)
        room_for_stamp(figure)
    return figure


def _findings(panel: Axes, lines: pd.DataFrame) -> None:
    for stage, part in lines.groupby("stage"):
        colour = PALETTE[int(str(stage)) - 1]
        panel.hlines(part.index, part["low"].astype(float), part["high"].astype(float), color=colour, lw=2)
        panel.plot(part["value"].astype(float), part.index, "o", color=colour, ms=6)
    panel.plot(lines["published"].astype(float), lines.index, "D", color=_PUBLISHED, mfc="white", ms=5, mew=1.3)
    panel.set_yticks(range(len(lines)), lines["finding"], fontsize=8)
    panel.set_ylim(len(lines) - 0.5, -0.6)
    panel.tick_params(axis="x", labelsize=8)
    bare(panel)


def printed_and_found(checks: pd.DataFrame) -> Figure:
    """Draw how far printed numbers are from what the arithmetic gives, in units of their last digit.

    checks: columns about and steps: the printed number less the nearest that is possible, in last digits. The band is
    what rounding explains.
    """
    if checks.empty:
        return nothing("No printed number was recomputed.")
    rows = checks.assign(far=checks["steps"].abs()).sort_values("far", kind="stable", ignore_index=True)
    with plt.rc_context(STYLE):
        figure, panel = plt.subplots(figsize=(6.4, 1.5 + 0.26 * len(rows)), layout="constrained")
        panel.axvspan(-ROUNDED, ROUNDED, color="#dddddd", label="explained by rounding")
        panel.axvline(0, color="#777777", lw=1)
        off = rows["far"] > ROUNDED
        for chosen, colour in ((off, PALETTE[3]), (~off, PALETTE[0])):
            part = rows[chosen]
            panel.hlines(part.index, 0, part["steps"], color=colour, lw=1.4)
            panel.plot(part["steps"], part.index, "o", color=colour, ms=6)
        panel.set_xscale("symlog", linthresh=1)
        panel.set_yticks(rows.index, rows["about"], fontsize=8)
        panel.set_ylim(len(rows) - 0.5, -0.6)
        panel.xaxis.set_major_formatter(lambda value, _: f"{value:+g}" if value else "0")
        panel.set(xlabel="printed less recomputed,\nin units of the last printed digit")
        figure.legend(frameon=False, loc="outside lower center")
        bare(panel)
        room_for_stamp(figure)
    return figure
