"""Figures of calibrating judges on few labels."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recenter_utils.figures.style import PALETTE, STYLE, bare, room_for_stamp

#: Colour, marker, words, and how far to the side of its number of labels a method stands.
_METHODS = {"threshold": (PALETTE[0], "o", "threshold", 0.96), "isotonic": (PALETTE[1], "^", "isotonic", 1.04)}
_GREY = "#555555"
_PEOPLE = "#2c6e49"


def calibration(found: pd.DataFrame, people: float, who: str = "an annotator") -> Figure:
    """Draw each judge's F1 against the number of labels it was calibrated on, a panel a judge.

    found: the table `calibration`. people: the annotators' own mean F1, a line in every panel; NaN draws none. who:
    what one of them is called.
    """
    judges = list(dict.fromkeys(found["judge"]))
    columns = min(2, max(1, len(judges)))
    rows = max(1, math.ceil(len(judges) / columns))
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(
            rows, columns, figsize=(4 * columns if columns > 1 else 6, 1.2 + 2.5 * rows), sharex=True, sharey=True,
            squeeze=False, layout="constrained",
        )  # fmt: skip
        panels = list(grid.flat)
        for panel, judge in zip(panels, judges, strict=False):
            _judge(panel, found[found["judge"] == judge], people, who)
            panel.set_title(judge, fontsize=10, loc="left")
        for panel in panels[len(judges) :]:
            panel.axis("off")
        if not judges:
            panels[0].text(0.5, 0.5, "No model has judged a pair.", ha="center", va="center")
        _sizes(panels[: len(judges)], sorted(found.loc[found["n_labels"] > 0, "n_labels"].unique()))
        handles: dict[str, Artist] = {}
        for panel in panels:
            drawn, words = panel.get_legend_handles_labels()
            handles |= dict(zip(words, drawn, strict=True))
        if handles:
            figure.legend(list(handles.values()), list(handles), frameon=False, loc="outside lower center", ncols=2)
        for place, panel in enumerate(panels[: len(judges)]):
            panel.set_ylabel("F1 on other requests" if place % columns == 0 else "")
            panel.set_xlabel("labelled pairs to calibrate on" if place + columns >= len(judges) else "")
        room_for_stamp(figure)
    return figure


def _judge(panel: Axes, rows: pd.DataFrame, people: float, who: str) -> None:
    fixed = rows[rows["n_labels"] == 0].set_index("method")["f1"]
    if people == people:
        panel.axhline(people, color=_PEOPLE, lw=1.2, ls="-", label=f"{who}, against the others")
    for method, style, words in (("best cut", ":", "best cut there is"), ("as it is", "--", "as it is")):
        if method in fixed.index and pd.notna(fixed[method]):
            panel.axhline(fixed[method], color=_GREY, lw=1.2, ls=style, label=words)
    drawn = False
    for method, (colour, marker, words, beside) in _METHODS.items():
        part = rows[(rows["method"] == method) & rows["f1"].notna()].sort_values("n_labels")
        if len(part):
            drawn = True
            at = part["n_labels"] * beside  # so that neither hides the other
            panel.vlines(at, part["low"], part["high"], color=colour, lw=1.2, alpha=0.7)
            panel.plot(at, part["f1"], marker, ls="-", color=colour, ms=5, lw=1.5, label=words)
    if not drawn:
        panel.text(
            0.5, 0.08, "cannot be calibrated here", transform=panel.transAxes, ha="center", fontsize=9, color=_GREY
        )  # fmt: skip
    panel.set_ylim(0, 1)
    bare(panel)


def _sizes(panels: list[Axes], sizes: list[int]) -> None:
    for panel in panels if sizes else ():
        panel.set_xscale("log")
        panel.set_xticks(sizes, [f"{size:,}" for size in sizes])
        panel.set_xlim(0.85 * sizes[0], 1.18 * sizes[-1])
        panel.xaxis.set_minor_locator(plt.NullLocator())
        panel.set_yticks(np.arange(0, 1.01, 0.2))
        panel.tick_params(labelbottom=True)
