"""Markdown for the screens: what a model wrote keeps its form, does nothing and leads nowhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup, escape

#: Longer texts, and longer single lines, are shown as plain text: some Markdown of that size takes minutes to read.
LONGEST = 30_000
LONGEST_LINE = 10_000

#: Cells that the tables of a text may come to. A table is as wide as its first row, whatever the other rows hold: a few
#: thousand characters can ask for millions of cells.
MOST_CELLS = 20_000

#: Blocks within blocks that are read as such; deeper ones are text.
DEEPEST = 20

_TAGS = {
    *("p", "br", "hr", "blockquote", "ul", "ol", "li", "pre", "code", "em", "strong", "s", "span", "div"),
    *("h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
}
_ATTRIBUTES = {"ol": {"start"}, "span": {"class"}, "div": {"class", "tabindex"}}
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_NEWLINE = re.compile(r"\r\n?|\n")  # what the parser takes for one


class _Shown(RendererHTML):
    """HTML in which a link is its text and its address, an image its description, and headings fit into the page."""

    def link_open(self, tokens: Sequence[Token], place: int, *_: Any) -> str:
        return '<span class="link">'

    def link_close(self, tokens: Sequence[Token], place: int, *_: Any) -> str:
        opened = _opening(tokens, place)
        address = str(tokens[opened].attrs.get("href", ""))
        said = "".join(token.content for token in tokens[opened + 1 : place])
        shown = "" if said.strip() == address else f' <span class="address">({escape(address)})</span>'
        return f"{shown}</span>"

    def image(self, tokens: Sequence[Token], place: int, options: Any, env: Any) -> str:
        said = self.renderInlineAsText(tokens[place].children or (), options, env).strip()
        return f'<span class="image">[image{": " if said else ""}{escape(said)}]</span>'

    def heading_open(self, tokens: Sequence[Token], place: int, *_: Any) -> str:
        return f"<{_level(tokens[place])}>"

    def heading_close(self, tokens: Sequence[Token], place: int, *_: Any) -> str:
        return f"</{_level(tokens[place])}>\n"

    def table_open(self, *_: Any) -> str:
        return '<div class="wide" tabindex="0"><table>\n'

    def table_close(self, *_: Any) -> str:
        return "</table></div>\n"


def _opening(tokens: Sequence[Token], place: int) -> int:
    depth = 0
    for before in range(place, -1, -1):
        depth += {"link_close": 1, "link_open": -1}.get(tokens[before].type, 0)
        if depth == 0:
            return before
    raise AssertionError("a link is closed that was never opened")


def _level(heading: Token) -> str:
    return f"h{min(int(heading.tag[1]) + 2, 6)}"  # the page's own headings are h1 and h2


# Without references ("[name]: address"): a page of them takes minutes to read.
_PARSER = (
    MarkdownIt("commonmark", {"html": False, "maxNesting": DEEPEST}, renderer_cls=_Shown)
    .enable(["table", "strikethrough"])
    .disable("reference")
)


@lru_cache(maxsize=512)
def render(text: str) -> Markup:
    """Return a response as HTML of plain form only: no element of it loads, links, runs or styles anything.

    HTML in it is shown as it was written; a link as its words and its address; an image as its description. The same
    for every response, so that how it is shown says nothing about where it came from.
    """
    if _is_too_much(text):
        return Markup('<div class="plain">{}</div>').format(text)
    return Markup(nh3.clean(_PARSER.render(text), tags=_TAGS, attributes=_ATTRIBUTES, link_rel=None))


def _is_too_much(text: str) -> bool:
    if len(text) > LONGEST:
        return True
    lines = _NEWLINE.split(text)
    widest = max(line.count("|") for line in lines)
    return widest * len(lines) > MOST_CELLS or max(map(len, lines)) > LONGEST_LINE


def render_ours(text: str) -> Markup:
    """Return a text of the study team (consent, instructions) as HTML; its comments are dropped, its links work."""
    html = MarkdownIt("commonmark", {"html": False}).enable("table").render(_COMMENT.sub("", text))
    clean = nh3.clean(
        html,
        tags=(_TAGS - {"span", "div"}) | {"h1", "h2", "a"},
        attributes={"ol": {"start"}, "a": {"href", "target"}},
        url_schemes={"https", "http", "mailto"},
        set_tag_attribute_values={"a": {"target": "_blank"}},
        link_rel="noopener noreferrer nofollow",
    )
    return Markup(clean)
