"""Figures of selectors: how a trained one learned, and precision, recall and F1 of all of them (Figure 4)."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from recenter_utils.figures.raters import KINDS
from recenter_utils.figures.style import PALETTE, STYLE, bare, nothing, room_for_stamp

#: Rows that read nothing: one is a line in each panel, the others are in the table only.
EVERYTHING = "select everything"

_TITLES = {"all": "all pairs", "test": "held-out pairs"}
#: A mean over people and simulated annotators together, which is of no single kind.
_MIXED = {"mixed": ("people and simulated annotators", "#555555")}

_MARKS = {"precision": "<", "recall": ">"}


def learning(history: pd.DataFrame, beta: float) -> Figure:
    """Draw the loss on the training part and F-beta and average precision on validation, epoch by epoch.

    history: columns epoch, loss, f_beta, average_precision and kept; no rows where nothing was trained.
    """
    if history.empty:
        return nothing("No selector was trained.")
    score = "F1" if beta == 1 else f"F-beta (beta {beta:g})"
    with plt.rc_context(STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
        left.plot(history["epoch"], history["loss"].astype(float), "o-", color=PALETTE[7])
        left.set(ylabel="mean loss on the training part", ylim=(0, None))
        for column, words, colour in (
            ("f_beta", score, PALETTE[3]),
            ("average_precision", "average precision", PALETTE[0]),
        ):
            right.plot(history["epoch"], history[column].astype(float), "o-", color=colour, label=words)
        right.set(ylabel="on the validation part", ylim=(0, 1.02))
        for panel in (left, right):
            for epoch in history.loc[history["kept"], "epoch"]:
                panel.axvline(epoch, color="#777777", ls="--", lw=1, label="epoch that is kept")
            panel.set(xlabel="epoch")
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
            bare(panel)
        right.legend(frameon=False)
        room_for_stamp(figure)
    return figure


def selector_curve(curve: pd.DataFrame, base_rate: float, threshold: float) -> Figure:
    """Draw the trained selector's precision against recall on the test part, and where its threshold falls.

    curve: columns precision, recall and threshold. base_rate: share of relevant pairs, the precision of selecting
    blindly.
    """
    if curve.empty:
        return nothing("There is no trained selector, or no relevant pair in the test part.")
    with plt.rc_context(STYLE):
        figure, panel = plt.subplots(figsize=(7, 4.2), layout="constrained")
        panel.axhline(base_rate, color="#777777", ls="--", lw=1, label=f"selecting blindly ({base_rate:.2f})")
        recall = np.concatenate([[0.0], curve["recall"]])
        precision = np.concatenate([curve["precision"].iloc[:1], curve["precision"]])
        panel.step(recall, precision, where="pre", color=PALETTE[3], lw=1.8, label="at every threshold")
        chosen = curve[curve["threshold"] >= threshold]
        if len(chosen):
            last = chosen.iloc[-1]
            panel.plot(
                last["recall"], last["precision"], "D", color=PALETTE[3], ms=9, mec="white",
                label="its threshold, chosen on validation",
            )  # fmt: skip
        panel.set(
            xlabel="recall: share of the relevant pairs that are selected",
            ylabel="precision: share of the selected that are relevant",
            xlim=(-0.02, 1.02),
            ylim=(0, 1.03),
        )
        panel.legend(frameon=False)
        bare(panel)
        room_for_stamp(figure)
    return figure


def selection_quality(scores: pd.DataFrame) -> Figure:
    """Draw each selector's F1 with its interval, and precision and recall beside it; a panel a set of pairs (Figure 4).

    scores: the table `selection_scores`. A selector without answers in a set has no marks in that panel.
    """
    shown = scores[scores["rater_kind"].notna()]
    if shown.empty:
        return nothing("No selector has been held against a reference.")
    everything = scores[(scores["selector"] == EVERYTHING) & (scores["metric"] == "f1")].set_index("items")["value"]
    lines = {items: (float(value), f"{EVERYTHING} ({value:.2f})") for items, value in everything.dropna().items()}
    titles = {items: f"{_TITLES[str(items)]} ({n:,})" for items, n in shown.groupby("items")["n"].max().items()}
    return _panels(shown, lines, titles, "F1 (line: 95% interval over requests)")


def ceiling(scores: pd.DataFrame) -> Figure:
    """Draw the mean F1 of annotators against the others, and of selectors on the same pairs and references.

    scores: the rows of the mean over annotators in `left_out_scores`. The dashed line is the annotators' own.
    """
    scores = scores.assign(rater_kind=scores["rater_kind"].where(scores["rater_kind"].notna(), "mixed"))
    if scores.empty:
        return nothing("Holding annotators against each other takes two annotators of the same pairs.")
    own = scores[scores["rater_kind"].isin(["human", "simulated", *_MIXED]) & (scores["metric"] == "f1")].set_index(
        "items"
    )["value"]
    lines = {items: (float(value), f"annotators ({value:.2f})") for items, value in own.dropna().items()}
    return _panels(scores, lines, dict(_TITLES), "mean F1 (line: 95% interval over requests)")


def _panels(scores: pd.DataFrame, lines: dict[Any, tuple[float, str]], titles: dict[Any, str], words: str) -> Figure:
    f1 = scores[scores["metric"] == "f1"]
    place = f1["rater_kind"].map([*_MIXED, *KINDS].index)
    # On the pairs that all have, where there are any.
    rank = f1.assign(place=place, late=f1["items"] != "all").sort_values(["place", "late", "value", "selector"])
    names = list(dict.fromkeys(rank["selector"]))
    sets = [items for items in _TITLES if (scores["items"] == items).any()]
    with plt.rc_context(STYLE):
        # One above the other, so that a phone shows them at a size that can be read.
        figure, panels = plt.subplots(
            len(sets), 1, figsize=(6.4, 1.3 + len(sets) * (0.7 + 0.3 * len(names))), sharex=True, layout="constrained",
            squeeze=False,
        )  # fmt: skip
        for panel, items in zip(panels[:, 0], sets, strict=True):
            _selectors(panel, scores[scores["items"] == items], names)
            if items in lines:
                value, label = lines[items]
                panel.axvline(value, color="#777777", ls="--", lw=1)
                panel.annotate(
                    label, (value, 1), xycoords=("data", "axes fraction"), xytext=(3, -2), fontsize=8, color="#555555",
                    textcoords="offset points", va="top",
                )  # fmt: skip
            panel.set_title(titles[items], fontsize=10)
            panel.set(xlim=(-0.02, 1.02))
            panel.set_yticks(range(len(names)), names)
            panel.set_ylim(len(names) - 0.5, -1.0)
            bare(panel)
        panels[-1][0].set(xlabel=words)
        kinds = [drawn for kind, drawn in (_MIXED | KINDS).items() if (scores["rater_kind"] == kind).any()]
        marks = [plt.Line2D([], [], marker="o", ls="", color=colour, label=name) for name, colour in kinds]
        marks += [
            plt.Line2D([], [], marker=mark, ls="", color="#555555", mfc="none", label=name)
            for name, mark in _MARKS.items()
        ]
        figure.legend(handles=marks, frameon=False, loc="outside lower center", ncols=3)
        room_for_stamp(figure)
    return figure


def _selectors(panel: Axes, scores: pd.DataFrame, names: list[str]) -> None:
    for one in scores[scores["metric"].isin(["f1", *_MARKS])].to_dict("records"):
        row, colour = names.index(one["selector"]), (_MIXED | KINDS)[one["rater_kind"]][1]
        if one["metric"] == "f1":
            panel.hlines(row, one["low"], one["high"], color=colour, lw=2)
            panel.plot(one["value"], row, "o", color=colour, ms=7, zorder=3)
        else:
            panel.plot(one["value"], row, _MARKS[one["metric"]], color=colour, mfc="none", ms=6)
