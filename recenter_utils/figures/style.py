"""What every figure shares: colours, the stamp of its origin, and how it is saved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib

# Figures go to files and notebook outputs, never to a window.
matplotlib.use("agg", force=False)

import matplotlib.pyplot as plt
from IPython.display import Image
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recenter_utils.report import ORIGIN_TEXT

if TYPE_CHECKING:
    from recenter_utils.study import Study

#: The colours of seaborn's palette `colorblind`; seaborn itself brings scipy.stats along, a second of each notebook.
PALETTE = (
    "#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#ca9161", "#fbafe4", "#949494", "#ece133", "#56b4e9",
)  # fmt: skip
KIND_COLOURS = {"real": PALETTE[0], "synthetic": PALETTE[1]}
_ORIGIN_COLOURS = {"simulated": "#a3341f", "model": "#4b4f8f", "published": "#5c5c5c", "human": "#2c6e49"}
#: The look of all figures, for `plt.rc_context`.
STYLE: Any = {
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "axes.axisbelow": True,
    "font.size": 10,
    "svg.hashsalt": "recenter",
    "text.parse_math": False,  # names and requests may hold a dollar sign
}


def finish(figure: Figure, study: Study, name: str) -> Image:
    """Stamp the figure with the origin of what the notebook has read, save it, and return the picture for display.

    Saved as figures/<study>/<name>.png (for slides and papers) and .svg; both without a date, so that an
    unchanged study leaves unchanged files.
    """
    parts = study.origin.split("+")
    words = " · ".join(ORIGIN_TEXT[part][0] for part in parts if part)
    figure.text(
        0.995, 0.995, words, ha="right", va="top", fontsize=8, fontweight="bold", color="white",
        bbox={"boxstyle": "round,pad=0.3", "facecolor": _ORIGIN_COLOURS.get(parts[0], "#5c5c5c"), "edgecolor": "none"},
    )  # fmt: skip
    folder = study.figures
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, metadata in ((".png", {"Software": None}), (".svg", {"Date": None})):
        figure.savefig(folder / f"{name}{suffix}", dpi=150, metadata=metadata)
    plt.close(figure)
    return Image(filename=folder / f"{name}.png", width=int(figure.get_figwidth() * 100))


def bare(panel: Axes) -> None:
    """Take off the frame that says nothing."""
    panel.spines[["top", "right"]].set_visible(False)


def room_for_stamp(figure: Figure) -> None:
    """Leave the top edge free for the origin: of a tall figure no more than the stamp needs."""
    engine: Any = figure.get_layout_engine()
    engine.set(rect=(0, 0, 1, max(0.94, 1 - 0.3 / figure.get_figheight())))


def nothing(words: str) -> Figure:
    """Return a figure that says why there is nothing to draw."""
    with plt.rc_context(STYLE):
        figure, panel = plt.subplots(figsize=(7, 1.6), layout="constrained")
        panel.text(0.5, 0.5, words, ha="center", va="center", transform=panel.transAxes)
        panel.axis("off")
        room_for_stamp(figure)
    return figure
