"""Figures to look into: in the book from its own files, in JupyterLab by its plotly extension."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly
import plotly.graph_objects as go

from recenter_utils.report import badge

#: The library that pages of the book load, which `book` puts there.
LIBRARY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
_CONFIG = {"responsive": True, "displayModeBar": False}
#: Read well on a light page and on a dark one.
_GREY, _LINES = "#7a7a7a", "rgba(128,128,128,0.25)"


class Plot:
    """A plotly figure as an output that both the book and JupyterLab can show."""

    def __init__(self, figure: go.Figure, caption: str, origin: str, alt: str) -> None:
        self.figure = figure
        self.caption = f'<p class="output-caption">{html.escape(caption)} {badge(origin)}</p>'
        self.alt = html.escape(alt)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        plain = self.figure.to_json()
        # The book's own script draws it (book.js). In JSON `\\u003c` is `<`, which in a page could end a script.
        drawn = json.dumps(json.loads(plain) | {"config": _CONFIG}).replace("<", "\\u003c")
        page = (
            f'{self.caption}<div class="plot" role="img" aria-label="{self.alt}">'
            f'<script type="application/json">{drawn}</script></div>'
        )
        return {"application/vnd.plotly.v1+json": json.loads(plain), "text/html": page}


def kappa_explorer(pairs: pd.DataFrame, raters: pd.DataFrame, names: Mapping[str, str], origin: str) -> Plot:
    """Draw the kappa matrix with numbers under the pointer, and a menu that picks one rater out.

    pairs: columns of the table `relevance_agreement`. raters: of `relevance_raters`; it gives the order. names: what
    the page calls each rater. origin: where the numbers come from.
    """
    order = [rater for rater in raters["rater"] if rater in set(pairs["rater_a"]) | set(pairs["rater_b"])]
    both = pd.concat([pairs, pairs.rename(columns={"rater_a": "rater_b", "rater_b": "rater_a"})])
    cells = both.assign(said=_hover(both, names)).set_index(["rater_a", "rater_b"])
    shown = [names.get(rater, rater) for rater in order]
    grid = np.array([[_cell(cells, one, other, "value", np.nan) for other in order] for one in order], dtype=float)
    words = [[_cell(cells, one, other, "said", "") for other in order] for one in order]
    figure = go.Figure(
        go.Heatmap(
            z=grid.reshape(len(order), len(order)), x=shown, y=shown, text=words, zmin=0, zmax=1, colorscale="Blues",
            showscale=False, texttemplate="%{z:.2f}", hovertemplate="%{text}<extra></extra>", xgap=1, ygap=1,
        )
    )  # fmt: skip
    buttons = [_button("all raters", len(order), 0, {"yaxis.autorange": "reversed", "xaxis.title.text": ""})]
    for place, rater in enumerate(order, 1):
        own = cells.loc[[key for key in cells.index if key[0] == rater]].reset_index().sort_values("value")
        value = own["value"].astype(float)
        figure.add_bar(
            x=value, y=[names.get(other, other) for other in own["rater_b"]], orientation="h", visible=False,
            error_x={"type": "data", "symmetric": False, "array": own["high"].astype(float) - value,
                     "arrayminus": value - own["low"].astype(float)},
            text=own["said"], textposition="none", hovertemplate="%{text}<extra></extra>", marker={"color": "#0173b2"},
        )  # fmt: skip
        title = f"kappa with {names.get(rater, rater)}"
        buttons.append(_button(title, len(order), place, {"yaxis.autorange": True, "xaxis.title.text": title}))
    figure.update_layout(
        height=480, margin={"l": 10, "r": 10, "t": 60, "b": 10}, showlegend=False,
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", font={"color": _GREY},
        updatemenus=[{"buttons": buttons, "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"}],
    )  # fmt: skip
    figure.update_xaxes(automargin=True, gridcolor=_LINES, zeroline=False)
    figure.update_yaxes(automargin=True, autorange="reversed", showgrid=False)
    alt = "A square of raters in which darker cells agree more, and a menu that shows one rater's row."
    return Plot(figure, "Cohen's kappa of every two raters on relevance.", origin, alt)


def _hover(pairs: pd.DataFrame, names: Mapping[str, str]) -> list[str]:
    said = []
    for row in pairs.to_dict("records"):
        who = f"{names.get(row['rater_a'], row['rater_a'])} with {names.get(row['rater_b'], row['rater_b'])}"
        if pd.isna(row["value"]):
            said.append(f"{who}: undefined ({row['reason']})")
            continue
        ends = "" if pd.isna(row["low"]) else f" ({row['low']:.2f} to {row['high']:.2f})"
        said.append(f"{who}: κ {row['value']:.2f}{ends}, {row['n']:,} pairs")
    return said


def _cell(cells: pd.DataFrame, one: str, other: str, column: str, without: Any) -> Any:
    return cells.at[(one, other), column] if (one, other) in cells.index else without


def _button(label: str, raters: int, place: int, axes: dict[str, Any]) -> dict[str, Any]:
    visible = [number == place for number in range(raters + 1)]
    return {"label": label, "method": "update", "args": [{"visible": visible}, axes]}
