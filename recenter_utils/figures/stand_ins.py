"""Figures of judges that may or may not stand in for an annotator."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from recenter_utils.figures.style import PALETTE, STYLE, bare, room_for_stamp

_KINDS = {
    "baseline": ("#777777", "reads nothing"),
    "llm": (PALETTE[0], "model"),
    "retrieval": (PALETTE[1], "retrieval"),
    "trained": (PALETTE[2], "trained"),
    "human": (PALETTE[4], "annotator"),
    "simulated": (PALETTE[3], "simulated annotator"),
}


def stand_ins(found: pd.DataFrame) -> Figure:
    """Draw each judge's advantage probability with its interval, and its winning rate beside it.

    found: the table `alternative_annotators`. Filled points pass the test; a judge without a number has its reason in
    the table, and a dash here.
    """
    rows = found.iloc[::-1].reset_index(drop=True)
    with plt.rc_context(STYLE):
        figure, panel = plt.subplots(figsize=(7.5, 1.9 + 0.36 * max(2, len(rows))), layout="constrained")
        shown: set[str] = set()
        for place, row in enumerate(rows.to_dict("records")):
            kind = row["rater_kind"] if isinstance(row["rater_kind"], str) else "baseline"
            if pd.isna(row["advantage"]):
                panel.annotate("–", (0.02, place), va="center")
                continue
            shown.add(kind)
            colour = _KINDS[kind][0]
            panel.hlines(place, row["low"], row["high"], color=colour, lw=2)
            face = colour if row["passes"] else "white"
            panel.plot(row["advantage"], place, "o", color=colour, markerfacecolor=face, ms=7.5, mew=1.8, zorder=3)
            won = f"{round(row['winning_rate'] * row['n_annotators'])} of {row['n_annotators']}"
            panel.annotate(
                won, (1, place), xycoords=("axes fraction", "data"), xytext=(8, 0), textcoords="offset points",
                va="center", fontsize=9,
            )  # fmt: skip
        if not len(rows):
            panel.text(0.5, 0.5, "No judge to be tested.", ha="center", va="center", transform=panel.transAxes)
        panel.set_yticks(range(len(rows)), list(rows["judge"]))
        panel.set_ylim(-0.6, max(len(rows), 1) - 0.4)
        panel.set(xlabel="advantage probability (95% interval over requests)", xlim=(0, 1.01))
        if shown:
            panel.annotate(
                "may\nreplace", (1, 1), xycoords="axes fraction", xytext=(8, -4), textcoords="offset points",
                va="bottom", fontsize=9,
            )  # fmt: skip
        points = {words: colour for kind, (colour, words) in _KINDS.items() if kind in shown}
        handles = [plt.Line2D([], [], marker="o", ls="", color=colour) for colour in points.values()]
        handles += [
            plt.Line2D([], [], marker="o", ls="", color="#333333", markerfacecolor=face)
            for face in ("#333333", "white")
        ]
        if shown:
            labels = [*points, "passes", "does not pass"]
            figure.legend(handles, labels, frameon=False, loc="outside lower center", ncols=4)
        bare(panel)
        room_for_stamp(figure)
    return figure
