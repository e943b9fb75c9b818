"""Figures of explicit mentions: how often, what they are worth to whom (Figure 6), generators as judges (Figure 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from recenter_utils.figures.raters import KINDS
from recenter_utils.figures.style import PALETTE, STYLE, bare, nothing, room_for_stamp

_WIDTH = 4.8  # inches: a phone shows these figures whole, and their words can be read
_GREY = "#555555"

#: For each detector its words, marker, colour, and how far off the row it is drawn.
_DETECTORS = {"llm": ("the model", "o", PALETTE[0], -0.14), "lexical": ("the words alone", "s", PALETTE[1], 0.14)}
#: The same for each way to take a gap.
_GAPS = {
    "pooled": ("pooled", "o", PALETTE[1], -0.16),
    "adjusted": ("adjusted for generator", "D", PALETTE[0], 0.16),
}
_PEOPLE = PALETTE[2]
#: How far from its point a name may stand, in points, and in which directions, to the right and up.
_REACH = (9, 18, 30, 45, 65, 90)
_WAYS = ((0.7, 1), (-0.7, 1), (0.7, -1), (-0.7, -1), (1, 0), (-1, 0), (0, 1.4), (0, -1.4))


def mention_rates(rates: pd.DataFrame) -> Figure:
    """Draw how often each detector finds an attribute named, a row a generator, with intervals over requests.

    rates: the table `mention_rates`, which has the row over all generators first. The others are drawn by the first
    detector's rate; one without a rate has a row without a mark.
    """
    if rates.empty:
        return nothing("There are no responses to look through.")
    first = rates[rates["detector"] == rates["detector"].iloc[0]]
    rows = [first["generator"].iloc[0], *first.iloc[1:].sort_values("value")["generator"]]
    with plt.rc_context(STYLE | {"font.size": 9}):
        figure, panel = plt.subplots(figsize=(_WIDTH, 1.6 + 0.42 * len(rows)), layout="constrained")
        for kind, own in rates.groupby("detector_kind", sort=False):
            _marks(panel, own.set_index("generator").reindex(rows), _DETECTORS[str(kind)])
        panel.set(xlim=(-0.02, 1.02), xlabel="attributes named outright (95% interval over requests)")
        panel.xaxis.set_major_formatter("{x:.0%}")
        _rows(figure, panel, rows)
    return figure


def mention_gaps(found: pd.DataFrame, names: Mapping[str, str]) -> Figure:
    """Draw each rater's gap between comparisons with and without a mention, pooled and adjusted (Figure 6).

    found: rows of the table `mention_gaps` over all generators. Annotators are drawn above models, and each by the
    adjusted gap. names: what the figure calls a rater; others by their name. What is undefined has no mark, and its
    reason in the table.
    """
    order = found[found["statistic"] == "adjusted"].assign(model=found["rater_kind"] == "llm")
    raters = order.sort_values(["model", "value", "rater"])["rater"].to_list()
    if not raters:
        return nothing("Nobody has rated a comparison.")
    with plt.rc_context(STYLE | {"font.size": 9}):
        figure, panel = plt.subplots(figsize=(_WIDTH, 1.7 + 0.46 * len(raters)), layout="constrained")
        panel.axvline(0, color=_GREY, lw=1.2)
        ways = {name: found[found["statistic"] == name].set_index("rater").reindex(raters) for name in _GAPS}
        before, after = (part["value"].to_numpy(dtype=float) for part in ways.values())
        panel.hlines(np.arange(len(raters)), before, after, color="#cccccc", lw=3, zorder=1)
        for name, part in ways.items():
            _marks(panel, part, _GAPS[name])
        for place in np.flatnonzero(np.isnan(before) & np.isnan(after)):
            panel.annotate("undefined", (0, float(place)), xytext=(5, 0), textcoords="offset points", va="center")
        panel.set_xlabel("rating with an explicit mention less without\n(95% interval over requests)")
        _rows(figure, panel, [names.get(rater, rater) for rater in raters])
    return figure


def generators_and_judges(points: pd.DataFrame, people: pd.DataFrame, word: str) -> Figure:
    """Draw each model's mention rate as a generator against its uplift as a judge, a panel a gap (Figure 7).

    points: the table `generator_judges`. people: the annotators' own gaps, a line with a band each: rows of the table
    `mention_gaps`; none draw none. word: what the study's annotators are called.
    """
    drawn = points.dropna(subset=["rate", "uplift"])
    ways = [name for name in _GAPS if (drawn["statistic"] == name).any()]
    if not ways:
        return nothing("No model is both a generator and a judge.")
    with plt.rc_context(STYLE | {"font.size": 9}):
        figure, panels = plt.subplots(
            len(ways), 1, figsize=(_WIDTH, 1.2 + 3.4 * len(ways)), sharex=True, sharey=True, layout="constrained",
            squeeze=False,
        )  # fmt: skip
        for panel, name in zip(panels[:, 0], ways, strict=True):
            _points(panel, drawn[drawn["statistic"] == name])
            for line in people[(people["statistic"] == name) & people["value"].notna()].to_dict("records"):
                panel.axhline(line["value"], color=_PEOPLE, lw=1.4, ls="--", label=f"{word}, with their interval")
                if pd.notna(line["low"]):
                    panel.axhspan(line["low"], line["high"], color=_PEOPLE, alpha=0.15, lw=0)
            panel.set_title(_GAPS[name][0], fontsize=9.5, loc="left")
            panel.set(ylabel="as a judge: points for a mention", xlim=(-0.03, 1.03))
            panel.margins(y=0.12)
            bare(panel)
        panels[-1][0].set_xlabel("as a generator: attributes named outright")
        panels[-1][0].xaxis.set_major_formatter("{x:.0%}")
        figure.legend(*panels[0][0].get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=1)
        room_for_stamp(figure)
        figure.draw_without_rendering()  # names are placed where everything else stands already
        for panel, name in zip(panels[:, 0], ways, strict=True):
            levels = people.loc[people["statistic"] == name, "value"].dropna()
            _names(figure, panel, drawn[drawn["statistic"] == name], [0.0, *levels])
    return figure


def _points(panel: Axes, drawn: pd.DataFrame) -> None:
    colour = KINDS["llm"][1]
    panel.axhline(0, color="#999999", lw=1)
    panel.hlines(drawn["uplift"], drawn["rate_low"], drawn["rate_high"], color=colour, lw=1.2, alpha=0.6)
    panel.vlines(drawn["rate"], drawn["uplift_low"], drawn["uplift_high"], color=colour, lw=1.2, alpha=0.6)
    words = "models, with 95% intervals"
    panel.plot(drawn["rate"], drawn["uplift"], "o", color=colour, ms=7, mec="white", label=words)


def _marks(panel: Axes, rows: pd.DataFrame, look: tuple[str, str, Any, float]) -> None:
    label, marker, colour, shift = look
    at = np.arange(len(rows)) + shift
    panel.hlines(at, rows["low"].astype(float), rows["high"].astype(float), color=colour, lw=1.5)
    panel.plot(rows["value"].astype(float), at, marker, color=colour, ms=6.5, mec="white", label=label, zorder=3)


def _rows(figure: Figure, panel: Axes, names: Sequence[str]) -> None:
    panel.set_yticks(range(len(names)), names)
    panel.set_ylim(len(names) - 0.4, -0.6)
    figure.legend(*panel.get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=2)
    bare(panel)
    room_for_stamp(figure)


def _names(figure: Figure, panel: Axes, points: pd.DataFrame, levels: Sequence[float]) -> None:
    """Write a name beside each point, where it covers no point, no other name and, if there is room, no line.

    A name that has to go far has a line to its point. levels: where lines go from side to side.
    """
    panel.autoscale(False)
    pixels = figure.dpi / 72  # of a point, the unit of offsets
    spots = panel.transData.transform(points[["rate", "uplift"]])
    taken = [Bbox.from_extents(*(spot - 5 * pixels), *(spot + 5 * pixels)) for spot in spots]
    ends = (("rate_low", "uplift", "rate_high", "uplift"), ("rate", "uplift_low", "rate", "uplift_high"))
    lines = [
        Bbox(panel.transData.transform(np.reshape(row, (2, 2)))).padded(pixels)
        for side in ends
        for row in points[list(side)].dropna().to_numpy()
    ]
    heights = panel.transData.transform([(0, level) for level in levels])[:, 1]
    lines += [Bbox.from_extents(panel.bbox.x0, height, panel.bbox.x1, height).padded(pixels) for height in heights]
    for name, place, spot in zip(points["model"], points[["rate", "uplift"]].to_numpy(), spots, strict=True):
        label = panel.annotate(name, tuple(place), xytext=(0, 0), textcoords="offset points", fontsize=8.5, va="center")
        label.set_in_layout(False)
        size = label.get_window_extent()
        boxes = [_beside(spot, size.width, size.height, pixels * reach, *way) for reach in _REACH for way in _WAYS]
        faults = [
            20 * sum(box.overlaps(other) for other in taken)
            + 40 * (not np.array_equal(Bbox.union([panel.bbox, box]).extents, panel.bbox.extents))
            + sum(box.overlaps(line) for line in lines)
            for box in boxes
        ]
        best = int(np.argmin(faults))
        box = boxes[best]
        label.set_position(((box.x0 - spot[0]) / pixels, (box.y0 + box.height / 2 - spot[1]) / pixels))
        if best >= len(_WAYS):
            end = np.clip(spot[0], box.x0, box.x1), box.y0 + box.height / 2
            panel.plot(*panel.transData.inverted().transform([spot, end]).T, color="#999999", lw=0.6, zorder=1)
        taken.append(box)


def _beside(spot: Any, width: float, height: float, reach: float, x: float, y: float) -> Bbox:
    """Return where a text of this size stands, in pixels, when it goes from a point into a direction."""
    left = spot[0] + reach * x - width * (1 - np.sign(x)) / 2
    return Bbox.from_bounds(left, spot[1] + reach * y - height / 2, width, height)
