"""Tables that a reader can search and sort, with all that this takes in the page itself."""

from __future__ import annotations

import html
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import itables
import polars as pl
from IPython.display import HTML
from itables.javascript import generate_init_offline_itables_html

from recenter_utils.report import badge

if TYPE_CHECKING:
    from recenter_utils.study import Study

#: Rows that a page can hold and still open at once on a phone.
MOST = 5_000


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
    named = shown.rename({name: name.replace("_", " ") for name in shown.columns})
    made = itables.to_html_datatable(
        named.to_pandas(),
        connected=False,
        allow_html=False,
        showIndex=False,
        display_logo_when_loading=False,
        maxBytes=0,
        lengthMenu=[10, 25, 100],
        classes="display compact",
        order=[] if sort is None else [[shown.columns.index(sort), "asc"]],
        layout={"topStart": "search", "topEnd": "pageLength", "bottomStart": "info", "bottomEnd": "paging"},
        style="width:100%;margin:0",
    )
    said = f'<p class="output-caption">{html.escape(caption)} {badge(study.origin)}</p>'
    return HTML(f'<div class="searchable">{said}{_library()}{made}</div>')


@cache
def _library() -> str:
    """Return the script of the tables; once is enough for a page, and a second one does no harm."""
    return generate_init_offline_itables_html(Path(itables.__file__).parent / "html" / "dt_bundle.js")
