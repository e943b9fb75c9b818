"""What a notebook shows besides figures: where things come from, tables, and claims."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
import polars as pl
from IPython.display import HTML

from recenter_utils.annotation.markdown import render
from recenter_utils.stats.resampling import Interval

if TYPE_CHECKING:
    from recenter_utils.inference.models import Model
    from recenter_utils.study import Study

#: What each origin means to a reader, in a word and in a sentence.
ORIGIN_TEXT = {
    "simulated": ("SIMULATED", "made up for this workspace: it shows how the tools work and says nothing about people"),
    "model": ("MODEL", "written or judged by a model"),
    "published": ("PUBLISHED", "taken from the paper"),
    "human": ("HUMAN", "written or judged by people"),
}


#: Characters from which a cell is a passage and gets the room of one, and up to which it stays on one line.
_LONG, _SHORT = 60, 32


def badge(origin: str) -> str:
    """Return an origin as HTML labels, one a part."""
    parts = []
    for part in filter(None, origin.split("+")):
        word, sentence = ORIGIN_TEXT[part]
        parts.append(f'<span class="origin origin-{part}" title="{html.escape(sentence)}">{word}</span>')
    return " ".join(parts)


def header(study: Study, models: Iterable[str] = ()) -> HTML:
    """Return the line that opens a page: the study, where its data come from, and which models spoke.

    models: roles in study.yaml whose models the page rests on.
    """
    rows = [f"<strong>{html.escape(study.settings.title)}</strong>", badge(study.origin)]
    for role in models:
        kinds: dict[str, list[str]] = {}
        for model in study.models_of(role):
            kinds.setdefault(_kind(model), []).append(f"<code>{html.escape(model.name)}</code>")
        named = [f"{', '.join(names)} ({kind})" for kind, names in kinds.items()]
        rows.append(f"{role.replace('_', ' ')}: {', '.join(named)}")
    if study.replaced:
        rows.append("changed for this run: " + ", ".join(f"{key} = {value}" for key, value in study.replaced.items()))
    return HTML(f'<p class="study-header">{" · ".join(rows)}</p>')


def introduction(study: Study) -> HTML:
    """Return the study's title, note and origin, as the front page opens."""
    title, note = html.escape(study.settings.title), html.escape(study.settings.note)
    return HTML(f'<p class="study-header"><strong>{title}</strong> {badge(study.origin)}<br>{note}</p>')


def _kind(model: Model) -> str:
    return "rules and MiniLM, no language model" if model.engine == "embedded" else f"asked through {model.engine}"


def show_table(frame: pd.DataFrame | pl.DataFrame, caption: str, study: Study, origin: str | None = None) -> HTML:
    """Return a table with its caption and origin. Every value is escaped: text from chats is text.

    Numbers show three digits, missing values a dash, lists their items behind one another.

    origin: of a table that is not the study's own, such as `published`; the study's origin stays what it is.
    """
    plain = pl.from_pandas(frame) if isinstance(frame, pd.DataFrame) else frame
    sides = ["number" if dtype.is_numeric() else "text" for dtype in plain.dtypes]
    head = _row("th", sides, [name.replace("_", " ") for name in plain.columns])
    body = "".join(_row("td", sides, [text_of(value) for value in row]) for row in plain.iter_rows())
    said = f"<span>{html.escape(caption)} {badge(origin or study.origin)}</span>"
    return HTML(
        f'<div class="study-table"><table><caption>{said}</caption>'
        f"<thead>{head}</thead><tbody>{body}</tbody></table></div>"
    )


def show_examples(frame: pl.DataFrame, caption: str, study: Study) -> HTML:
    """Return a table of what was said by or about single users, where the study file lets that be published.

    The page of a study with `publish_text: false` says how many rows there would be, and shows none.
    """
    return show_table(frame, caption, study) if study.settings.publish_text else _withheld(frame, caption, study)


