"""Figures of how personalised responses are rated: generators (Figure 5), models beside annotators (Table 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from recenter_utils.figures.raters import KINDS
from recenter_utils.figures.style import PALETTE, STYLE, bare, nothing, room_for_stamp

_WIDTH = 4.8  # inches: a phone shows these figures whole, and their numbers can be read
_GREY = "#555555"

_ALL = "all generators"
_TOGETHER = "all annotators"


def generator_ratings(scores: pd.DataFrame, word: str) -> Figure:
    """Draw annotators' mean rating of each generator with its interval, models' means, and the share no better.

    scores: the table `preference_scores`. word: what the study's annotators are called. Without annotators models alone
    are drawn.
    """
    rated = scores[scores["statistic"].isin(["mean", "no_better"])].dropna(subset=["value"])
    if rated.empty:
        return nothing("Nobody has rated a comparison.")
    means, shares = (rated[rated["statistic"] == name] for name in ("mean", "no_better"))
    people, models = means[means["rater"] == _TOGETHER], means[means["rater_kind"] == "llm"]
    level = (people if len(people) else models).groupby("generator", sort=False)["value"].mean()
    names = [str(name) for name in level.sort_values(kind="stable").index if name != _ALL]
    names = [_ALL, *names] if len(names) > 1 else names
    place = {name: row for row, name in enumerate(names)}
    with plt.rc_context(STYLE | {"font.size": 9}):
        figure, (left, right) = plt.subplots(
            1, 2, figsize=(_WIDTH, 1.9 + 0.36 * len(names)), layout="constrained", sharey=True, width_ratios=[3, 2]
        )
        left.axvline(3, color=_GREY, lw=1.2, ls="--", label="no preference (3)")
        shown = models[models["generator"].isin(names)]
        if len(shown):
            at = shown["generator"].map(place) - 0.22
            left.plot(shown["value"], at, "|", color=PALETTE[1], ms=8, mew=1.4, label="each model as a judge")
            shown = shares[(shares["rater_kind"] == "llm") & shares["generator"].isin(names)]
            at = shown["generator"].map(place) - 0.22
            right.plot(shown["value"], at, "|", color=PALETTE[1], ms=8, mew=1.4)
        label = f"{word} (line: 95% interval over requests)"
        for panel, part in ((left, people), (right, shares[shares["rater"] == _TOGETHER])):
            for row in part[part["generator"].isin(names)].to_dict("records"):
                _point(panel, row, place[str(row["generator"])], label)
                label = "_"
        left.set_yticks(range(len(names)), names)
        left.set_ylim(-0.6, len(names) - 0.4)
        left.set(xlabel="mean rating (1 to 5)")
        left.margins(x=0.08)
        left.xaxis.set_major_locator(MaxNLocator(5))
        right.set(xlabel="rated 3 or less", xlim=(-0.03, 1.03), xticks=[0, 0.5, 1])
        right.xaxis.set_major_formatter("{x:.0%}")
        figure.legend(*left.get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=1)
        for panel in (left, right):
            bare(panel)
        room_for_stamp(figure)
    return figure


def _point(panel: Axes, row: Mapping[Any, Any], at: float, label: str) -> None:
    colour = KINDS["simulated" if row["rater_kind"] == "simulated" else "human"][1]
    panel.hlines(at, row["low"], row["high"], color=colour, lw=1.8)
    panel.plot(row["value"], at, "o", color=colour, ms=4.5, label=label, zorder=3)


def models_beside_annotators(scores: pd.DataFrame, names: Mapping[str, str]) -> Figure:
    """Draw how much higher each model rates than annotators, and how well it follows them, beside annotators' own.

    A model's correlation is drawn twice: with the mean of all annotators, and hollow with the means that leave one of
    them out, which is what an annotator's own is with.

    scores: the table `preference_scores`. names: what pages call each rater.
    """
    drawn = ["inflation", "spearman", "spearman_left_out"]
    own = scores[(scores["generator"] == _ALL) & scores["statistic"].isin(drawn)]
    wide = own.pivot(index="rater", columns="statistic", values=["value", "low", "high"])
    kinds = dict(zip(own["rater"], own["rater_kind"], strict=True))
    models = [rater for rater in wide.index if kinds[rater] == "llm"]
    if not models or own["value"].isna().all():
        return nothing("There is no model and no annotator to compare.")
    wide = wide.reindex(columns=pd.MultiIndex.from_product([["value", "low", "high"], drawn]))
    models.sort(key=lambda rater: (np.nan_to_num(wide["value"]["inflation"][rater], nan=-9), rater))
    people = [rater for rater in wide.index if rater != _TOGETHER and kinds[rater] != "llm"]
    order: Sequence[str] = [*people, *models]
    with plt.rc_context(STYLE | {"font.size": 9}):
        figure, panels = plt.subplots(
            1, 2, figsize=(_WIDTH, 1.9 + 0.32 * len(order)), layout="constrained", sharey=True
        )
        for panel, statistic in zip(panels, ("inflation", "spearman"), strict=True):
            for row, rater in enumerate(order):
                words, colour = KINDS[kinds[rater]]
                value, low, high = (float(wide[end][statistic][rater]) for end in ("value", "low", "high"))
                if np.isnan(value):
                    if not (rater in people and statistic == "inflation"):
                        panel.annotate("undefined", (0, row), xytext=(4, 0), textcoords="offset points", va="center")
                    continue
                panel.hlines(row, low, high, color=colour, lw=1.8)
                panel.plot(value, row, "o", color=colour, ms=5, label=words, zorder=3)
            panel.axvline(0, color=_GREY, lw=1.2, ls="--")
            bare(panel)
        for row, rater in enumerate(order):
            value, low, high = (float(wide[end]["spearman_left_out"][rater]) for end in ("value", "low", "high"))
            if not np.isnan(value):
                colour, at = KINDS[kinds[rater]][1], row - 0.28
                panels[1].hlines(at, low, high, color=colour, lw=1)
                label = "models, one annotator left out"
                panels[1].plot(value, at, "o", color=colour, mfc="white", ms=4, label=label, zorder=3)
        if people and not np.isnan(level := float(wide["value"]["spearman"][_TOGETHER])):
            panels[1].axvline(level, color=_GREY, lw=1.2, ls=":", label="mean of annotators, each left out in turn")
        panels[0].set_yticks(range(len(order)), [names.get(rater, rater) for rater in order])
        panels[0].set_ylim(-0.6, len(order) - 0.4)
        panels[0].set_xlabel("rating less annotators',\nsame comparisons")
        panels[1].set_xlabel("Spearman's correlation\nwith annotators")
        handles = dict(zip(*reversed(panels[1].get_legend_handles_labels()), strict=True))
        figure.legend(handles.values(), handles.keys(), frameon=False, loc="outside lower center", ncols=1)
        room_for_stamp(figure)
    return figure
