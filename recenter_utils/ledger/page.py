"""How pages show the ledger: narrow enough for a phone, every number beside where it comes from."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from IPython.display import HTML

from recenter_utils.ledger.lines import STAGES, shared
from recenter_utils.ledger.recomputed.finding import Finding
from recenter_utils.published import ORIGIN
from recenter_utils.report import badge

_PLACES = {"holds": "holds it", "below": "below it", "above": "above it"}
_QUALIFIERS = {"about": "≈ ", "above": "> ", None: ""}


def ledger(lines: pl.DataFrame, stage: int, origin: str) -> HTML:
    """Return one stage of the table `ledger`: finding and why the numbers differ, published, this study's.

    What differs in every line is said once, in the caption. Below an interval stands where it is beside the published
    number. origin: of this study's numbers.
    """
    rows = lines.filter(stage=stage)
    always = shared(rows)
    caption = f"Stage {stage}, {STAGES[stage].lower()}: published {badge(ORIGIN)} beside this study {badge(origin)}."
    if always:
        caption += f" In every line: {html.escape('; '.join(always))}."
    body = "".join(_line(row, always) for row in rows.to_dicts())
    head = '<tr><th class="text">finding, and why the two differ</th>' + "".join(
        f'<th class="number">{words}</th>' for words in ("published", "this study")
    )
    return HTML(_table(caption, f"<thead>{head}</tr></thead><tbody>{body}</tbody>"))


def recomputed(found: Sequence[Finding], stage: int) -> HTML:
    """Return what was recomputed of one stage: what is printed, what the arithmetic gives, what follows."""
    tables = []
    for one in (one for one in found if one.stage == stage):
        said = {"printed": one.printed, "arithmetic": one.arithmetic, "what follows": one.follows}
        rows = "".join(
            f'<tr><th class="text">{words}</th><td class="text">{html.escape(text)}</td></tr>'
            for words, text in said.items()
        )
        tables.append(_table(f"{html.escape(one.about)} {badge(ORIGIN)}", f"<tbody>{rows}</tbody>"))
    return HTML("".join(tables))


def _line(row: Mapping[str, Any], always: list[str]) -> str:
    name = f" ({html.escape(row['name'])})" if row["name"] else ""
    notes = [reason for reason in row["why"] if reason not in always]
    if row["value"] is None:
        said = row["reason"] or ""
        here = "–"
    else:
        said = "; ".join(notes)
        here = f"{row['value']:.3f}{_small(*_ends(row))}"
    published = f"{_QUALIFIERS[row['qualifier']]}{row['published']:.3f}{_small(row['source'], row['tag'])}"
    finding = f"{html.escape(row['finding'])}{name}{_small(said)}"
    return f'<tr><td class="text">{finding}</td><td class="number">{published}</td><td class="number">{here}</td></tr>'


def _ends(row: Mapping[str, Any]) -> tuple[str, ...]:
    if row["place"] is None:
        return ("no interval",)
    return f"{row['low']:.3f} to {row['high']:.3f}", _PLACES[row["place"]]


def _small(*parts: str) -> str:
    return "".join(f'<br><small style="white-space: normal">{html.escape(words)}</small>' for words in parts if words)


def _table(caption: str, rows: str) -> str:
    return f'<div class="study-table"><table><caption><span>{caption}</span></caption>{rows}</table></div>'