def side_by_side(frame: pl.DataFrame, caption: str, study: Study, folds: Sequence[str] = ()) -> HTML:
    """Return generic responses beside personalised ones, where the study file lets them be published.

    Two columns, one above the other where there is no room for them. Responses are rendered as annotators see them:
    their Markdown keeps its form, and nothing in them is run, loaded or led to.

    frame: request, attributes (list), generator, generic and personalised; a row a page. folds: a line for each page,
    which alone is seen until a reader opens it.
    """
    if not study.settings.publish_text:
        return _withheld(frame, caption, study)
    pages = [_page(row) for row in frame.iter_rows(named=True)]
    if folds:
        pages = [
            f'<details class="fold"><summary>{html.escape(fold)}</summary>{page}</details>'
            for fold, page in zip(folds, pages, strict=True)
        ]
    shown = "".join(pages) or "<p>There are none.</p>"
    said = f'<p class="output-caption">{html.escape(caption)} {badge(study.origin)}</p>'
    return HTML(f'<div class="responses" style="margin: 0 0 1em">{said}{shown}</div>')


def _page(row: Mapping[str, Any]) -> str:
    """Return a request, what is known, and both responses. The styles hold outside the book as well."""
    known = "".join(f"<li>{html.escape(words)}</li>" for words in row["attributes"])
    box = "min-width: 0; overflow: auto; border: 1px solid #8886; border-radius: 0.3em; padding: 0.3em 0.9em"
    columns = "".join(
        f'<div style="{box}"><p><strong>{words}</strong></p>{render(row[condition])}</div>'
        for condition, words in (("generic", "Generic"), ("personalised", "Personalised"))
    )
    return (
        '<div class="page" style="margin: 1em 0 2em; overflow-wrap: anywhere; line-height: 1.4">'
        f"<p><strong>Request.</strong> {html.escape(row['request'])}<br><strong>Generator.</strong> "
        f"<code>{html.escape(row['generator'])}</code><br><strong>Given, for the personalised one:</strong></p>"
        f"<ul>{known}</ul>"
        '<div style="display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20em), 1fr)); gap: 0.8em">'
        f"{columns}</div></div>"
    )


def _withheld(frame: pl.DataFrame, caption: str, study: Study) -> HTML:
    return HTML(
        f'<p class="withheld">{html.escape(caption)} {badge(study.origin)}<br>{len(frame):,} rows are not shown: '
        "<code>publish_text</code> is false in this study's file. They are in its tables.</p>"
    )


def with_interval(found: Interval, form: str) -> str:
    """Return a number with its interval in words, or why it or its interval is undefined.

    form: such as "{:.1%}".
    """
    if found.value != found.value:
        return f"undefined ({found.reason})"
    value = form.format(found.value)
    if found.low != found.low:
        return f"{value} (no interval: {found.reason})"
    return f"{value} (95% interval {form.format(found.low)} to {form.format(found.high)})"


def in_cell(row: Mapping[str, float | None], form: str = "{:.2f}") -> str:
    """Return a row's value with its interval as the text of a cell. Keys value, low and high; None where undefined."""
    if row["value"] is None:
        return "–"
    if row["low"] is None or row["high"] is None:
        return form.format(row["value"])
    return f"{form.format(row['value'])} ({form.format(row['low'])} to {form.format(row['high'])})"


def interval_of(row: Mapping[str, Any]) -> Interval:
    """Return a table's row with value, low, high and reason as a number with its interval; null is undefined."""
    value, low, high = (float("nan") if row[name] is None else row[name] for name in ("value", "low", "high"))
    return Interval(value, low, high, row["reason"] or "")


def claim(sentence: str, study: Study) -> HTML:
    """Return the sentence a page comes down to, with its origin beside it."""
    return HTML(f'<p class="claim">{html.escape(sentence)} {badge(study.origin)}</p>')


def _row(tag: str, sides: list[str], cells: list[str]) -> str:
    filled = [
        (side + " long" * (len(cell) > _LONG) + " short" * (len(cell) <= _SHORT), html.escape(cell))
        for side, cell in zip(sides, cells, strict=True)
    ]
    return "<tr>" + "".join(f'<{tag} class="{side}">{cell}</{tag}>' for side, cell in filled) + "</tr>"


def text_of(value: object) -> str:
    """Return a value as the text of a cell: three digits, a dash where there is none, a list item by item."""
    if isinstance(value, list):
        return " • ".join(map(str, value))
    if value is None or value != value:
        return "–"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
