"""Figures of reward models: how well they predict people, what more ratings bring, and noise or taste (§6.3)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from recenter_utils.annotation.annotators import SOMEBODY
from recenter_utils.figures.raters import KINDS
from recenter_utils.figures.style import PALETTE, STYLE, bare, nothing, room_for_stamp

_KINDS = {"trained": ("reward models", KINDS["trained"][1], "D"), "llm": ("judges", KINDS["llm"][1], "o")}

#: Ratio of two numbers of ratings below which their labels would touch.
NEAR = 1.3

#: Whose ratings a model learned from, in words, its colour and mark.
_TEACHERS = {
    "own": ("learned from their own ratings", PALETTE[3], "o"),
    "another": ("from another annotator's", PALETTE[7], "s"),
    "pooled": ("from the mean of all", PALETTE[0], "D"),
}


def reward_models(scores: pd.DataFrame) -> Figure:
    """Draw the Spearman correlation of reward models and judges with the mean rating, and the ceiling beside them.

    scores: the table `reward_scores`.
    """
    rows = scores[(scores["analysis"] == "models") & (scores["measure"] == "spearman")]
    if rows.empty:
        return nothing("Nobody's ratings can be held against annotators'.")
    rows = rows.sort_values(["value", "model"], na_position="first", ignore_index=True)
    with plt.rc_context(STYLE):
        figure, panel = plt.subplots(figsize=(6.4, 1.9 + 0.34 * len(rows)), layout="constrained")
        _ceiling(panel, scores, across=False)
        for kind, (words, colour, mark) in _KINDS.items():
            part = rows[rows["rater_kind"] == kind]
            panel.hlines(part.index, part["low"].astype(float), part["high"].astype(float), color=colour, lw=2)
            if len(part):
                panel.plot(part["value"].astype(float), part.index, mark, color=colour, ms=7, label=words)
        panel.axvline(0, color="#777777", lw=1)
        panel.set_yticks(range(len(rows)), rows["model"])
        panel.set_ylim(-0.6, len(rows) - 0.4)
        panel.set(xlabel="Spearman correlation with annotators' mean rating\n(line: 95% interval over requests)")
        panel.set_xlim(right=1.02)
        _legend(figure, panel, columns=1)
    return figure


def reward_curve(scores: pd.DataFrame) -> Figure:
    """Draw the correlation by the number of ratings that the model learned from, and the ceiling.

    scores: the table `reward_scores`.
    """
    rows = scores[(scores["analysis"] == "curve") & scores["value"].notna()].sort_values("n_ratings")
    if rows.empty:
        return nothing("There is no reward model to follow.")
    x, y = rows["n_ratings"].astype(float), rows["value"].astype(float)
    with plt.rc_context(STYLE):
        figure, panel = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
        _ceiling(panel, scores, across=True)
        colour = _KINDS["trained"][1]
        panel.vlines(x, rows["low"].astype(float), rows["high"].astype(float), color=colour, lw=2)
        panel.plot(x, y, "o-", color=colour, ms=7, label=f"{rows['model'].iloc[0]} (line: lowest and highest draw)")
        panel.axhline(0, color="#777777", lw=1)
        panel.set_xscale("log")
        panel.xaxis.set_minor_locator(NullLocator())
        # A number that stands too near the next one has its point and no label.
        far = [*(after / before > NEAR for before, after in pairwise(x)), True]
        panel.set_xticks(x, [f"{n:,.0f}" if shown else "" for n, shown in zip(x, far, strict=True)])
        panel.set(xlabel="ratings that it learned from", ylabel="Spearman correlation", ylim=(None, 1.02))
        _legend(figure, panel, columns=1)
    return figure


def reward_annotators(scores: pd.DataFrame, names: Mapping[str, str]) -> Figure:
    """Draw how well each annotator is predicted by a model of their own, another annotator's, and the pooled one.

    scores: the table `reward_scores`. names: see `annotators.page_names`.
    """
    rows = scores[(scores["analysis"] == "annotators") & (scores["measure"] == "spearman")]
    rows = rows[rows["value"].notna() & rows["learned_from"].isin(list(_TEACHERS))]
    if rows.empty:
        return nothing("No annotator has enough ratings for a model of their own.")
    shown = rows["annotator"].map(lambda name: names.get(name, SOMEBODY) if isinstance(name, str) else "mean")
    order = list(dict.fromkeys(shown))
    with plt.rc_context(STYLE):
        figure, panel = plt.subplots(figsize=(6.4, 2.0 + 0.62 * len(order)), layout="constrained")
        for step, (teacher, (words, colour, mark)) in enumerate(_TEACHERS.items()):
            part = rows[rows["learned_from"] == teacher]
            place = [order.index(name) + 0.22 * (step - 1) for name in shown[part.index]]
            panel.hlines(place, part["low"].astype(float), part["high"].astype(float), color=colour, lw=1.8)
            panel.plot(part["value"].astype(float), place, mark, color=colour, ms=6, ls="", label=words)
        panel.axvline(0, color="#777777", lw=1)
        panel.set_yticks(range(len(order)), order)
        panel.set_ylim(len(order) - 0.4, -0.6)
        panel.set(xlabel="Spearman correlation with the annotator's ratings\n(line: 95% interval over requests)")
        _legend(figure, panel, columns=2)
    return figure


def _ceiling(panel: Axes, scores: pd.DataFrame, *, across: bool) -> None:
    """Draw the ceiling and its interval, where it is defined, across a panel or from its bottom to its top."""
    found = scores[(scores["analysis"] == "ceiling") & (scores["measure"] == "ceiling") & scores["value"].notna()]
    for row in found.to_dict("records"):
        band, line = (panel.axhspan, panel.axhline) if across else (panel.axvspan, panel.axvline)
        if pd.notna(row["low"]):
            band(row["low"], row["high"], color="#777777", alpha=0.15, lw=0)
        line(row["value"], color="#555555", ls="--", lw=1.2, label="ceiling: what annotators share")


def _legend(figure: Figure, panel: Axes, columns: int = 2) -> None:
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, loc="outside lower center", ncols=columns)
    bare(panel)
    room_for_stamp(figure)
