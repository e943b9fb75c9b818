"""Tables that a reader can search and sort, with all that this takes in the page itself."""

from __future__ import annotations

import html
import json
import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import itables
import polars as pl
from IPython.display import HTML

from recenter_utils.report import badge, text_of

if TYPE_CHECKING:
    from recenter_utils.study import Study

#: Rows that a page can hold and still open at once on a phone.
MOST = 5_000
_BUNDLE = Path(itables.__file__).parent / "html" / "dt_bundle.js"
#: In JSON the same as `<`, which would begin a tag in a page.
_LESS = "\\u003c"


def searchable_table(
    frame: pl.DataFrame, caption: str, study: Study, *, sort: str | None = None, of: int | None = None
) -> HTML:
    """Return a table with a field to search it, ten rows at a time; where chats may not be published, none of it.

    Every value is text and nothing else: markup in it is shown and not followed. Of more than `MOST` rows the first
    are shown, and the caption says so.

    sort: the column that the rows are sorted by at first. of: how many rows there are, where `frame` has the first.
    """
    number = max(of or 0, len(frame))
    if not study.settings.publish_text:
        return HTML(
            f'<p class="withheld">{html.escape(caption)} {badge(study.origin)}<br>{number:,} rows are not shown: '
            "<code>publish_text</code> is false in this study's file. They are in its tables.</p>"
        )
    shown = frame.head(MOST)
    if number > len(shown):
        caption += f" The first {len(shown):,} of {number:,} rows."
    numbers = [dtype.is_numeric() for dtype in shown.dtypes]
    rows = [[_cell(value, number) for value, number in zip(row, numbers, strict=True)] for row in shown.iter_rows()]
    order = [] if sort is None else [[shown.columns.index(sort), "asc"]]
    data = json.dumps({"rows": rows, "numbers": numbers, "order": order}, ensure_ascii=False)
    head = "".join(f"<th>{html.escape(name.replace('_', ' '))}</th>" for name in shown.columns)
    # The first rows stand in the table itself, for a reader without scripts and until they have run.
    first = "".join(f"<tr>{''.join(map(_td, row))}</tr>" for row in shown.head(10).iter_rows())
    said = f'<p class="output-caption">{html.escape(caption)} {badge(study.origin)}</p>'
    # In a page a script ends at the next `</script`, whatever it is in.
    return HTML(
        f'<div class="searchable">{said}'
        f'<table class="display compact"><thead><tr>{head}</tr></thead><tbody>{first}</tbody></table>'
        f'<script type="application/json">{data.replace("<", _LESS)}</script>{library()}</div>'
    )


def _td(value: object) -> str:
    return f"<td>{html.escape(text_of(value))}</td>"


def _cell(value: object, is_number: bool) -> object:
    if not is_number:
        return text_of(value)
    known = isinstance(value, (int, float)) and math.isfinite(value)
    return [text_of(value), value if known else None]


@cache
def library() -> str:
    """Return style and script of the tables, as they stand beside a table outside the book."""
    return f"<style>{_style()}</style><script>{_script()}</script>"


def write_library(folder: Path) -> None:
    """Write style and script of the tables as the files that pages of the book load."""
    (folder / "datatables.css").write_text(_style(), "utf-8")
    (folder / "datatables.js").write_text(_script(), "utf-8")


def _style() -> str:
    return _BUNDLE.with_suffix(".css").read_text("utf-8")


def _script() -> str:
    """Return the library and what starts it as a script and no module: a module does not load from a folder."""
    bundle, _, end = _BUNDLE.read_text("utf-8").rpartition("export{")
    names, _, licences = end.partition("};")
    named = dict(name.split(" as ")[::-1] for name in names.split(","))
    start = Path(__file__).with_suffix(".js").read_text("utf-8")
    return f'(()=>{{"use strict";{bundle}const DataTable={named["default"]};\n{start}}})();{licences}'
